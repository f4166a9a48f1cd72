"""Operators that join two values, in chains that join many: ``a + b + c``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import reduce
from typing import Any

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader
from torch_side.writer import Writer


def write_chain(writer: Writer, function: Callable[[Any, Any], Any], inputs: list[fx.Node]) -> fx.Node:
    """``a + b + c`` for the function of two values ``+``."""
    return reduce(lambda one, two: writer.call(function, one, two), inputs)


def read_chain(reader: Reader, node: fx.Node, targets: Collection[object]) -> tuple[str, ...] | None:
    """The values that a chain of ``targets`` joins, read at its last link; ``None`` before that.

    A link that is used for nothing but the next one is bound to the values it joins.
    """
    a, b = reader.arguments(node, "input", "other")
    found = reader.look(a) if isinstance(a, fx.Node) else None
    values = (*(found if isinstance(found, Links) else (reader.value(node, a),)), reader.value(node, b))
    then = reader.only_user(node)
    if then is not None and then.target in targets and then.args[:1] == (node,) and node not in then.args[1:]:
        reader.bound[node] = Links(values)
        return None
    return values


class Links(tuple):
    """The values that the beginning of a chain joins."""


def read_merge(reader: Reader, node: fx.Node, op: ops.Op, targets: Collection[object]) -> Bound:
    """A chain of ``targets`` as one ``op``."""
    values = read_chain(reader, node, targets)
    return reader.bound[node] if values is None else reader.emit(node, op, values)[0]


def write_masked(
    op: ops.Op,
    writer: Writer,
    inputs: list[fx.Node],
    masks: list[fx.Node | None],
    function: Callable[[Any, Any], Any],
) -> tuple[fx.Node, ...]:
    """A chain of ``function``, or the layer of the op's name where there are masks."""
    if all(mask is None for mask in masks):
        return (write_chain(writer, function, inputs),)
    return (writer.module(lambda _: getattr(layers, op.kind)(), *inputs, masks=masks),)


def read_masked(reader: Reader, node: fx.Node, op: ops.Op) -> Bound:
    """The layer of the op's name."""
    inputs = [reader.value(node, item) for item in node.args]
    masks = [None if mask is None else reader.value(node, mask) for mask in node.kwargs["masks"]]  # type: ignore[union-attr]
    return reader.emit(node, op, inputs, masks)[0]
