"""Pooling over time -> torch's modules, or ours; over all of it ``x.amax(dim=1)``, ``x.mean(dim=1)``."""

from __future__ import annotations

from typing import Any

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, build
from torch_side.registry import Inputs, Masks, Outputs, reads, writes
from torch_side.shared.channels import write_transposed
from torch_side.writing.graph_writer import GraphWriter

WINDOWS: dict[type[ops.Op], tuple[type[nn.Module], type[nn.Module]]] = {
    ops.MaxPooling1D: (nn.MaxPool1d, layers.MaxPooling1D),
    ops.AveragePooling1D: (nn.AvgPool1d, layers.AveragePooling1D),
}
"""Torch's own module, and one that pads as Keras does."""


@writes(ops.MaxPooling1D, ops.AveragePooling1D)
def write_pooling(
    op: ops.MaxPooling1D | ops.AveragePooling1D, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.pool(x.transpose(1, 2)).transpose(1, 2)``."""
    layer = WINDOWS[type(op)][op.padding != "valid"]
    pooled = writer.module(lambda op: layer(op.pool_size, op.strides), write_transposed(writer, inputs[0]))
    return (write_transposed(writer, pooled),)


@reads(layers.MaxPooling1D)
def read_max_pooling1d(call: LayerCall) -> Any:
    """The layer, without padding of torch's own, which is the same at both ends."""
    layer = call.module
    return _read_windows(
        call,
        ops.MaxPooling1D,
        dilation=(layer.dilation, 1),
        return_indices=(layer.return_indices, False),
    )


@reads(layers.AveragePooling1D)
def read_average_pooling1d(call: LayerCall) -> Any:
    """The layer, without padding of torch's own, which is the same at both ends."""
    return _read_windows(call, ops.AveragePooling1D)


def single(size: int | tuple[int, ...]) -> int:
    """A size that torch keeps as a number or as a tuple of one."""
    return size if isinstance(size, int) else size[0]


def _read_windows(call: LayerCall, kind: type[ops.Op], **more: tuple) -> Any:
    """A layer over windows; ``more`` settings are as `LayerCall.require` takes them."""
    layer = call.module
    (argument,) = call.arguments("input")
    call.require(padding=(single(layer.padding), 0), ceil_mode=(layer.ceil_mode, False))
    call.require(**more)
    op = build(
        call.owner,
        kind,
        pool_size=single(layer.kernel_size),
        strides=single(layer.stride),
        padding="same",
    )
    return call.emit_channels_first(op, argument)


@writes(ops.GlobalMaxPooling1D)
def write_global_max_pooling1d(
    op: ops.GlobalMaxPooling1D, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``x.amax(dim=1)``."""
    return (writer.method("amax", inputs[0], dim=1, **_kept(op)),)


def _kept(op: ops.GlobalMaxPooling1D | ops.GlobalAveragePooling1D) -> dict[str, bool]:
    return {"keepdim": True} if op.keepdims else {}


@writes(ops.GlobalAveragePooling1D)
def write_global_average_pooling1d(
    op: ops.GlobalAveragePooling1D, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``x.mean(dim=1)``, or ``self.global_average_pooling1d(x, mask=mask)``."""
    if masks[0] is None:
        return (writer.method("mean", inputs[0], dim=1, **_kept(op)),)
    return (writer.module(lambda op: layers.GlobalAveragePooling1D(op.keepdims), inputs[0], mask=masks[0]),)


@reads(layers.GlobalAveragePooling1D)
def read_global_average_pooling1d(call: LayerCall) -> Any:
    """The layer."""
    x, mask = call.arguments("x", mask=None)
    masks = [None if mask is None else call.value(mask)]
    op = ops.GlobalAveragePooling1D(keepdims=call.module.keepdims)
    return call.emit(op, [call.value(x)], masks)[0]
