"""Operators that join two values, in chains that join many: ``a + b + c``."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from torch import fx, nn

from biport import ops
from torch_side.layers.masks import every_step
from torch_side.reading.layer_call import LayerCall
from torch_side.registry import EVERY_ELEMENT, Inputs, Masks, Outputs, reads, writes, writes_axes
from torch_side.writing.graph_writer import GraphWriter


def write_chain(writer: GraphWriter, function: Callable[[Any, Any], Any], inputs: Inputs) -> fx.Node:
    """``a + b + c`` for the function of two values ``+``."""
    return reduce(lambda one, two: writer.call(function, one, two), inputs)


def register_chain(kind: type[ops.Op], function: Callable[[Any, Any], Any]) -> None:
    """Write an op as a chain of a function of two."""

    @writes(kind)
    def write(op: ops.Op, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
        return (write_chain(writer, function, inputs),)


def register_masked_chain(
    kind: type[ops.Op], layer: type[nn.Module], function: Callable[[Any, Any], Any]
) -> None:
    """As `register_chain`; under masks the op is ``layer``, with a mask for each input."""

    @writes_axes(EVERY_ELEMENT, kind)
    def write(op: ops.Op, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
        if all(mask is None for mask in masks):
            return (write_chain(writer, function, inputs),)
        given = [
            writer.call(every_step, x) if mask is None else mask
            for x, mask in zip(inputs, masks, strict=True)
        ]
        return (writer.module(lambda _: layer(), list(inputs), masks=given),)

    @reads(layer)
    def read_layer(call: LayerCall) -> Any:
        inputs, masks = ([*map(call.value, items)] for items in call.arguments("inputs", "masks"))
        return call.emit(kind(), inputs, masks)[0]
