"""Ops that are one module of one input, and nothing but its settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from biport.ops import Op
from torch_side.reading.layer_call import LayerCall, build
from torch_side.registry import Inputs, Masks, Outputs, reads, writes
from torch_side.writing.graph_writer import GraphWriter


def register_layer(kind: type[Op], layer: type[nn.Module], settings: Mapping[str, str]) -> None:
    """Write an op as one module, ``self.dropout(x)``, and read it.

    Args:
        kind: the op.
        layer: the module; its arguments are the settings, in their order.
        settings: each field of the op, and the module's attribute for it.
    """
    (argument, *_) = list(inspect.signature(layer.forward).parameters)[1:]

    def layer_of(op: Op) -> nn.Module:
        return layer(*(getattr(op, field) for field in settings))

    @writes(kind)
    def write(op: Op, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
        return (writer.module(layer_of, inputs[0]),)

    @reads(layer)
    def read(call: LayerCall) -> Any:
        module = call.module
        fields: dict[str, Any] = {field: getattr(module, name) for field, name in settings.items()}
        op = build(call.owner, kind, **fields)
        (x,) = call.arguments(argument)
        return call.emit(op, [call.value(x)])[0]
