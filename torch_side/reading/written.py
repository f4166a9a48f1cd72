"""A module that `torch_side.write` gave, read back by what its statements say they were written for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import fx, nn

from biport.graph import Graph, Node, Value
from biport.ops import FLOATS, Op
from torch_side.inference import first_float
from torch_side.names import ORIGIN, Origin
from torch_side.reading.layer_call import LayerCall, build
from torch_side.registry import READERS
from torch_side.spelling import Spelling
from torch_side.writing.ported import Ported

OpType = TypeVar("OpType", bound=Op)


@dataclass(frozen=True)
class Written:
    """A written module, read.

    Args:
        graph: what it computes now.
        values: the value that a statement gives, by the statement's name.
    """

    graph: Graph
    values: Mapping[str, str]


class _Changed(Exception):  # noqa: N818  (not an error: the module is read as any other)
    """The module's statements are no longer those that were written."""


def read_written(module: Ported) -> Written | None:
    """The graph of a written module, with its weights and settings of now; ``None`` if its code was changed.

    Raises:
        UnsupportedModelError: a layer has settings by now that are not supported.
        WeightError: weights hold NaN or infinite numbers.
    """
    try:
        return _Reader(module).read()
    except _Changed:
        return None


class _Reader:
    def __init__(self, module: Ported) -> None:
        self.module = module
        self.nodes: list[Node] = []
        self.names: dict[fx.Node, str] = {}
        self._ops: dict[int, Op] = {}
        self._constants: set[str] = set()

    def read(self) -> Written:
        statements = [node for node in self.module.graph.nodes if node.op not in ("placeholder", "output")]
        arguments = [node for node in self.module.graph.nodes if node.op == "placeholder"]
        (output,) = [node for node in self.module.graph.nodes if node.op == "output"]
        values = [in_dtype_of(self.module, value) for value in self.module.input_values]
        if len(values) != len(arguments):
            raise _Changed
        self.names |= {node: value.name for node, value in zip(arguments, values, strict=True)}
        for origin, group in groupby(statements, key=lambda node: node.meta.get(ORIGIN)):
            if origin is None:
                raise _Changed
            self._read(origin, list(group))
        returned = output.args[0] if isinstance(output.args[0], tuple | list) else (output.args[0],)
        results = tuple(self._name(node) for node in returned)
        origin = {"framework": "torch", "version": torch.__version__}
        graph = Graph(tuple(values), tuple(self.nodes), results, origin)
        return Written(graph, {node.name: name for node, name in self.names.items()})

    def _name(self, operand: Any) -> str:
        if not isinstance(operand, fx.Node) or operand not in self.names:
            raise _Changed
        return self.names[operand]

    def _read(self, origin: Origin, statements: Sequence[fx.Node]) -> None:
        for constant in origin.numbers:
            self._constant(constant)
        spelling = origin.spelling
        operands = spelling.operands(statements)
        if operands is None:
            raise _Changed
        values = [self._name(operand) for operand in operands]
        inputs = tuple(
            values[source] if isinstance(source, int) else self._constant(source)
            for source in spelling.inputs
        )
        masks = tuple(None if mask is None else values[mask] for mask in spelling.masks)
        op = self._now(spelling, statements)
        known = self._ops.setdefault(origin.op, op)
        op = known if known == op else op
        self.nodes.append(Node(origin.node, op, inputs, origin.outputs, masks))
        self.names |= {
            statements[at]: name for at, name in zip(spelling.outputs, origin.outputs, strict=True)
        }

    def _constant(self, node: Node) -> str:
        """A constant that stands as a number: torch computes it in the dtype of what it meets."""
        (name,) = node.outputs
        if name not in self._constants:
            self._constants.add(name)
            self.nodes.append(Node(node.name, self._in_own_dtype(node.op), (), node.outputs))
        return name

    def _now(self, spelling: Spelling, statements: Sequence[fx.Node]) -> Op:
        """The op with the weights and settings, and in the dtype, that the module has by now."""
        if spelling.op is None:
            (call,) = [node for node in statements if node.op == "call_module"]
            return self._layer(call, spelling)
        tensors = [self._attribute(node) for node in statements if node.op == "get_attr"]
        weights = dict(zip(spelling.op.weights(), tensors, strict=True))
        if not weights:
            return self._in_own_dtype(spelling.op)
        arrays = {path: tensor.detach().cpu().numpy().copy() for path, tensor in weights.items()}
        kind, settings = type(spelling.op), spelling.op.settings()
        return build(self._owner(statements[0]), lambda **given: kind.build(settings, given), **arrays)

    def _layer(self, node: fx.Node, spelling: Spelling) -> Op:
        layer = self.module.get_submodule(str(node.target))
        if type(layer) not in READERS:
            raise _Changed
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda operand: str(operand))  # type: ignore[arg-type]
        call = _OpOnly(
            layer, f"{type(self.module).__name__}: {node.target} ({type(layer).__name__})", args, kwargs
        )
        READERS.lookup(type(layer), call.owner)(call)
        op = next((op for op in reversed(call.ops) if type(op) is spelling.kind), None)
        if op is None:
            raise _Changed
        if spelling.activation and getattr(op, "activation", spelling.activation) != spelling.activation:
            behind: Any = op
            return dataclasses.replace(behind, activation=spelling.activation)
        return op

    def _owner(self, node: fx.Node) -> str:
        return f"{type(self.module).__name__}: {node.name} in forward"

    def _attribute(self, node: fx.Node) -> torch.Tensor:
        path, _, name = str(node.target).rpartition(".")
        return getattr(self.module.get_submodule(path), name)

    def _in_own_dtype(self, op: OpType) -> OpType:
        """An op in the module's dtype, which ``module.double()`` may have changed since writing."""
        own = first_float(self.module)
        name = None if own is None else str(own.dtype).removeprefix("torch.")
        return op.astype(name) if name in FLOATS else op


class _OpOnly(LayerCall):
    """A call of which only the op is asked."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.ops: list[Op] = []

    def emit(self, op: Op, inputs: Sequence[str], masks: Sequence[str | None] = ()) -> tuple[str, ...]:
        """The op is noted."""
        self.ops.append(op)
        return tuple(f"output {position}" for position in range(16))

    def emit_channels_first(self, op: Op, argument: Any) -> str:
        """The op is noted."""
        return self.emit(op, [])[0]


def in_dtype_of(module: nn.Module, value: Value) -> Value:
    """A float input in the module's dtype, which ``module.double()`` may have changed since writing."""
    first = first_float(module)
    if first is None or not value.dtype.startswith("float"):
        return value
    return dataclasses.replace(value, dtype=str(first.dtype).removeprefix("torch."))
