"""From a module to a graph: traced, read, and compared with what the module computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from biport.dims import Dim, letter
from biport.graph import Graph
from biport.ops import FLOATS
from biport.rewrite.simplify import simplify
from torch_side.inference import evaluating
from torch_side.reading.arguments import Arguments, Leaf
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.flat import Flat, OutputsSeen
from torch_side.reading.longest_row import longest_rows
from torch_side.reading.outputs import with_bare_outputs, with_output_names
from torch_side.reading.program import Program, trace_program
from torch_side.reading.program_reader import ProgramReader
from torch_side.reading.sizes import expression
from torch_side.reading.snapshot import Snapshot
from torch_side.reading.unused import without_unused

LETTERS = ("N", "T", "S", "U", "W", "R", "K", "M")
"""What sizes that vary are called, in the order of the inputs."""


@dataclass(frozen=True)
class ModuleRead:
    """A module that was read.

    Args:
        graph: what it computes.
        program: what was traced.
        values: the value of the graph that a statement of the program gives.
        notes: what a user should know.
        least: the smallest size that was traced for, by its letter.
    """

    graph: Graph
    program: Program
    values: Mapping[str, str]
    notes: Sequence[str]
    least: Mapping[str, int]

    def noted(self, notes: Sequence[str]) -> ModuleRead:
        """The same with more notes, which the graph's origin has too."""
        every = [*self.notes, *notes]
        origin = dict(self.graph.origin) | ({"notes": "; ".join(every)} if every else {})
        graph = dataclasses.replace(self.graph, origin=origin)
        return dataclasses.replace(self, graph=graph, notes=every)


def read_arguments(module: nn.Module, arguments: Arguments) -> ModuleRead:
    """Read a module that is called like this.

    Raises:
        UnsupportedModelError: all that is not supported.
        WeightError: weights hold NaN or infinite numbers.
    """
    with evaluating(module):
        # Taken of the module as it is traced: each trace begins with it in eval mode.
        flat = Flat(module, arguments, Snapshot(module).restore).eval()
        fixed = [leaf.fixed for leaf in arguments.leaves]
        program = trace_program(module, flat, [leaf.example for leaf in arguments.leaves], fixed)
    return read_program(program, arguments.leaves, flat.seen, "forward computes with that number")


def read_program(program: Program, leaves: Sequence[Leaf], seen: OutputsSeen, why_fixed: str) -> ModuleRead:
    """Read a traced program.

    Args:
        program: what was traced.
        leaves: its inputs.
        seen: what a call of the module gave.
        why_fixed: why a size of an input may not vary, for a note.
    """
    letters = name_letters(program, leaves)
    letters |= longest_rows(program, letters)
    reader = ProgramReader(program, [leaf.name for leaf in leaves], letters, AtenCall)
    graph = reader.read(_outputs(program))
    if _is_float64(program, leaves):
        # What forward says in so many words to be float32, such as a mask, follows, as where it is run.
        graph = graph.astype("float64")
    bare = with_bare_outputs(simplify(graph, reader.kept))
    graph = simplify(without_unused(bare, reader.give_all), reader.kept)
    graph = with_output_names(graph, seen.names)
    notes = [*seen.notes, *dict.fromkeys(reader.notes), *_fixed(graph, leaves, why_fixed)]
    values = {node.name: bound for node, bound in reader.bound.items() if isinstance(bound, str)}
    least = {str(letters[symbol]): size for symbol, size in program.least.items() if symbol in letters}
    return ModuleRead(graph, program, values, (), least).noted(notes)


def _is_float64(program: Program, leaves: Sequence[Leaf]) -> bool:
    """Whether all floats of a module's state and inputs are float64."""
    state = [array for name, array in program.arrays.items() if "lifted_tensor" not in program.paths[name]]
    given = [*state, *(leaf.example for leaf in leaves)]
    return {x.dtype for x in given if x.is_floating_point()} == {torch.float64}


def _outputs(program: Program) -> list[fx.Node]:
    (node,) = [node for node in program.graph.nodes if node.op == "output"]
    (returned,) = node.args
    given: Any = returned
    return [one for one in given if isinstance(one, fx.Node) and isinstance(one.meta["val"], Tensor)]


def name_letters(program: Program, leaves: Sequence[Leaf]) -> dict[str, Dim]:
    """A letter for each symbol of the inputs' sizes: as described, or batch, time and others in turn."""
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    letters: dict[str, Dim] = {}
    known = [placeholders[name].meta["val"].shape for name in program.inputs]
    for leaf, shape in zip(leaves, known, strict=True):
        for size, dim in zip(shape, leaf.value.shape if leaf.value else (), strict=False):
            if not isinstance(size, int) and not isinstance(dim, int) and dim.is_letter:
                letters.setdefault(str(expression(size)), dim)
    for size, name in _batch_and_time(program):
        if name not in map(str, letters.values()):
            letters.setdefault(str(expression(size)), letter(name))
    for shape in known:
        for size in shape:
            text = str(expression(size))
            if text.isidentifier() and text not in letters:
                letters[text] = letter(_next(set(map(str, letters.values()))))
    return letters


def _next(taken: set[str]) -> str:
    names = (*LETTERS, *(f"L{number}" for number in range(100)))
    return next(name for name in names if name not in taken)


def _batch_and_time(program: Program) -> list[tuple[Any, str]]:
    """Which sizes the first recurrent layer takes as those of batch and time, where these are inputs' own."""
    for node in program.graph.nodes:
        if str(node.target).startswith("biport.recurrence"):
            shape = node.args[1].meta["val"].shape[:2]
            names = ("N", "T") if node.args[9] else ("T", "N")
            return [
                (size, name)
                for size, name in zip(shape, names, strict=True)
                if not isinstance(size, int) and expression(size).is_Symbol
            ]
    return []


def _fixed(graph: Graph, leaves: Sequence[Leaf], why: str) -> list[str]:
    """What a user will want to vary and cannot: a batch or a length, no features and no layers of states."""
    notes = []
    for value, leaf in zip(graph.inputs, leaves, strict=True):
        described = leaf.value.shape if leaf.value else ()
        for axis, size in enumerate(value.shape[:2]):
            if not isinstance(size, int) or (axis < len(described) and isinstance(described[axis], int)):
                continue
            behind = [dim for dim in value.shape[axis + 1 :] if not isinstance(dim, int)]
            # Of rows of vectors, and of images, which have them first.
            features = axis == 1 and len(value.shape) in (2, 4) and value.dtype in FLOATS
            if not features and not (behind and (axis == 1 or str(behind[0]) == "N")):
                notes.append(f"axis {axis} of {value.name} is fixed at {size}: {why}")
    return notes
