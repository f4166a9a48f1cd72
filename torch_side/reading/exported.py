"""A program of `torch.export`, live or saved, to a graph: it says itself how it is called."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import HigherOrderOperator, OpOverload
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from biport.errors import UnsupportedError
from biport.graph import Graph
from torch_side.reading.arguments import Leaf, nested_arguments
from torch_side.reading.decompositions import decompositions
from torch_side.reading.flat import Flat
from torch_side.reading.live import Live, compare
from torch_side.reading.module_reader import ModuleRead, read_program
from torch_side.reading.program import Program, as_program
from torch_side.reading.saved_program import load_program
from torch_side.reading.sizes import expression
from torch_side.registry import ATEN, aten_key

UNLIMITED = 2**31
"""Above which a size has no limit that anybody could reach."""
OF_SIZES = ("sym_size.int",)
"""Operators that give no tensor."""
DROPOUTS = ("aten.dropout.default", "aten.native_dropout.default", "aten.feature_dropout.default")
FIXED = (
    "the program was exported so, and torch.export itself counts the steps of a recurrent layer, where "
    "torch_side.read of the module does not"
)


@dataclass(frozen=True)
class OpenProgram:
    """A program that was read, and can be run.

    Args:
        graph: what it computes.
        module: takes tensors in the order of the graph's inputs, and gives those of its outputs in a list.
    """

    graph: Graph
    module: nn.Module


def open_program(path: str | os.PathLike[str]) -> OpenProgram:
    """A program of a file of `torch.export.save`; raises as `torch_side.read`."""
    path = Path(path)
    exported, sample = load_program(path)
    return read_exported(path.name, exported, sample)


class RunningProgram(nn.Module):
    """An exported program as a module, as torch runs it."""

    def __init__(self, exported: ExportedProgram) -> None:
        super().__init__()
        # The guards of a program are conditions in Python; the ranges of sizes are still checked.
        self.program = exported.module(check_guards=False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        return self.program(*args, **kwargs)


def read_exported(name: str, exported: ExportedProgram, sample: Any = None) -> OpenProgram:
    """Read an exported program, and compare it with itself as torch runs it.

    Args:
        name: of the program, for errors.
        exported: in the dialect of training or of inference.
        sample: its example inputs, ``(args, kwargs)``; others are made where there are none.

    Raises:
        UnsupportedModelError: all that is not supported.
        UnsupportedError: it keeps state, or takes what is no tensor.
    """
    _refuse_training(name, exported)
    with _quiet():
        known = _is_functional(exported)
        functional = exported if known else exported.run_decompositions(decompositions())
        module = RunningProgram(exported)
    _refuse_state(name, functional)
    program = as_program(name, functional)
    leaves = _leaves(name, program, sample)
    by_name = dict(zip(program.inputs, leaves, strict=True))
    parts = [by_name[one] if isinstance(one, str) else one for one in exported.graph_signature.user_inputs]
    arguments = nested_arguments(leaves, exported.call_spec.in_spec, parts)
    live = Live(module, arguments)
    first = live.first([leaf.example for leaf in leaves])
    read = read_program(program, leaves, live.seen, FIXED)
    most = _most(exported, program, read)
    ranges = [f"{letter} is {size} at most, as the program was exported" for letter, size in most.items()]
    graph = read.noted([*ranges, *compare(live, read.graph, first, most=most, traced_from=read.least)]).graph
    return OpenProgram(graph, Flat(module, arguments))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_functional(exported: ExportedProgram) -> bool:
    """Whether nothing has to be made functional, for which torch goes through every step of a layer."""
    targets = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    if any(isinstance(target, HigherOrderOperator) for target in targets):
        return False
    operators = [target for target in targets if isinstance(target, OpOverload)]
    return all(
        not target._schema.is_mutable and aten_key(target) in {*ATEN, *OF_SIZES} for target in operators
    )


def _refuse_training(name: str, exported: ExportedProgram) -> None:
    """Refuse a program whose dropout drops: it gives other numbers at every call."""
    for node in exported.graph.nodes:
        if str(node.target) in DROPOUTS and len(node.args) > 2 and node.args[2] is True:
            supported = "a program that was exported of module.eval()"
            raise UnsupportedError(f"{name}: {node.name}", "training", True, supported)


def _refuse_state(name: str, exported: ExportedProgram) -> None:
    signature = exported.graph_signature
    changed = {**signature.buffers_to_mutate, **signature.user_inputs_to_mutate}.values()
    if changed:
        supported = "an argument of forward, and an output, in place of state that the module keeps on itself"
        raise UnsupportedError(name, "state", ", ".join(sorted(changed)), supported)


def _leaves(name: str, program: Program, sample: Any) -> list[Leaf]:
    """The inputs with the numbers of the sample, where those are inputs of the program."""
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    nodes = [placeholders[one] for one in program.inputs]
    for node in nodes:
        if not isinstance(node.meta["val"], Tensor):
            raise UnsupportedError(
                f"{name}: input {node.name!r}", "kind", type(node.meta["val"]).__name__, "a tensor"
            )
    given = [part for part in pytree.tree_leaves(sample) if isinstance(part, Tensor)]
    if len(given) != len(nodes) or not all(map(_suits, given, nodes)):
        given = list(map(_example, nodes))
    return [Leaf(node.name, x.detach()) for node, x in zip(nodes, given, strict=True)]


def _suits(x: Tensor, node: fx.Node) -> bool:
    known = node.meta["val"]
    if x.dtype != known.dtype or x.dim() != known.dim():
        return False
    return all(not isinstance(b, int) or a == b for a, b in zip(x.shape, known.shape, strict=True))


def _example(node: fx.Node) -> Tensor:
    """An input of the sizes that the program was exported with."""
    known = node.meta["val"]
    shape = [size if isinstance(size, int) else int(size.node.hint or 3) for size in known.shape]
    if known.dtype.is_floating_point:
        return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=known.dtype)
    # 1 is an id of any table, the length of any row, and true.
    return torch.ones(shape, dtype=known.dtype)


def _most(exported: ExportedProgram, program: Program, read: ModuleRead) -> dict[str, int]:
    """The largest that sizes may be, by letter."""
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    most: dict[str, int] = {}
    for value, own in zip(read.graph.inputs, program.inputs, strict=True):
        for dim, size in zip(value.shape, placeholders[own].meta["val"].shape, strict=True):
            limits = exported.range_constraints.get(expression(size))
            if not isinstance(dim, int) and limits is not None and limits.upper < UNLIMITED:
                most[str(dim)] = int(limits.upper)
    return most
