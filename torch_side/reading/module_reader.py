"""From a module to a graph: traced, read, and compared with what the module computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from biport.dims import Dim, letter
from biport.errors import UnsupportedError, raise_unsupported
from biport.graph import Graph, Node
from biport.rewrite.simplify import simplify
from torch_side.inference import evaluating
from torch_side.reading.arguments import Arguments, Leaf
from torch_side.reading.flat import Flat
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
    """

    graph: Graph
    program: Program
    values: Mapping[str, str]
    notes: Sequence[str]


def read_arguments(module: nn.Module, arguments: Arguments) -> ModuleRead:
    """Read a module that is called like this.

    Raises:
        UnsupportedModelError: all that is not supported.
        WeightError: weights hold NaN or infinite numbers.
    """
    raise_unsupported(type(module).__name__, disguised(module))
    snapshot = Snapshot(module)
    with evaluating(module):
        flat = Flat(module, arguments, snapshot.restore).eval()
        program = trace_program(module, flat, [leaf.example for leaf in arguments.leaves])
    outputs = _outputs(program)
    letters = name_letters(program, arguments.leaves)
    reader = ProgramReader(program, [leaf.name for leaf in arguments.leaves], letters)
    graph = reader.read(outputs)
    graph = simplify(without_unused(simplify(graph)))
    graph = _named(graph, flat.seen.names)
    notes = [*flat.seen.notes, *_fixed(graph, arguments.leaves)]
    if notes:
        origin = dict(graph.origin) | {"notes": "; ".join(notes)}
        graph = Graph(graph.inputs, graph.nodes, graph.outputs, origin)
    values = {node.name: bound for node, bound in reader.bound.items() if isinstance(bound, str)}
    return ModuleRead(graph, program, values, notes)


def disguised(module: nn.Module) -> list[UnsupportedError]:
    """Submodules that compute something else than their class says."""
    problems = []
    for path, part in module.named_modules():
        if part._forward_hooks or part._forward_pre_hooks:
            owner = f"{type(module).__name__}: {path or 'the module itself'} ({type(part).__name__})"
            problems.append(UnsupportedError(owner, "forward hooks", True, "modules without"))
    return problems


def _outputs(program: Program) -> list[fx.Node]:
    (node,) = [node for node in program.graph.nodes if node.op == "output"]
    (returned,) = node.args
    return list(returned)  # type: ignore[arg-type]


def name_letters(program: Program, leaves: Sequence[Leaf]) -> dict[str, Dim]:
    """A letter for each symbol of the sizes of the inputs: as described, or batch, time and others in turn."""
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
            if not isinstance(size, int) and text not in letters:
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


def _named(graph: Graph, names: Sequence[str | None]) -> Graph:
    """The graph with outputs called as the module calls them, where it does."""
    taken = {value.name for value in graph.inputs} | {name for node in graph.nodes for name in node.outputs}
    renamed: dict[str, str] = {}
    for output, name in zip(graph.outputs, names, strict=True):
        if name and output not in renamed and name not in taken:
            renamed[output] = name
            taken.add(name)
    if not renamed:
        return graph

    def of(name: str | None) -> Any:
        return renamed.get(name, name) if name is not None else None

    nodes = [
        Node(
            node.name, node.op, *(tuple(map(of, names)) for names in (node.inputs, node.outputs, node.masks))
        )
        for node in graph.nodes
    ]
    return dataclasses.replace(graph, nodes=tuple(nodes), outputs=tuple(map(of, graph.outputs)))


def _fixed(graph: Graph, leaves: Sequence[Leaf]) -> list[str]:
    """What a user will want to vary and cannot."""
    notes = []
    for value, leaf in zip(graph.inputs, leaves, strict=True):
        wanted = leaf.value.shape if leaf.value else ()
        for axis, size in enumerate(value.shape[:2]):
            described = axis < len(wanted) and isinstance(wanted[axis], int)
            if isinstance(size, int) and not described:
                notes.append(
                    f"axis {axis} of {value.name} is fixed at {size}: forward computes with that number"
                )
    return notes
