"""Operators that join two values, in chains that join many: ``a + b + c``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import reduce
from typing import Any

from torch import fx, nn

from biport import ops
from torch_side.reading.fx_reader import Bound, FxReader
from torch_side.registry import Inputs, Masks, Outputs, reads, writes
from torch_side.writing.graph_writer import GraphWriter


def write_chain(writer: GraphWriter, function: Callable[[Any, Any], Any], inputs: Inputs) -> fx.Node:
    """``a + b + c`` for the function of two values ``+``."""
    return reduce(lambda one, two: writer.call(function, one, two), inputs)


def read_chain(reader: FxReader, node: fx.Node, targets: Collection[object]) -> tuple[str, ...] | None:
    """The values that a chain of ``targets`` joins, read at its last link; ``None`` before that.

    A link that is used for nothing but the next one is bound to the values it joins.
    """
    a, b = reader.arguments(node, "input", "other")
    before = reader.look(a) if isinstance(a, fx.Node) else None
    values = (*(before if isinstance(before, Links) else (reader.value(node, a),)), reader.value(node, b))
    then = reader.only_user(node)
    if then is not None and then.target in targets and then.args[:1] == (node,) and node not in then.args[1:]:
        reader.bound[node] = Links(values)
        return None
    return values


class Links(tuple):
    """The values that the beginning of a chain joins."""


def register_chain(kind: type[ops.Op], *targets: Any) -> None:
    """Write an op as a chain of the first of ``targets``, and read chains of any of them."""

    @writes(kind)
    def write(op: ops.Op, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
        return (write_chain(writer, targets[0], inputs),)

    _register_read(kind, targets)


def register_masked_chain(kind: type[ops.Op], layer: type[nn.Module], *targets: Any) -> None:
    """As `register_chain`; under masks the op is ``layer``, with a mask or ``None`` for each input."""

    @writes(kind)
    def write(op: ops.Op, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
        if all(mask is None for mask in masks):
            return (write_chain(writer, targets[0], inputs),)
        return (writer.module(lambda _: layer(), *inputs, masks=masks),)

    _register_read(kind, targets)

    @reads(layer)
    def read_layer(reader: FxReader, node: fx.Node) -> Bound:
        inputs = [reader.value(node, item) for item in node.args]
        given: Any = node.kwargs["masks"]
        masks = [None if mask is None else reader.value(node, mask) for mask in given]
        return reader.emit(node, kind(), inputs, masks)[0]


def _register_read(kind: type[ops.Op], targets: Collection[Any]) -> None:
    @reads(*targets)
    def read(reader: FxReader, node: fx.Node) -> Bound:
        values = read_chain(reader, node, targets)
        return reader.bound[node] if values is None else reader.emit(node, kind(), values)[0]
