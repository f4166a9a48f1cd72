"""A module that `torch_side.write` gave, read back by what its statements say they were written for."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import fx, nn

from biport.graph import Graph, Node, Value, scan_over
from biport.ops import FLOATS, Op, Scan
from torch_side.inference import first_float
from torch_side.layers import Recurrence
from torch_side.layout import Layout, permuted_axes
from torch_side.learning import with_frozen
from torch_side.names import ITEM, ORIGIN, SILENT, Origin, inputs_of, outputs_of, statements_of
from torch_side.reading.layer_call import arrays, build
from torch_side.spelling import CONVERSION, INPUT, Conversion, Spelling, described, node_operands, said
from torch_side.state import op_of
from torch_side.writing.ported import Ported

OpType = TypeVar("OpType", bound=Op)
SCAN = ("reverse", "return_sequences", "return_state", "zero_output_for_mask")
"""Settings of a recurrence that its statements say."""


@dataclass(frozen=True)
class Written:
    """A written module, read.

    Args:
        graph: what it computes now.
        values: for each value the name of a statement that gives it, and in which layout.
    """

    graph: Graph
    values: Mapping[str, tuple[str, Layout]]


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
        self.names: dict[fx.Node, dict[Layout, list[str]]] = {}
        """The values that a statement gives, by their layouts."""
        self._ops: dict[int, Op] = {}
        self._silent: set[str] = set()
        self._origins: set[Origin] = set()

    def read(self) -> Written:
        arguments = inputs_of(self.module.graph)
        if any(node.op != "placeholder" and not _is_item(node) for node in arguments):
            raise _Changed
        values = [in_dtype_of(self.module, value) for value in self.module.input_values]
        if len(values) != len(arguments):
            raise _Changed
        for node, value in zip(arguments, values, strict=True):
            self._note(node, value.name, Layout.graph(len(value.shape)))
        statements = statements_of(self.module.graph)
        (output,) = [node for node in self.module.graph.nodes if node.op == "output"]
        last = output.meta.get(SILENT, ())
        for origin, group in groupby(statements, key=_written_for):
            if origin is None:
                raise _Changed
            if isinstance(origin, Origin):
                self._read(origin, list(group))
            else:
                for node in group:
                    behind = node.meta[ORIGIN]
                    self._read_silent(last if behind in self._origins else behind.silent)
                    self._convert(node, origin)
        self._read_silent(last)
        returned, wanted = outputs_of(self.module.graph), self.module.output_names
        wanted = wanted if len(wanted) == len(returned) else [""] * len(returned)
        results = tuple(map(self._result, returned, wanted))
        origin = {"framework": "torch", "version": torch.__version__}
        graph = Graph(tuple(values), tuple(self.nodes), results, origin)
        given = {
            name: (node.name, layout)
            for node, names in self.names.items()
            for layout, same in names.items()
            for name in same
        }
        return Written(graph, given)

    def _note(self, node: fx.Node, name: str, layout: Layout) -> None:
        """A statement gives a value in a layout."""
        self.names.setdefault(node, {}).setdefault(layout, []).append(name)

    def _name(self, operand: Any, layout: Layout, wanted: str = "") -> str:
        """The value that a statement gives in a layout; of several that are the same the one wanted."""
        if not isinstance(operand, fx.Node) or layout not in self.names.get(operand, {}):
            raise _Changed
        same = self.names[operand][layout]
        return wanted if wanted in same else same[0]

    def _result(self, operand: Any, wanted: str = "") -> str:
        """The same, of what is as the graph has it."""
        given = self.names.get(operand, {}) if isinstance(operand, fx.Node) else {}
        return self._name(operand, next((layout for layout in given if layout.is_graph), Layout(())), wanted)

    def _convert(self, node: fx.Node, conversion: Conversion) -> None:
        """A statement that says a value in another layout."""
        if conversion.before is None or conversion.after is None:
            if said(node, {}) != conversion.statement:
                raise _Changed
            return
        x, *_ = node_operands(node)
        if said(node, {x: f"{INPUT}0"}) != conversion.statement:
            raise _Changed
        if not isinstance(x, fx.Node) or conversion.before not in self.names.get(x, {}):
            raise _Changed
        for name in self.names[x][conversion.before]:
            self._note(node, name, conversion.after)

    def _read_silent(self, nodes: Sequence[Node]) -> None:
        """Nodes without statements."""
        for node in nodes:
            axes = permuted_axes(node.op)
            if axes is None:
                self._constant(node)
                continue
            if node.name in self._silent:
                continue
            self._silent.add(node.name)
            self.nodes.append(node)
            known = [
                (statement, layout)
                for statement, names in self.names.items()
                for layout, same in names.items()
                if node.inputs[0] in same
            ]
            for statement, layout in known:
                turned = layout.turned(axes)
                if turned is not None:
                    self._note(statement, node.outputs[0], turned)

    def _read(self, origin: Origin, statements: Sequence[fx.Node]) -> None:
        self._read_silent(origin.silent)
        self._origins.add(origin)
        spelling = origin.spelling
        operands = spelling.operands(statements)
        if operands is None:
            raise _Changed
        inputs = tuple(
            self._name(operands[source], layout, name) if isinstance(source, int) else self._constant(source)
            for source, layout, name in zip(spelling.inputs, spelling.layouts, spelling.names, strict=True)
        )
        masks = tuple(None if mask is None else self._result(operands[mask]) for mask in spelling.masks)
        op = self._now(spelling, statements)
        known = self._ops.setdefault(origin.op, op)
        op = known if known == op else op
        self.nodes.append(Node(origin.node, op, inputs, origin.outputs, masks))
        for at, name, layout in zip(spelling.outputs, origin.outputs, spelling.results, strict=True):
            self._note(statements[at], name, layout)

    def _constant(self, node: Node) -> str:
        """A constant that stands as a number: torch computes it in the dtype of what it meets."""
        (name,) = node.outputs
        if node.name not in self._silent:
            self._silent.add(node.name)
            self.nodes.append(Node(node.name, self._in_own_dtype(node.op), (), node.outputs))
        return name

    def _now(self, spelling: Spelling, statements: Sequence[fx.Node]) -> Op:
        """The op with the weights, and in the dtype, that the module has by now."""
        for path, before in spelling.modules.items():
            if described(self.module.get_submodule(path)) != before:
                raise _Changed
        if issubclass(spelling.kind, Scan):
            layer = self.module.get_submodule(spelling.path)
            assert isinstance(layer, Recurrence)
            settings = {name: spelling.settings[name] for name in SCAN}
            op = scan_of(layer, **settings)
            if op is None:
                raise _Changed
            return self._in_own_dtype(op)
        if spelling.op is None:
            called = type(self.module.get_submodule(next(iter(spelling.modules)))).__name__
            owner = f"{type(self.module).__name__}: {spelling.path} ({called})"
            state = arrays(owner, self._state(spelling))
            op = op_of(owner, spelling.kind, spelling.settings, spelling.shapes, state)
            op = with_frozen(op.with_learning(spelling.learning), self._trains(spelling))
            return self._in_own_dtype(op)
        tensors = [self._attribute(node) for node in statements if node.op == "get_attr"]
        weights = dict(zip(spelling.op.weights(), tensors, strict=True))
        if not weights:
            return self._in_own_dtype(spelling.op)
        own = {path: tensor.detach().cpu().numpy().copy() for path, tensor in weights.items()}
        kind, settings = type(spelling.op), spelling.op.settings()
        if "trainable" in settings:
            settings["trainable"] = all(tensor.requires_grad for tensor in tensors)
        op = build(self._owner(statements[0]), lambda **given: kind.build(settings, given), **own)
        return op.with_learning(spelling.learning)

    def _state(self, spelling: Spelling) -> dict[str, torch.Tensor]:
        """The tensors of the modules that an op was written as, under the names of `STATES`."""
        prefix = f"{spelling.path}."
        return {
            f"{path}.{name}".removeprefix(prefix): tensor
            for path in spelling.modules
            for name, tensor in self.module.get_submodule(path).state_dict().items()
            if tensor.is_floating_point()
        }

    def _trains(self, spelling: Spelling) -> dict[str, bool]:
        """For each parameter of `_state` whether it is trained."""
        prefix = f"{spelling.path}."
        return {
            f"{path}.{name}".removeprefix(prefix): parameter.requires_grad
            for path in spelling.modules
            for name, parameter in self.module.get_submodule(path).named_parameters()
        }

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


def _written_for(node: fx.Node) -> Any:
    """The `Origin` of a statement, or its `Conversion`."""
    return node.meta.get(CONVERSION) or node.meta.get(ORIGIN)


def _is_item(node: fx.Node) -> bool:
    """Whether a statement takes its argument out of a list, as it was written."""
    if node.target is not operator.getitem or not isinstance(node.args[0], fx.Node):
        return False
    items = [user for user in node.graph.nodes if ITEM in user.meta and user.args[0] is node.args[0]]
    at = node.args[1]
    return node.args[0].op == "placeholder" and isinstance(at, int) and at == items.index(node)


def scan_of(layer: Recurrence, **settings: Any) -> Scan | None:
    """What a loop over the steps of a written cell computes; ``None`` for one of any other cell.

    Args:
        layer: the loop.
        settings: those of `biport.ops.Recurrent`.
    """
    written = read_written(layer.cell) if isinstance(layer.cell, Ported) else None
    if written is None or layer.takes_constants != (len(written.graph.inputs) > 1 + len(layer.state_sizes)):
        return None
    return scan_over(written.graph, len(layer.state_sizes), **settings)


def in_dtype_of(module: nn.Module, value: Value) -> Value:
    """A float input in the module's dtype, which ``module.double()`` may have changed since writing."""
    first = first_float(module)
    if first is None or not value.dtype.startswith("float"):
        return value
    return dataclasses.replace(value, dtype=str(first.dtype).removeprefix("torch."))
