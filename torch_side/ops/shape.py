"""The same numbers in another shape or order -> `torch.reshape`, `torch.permute` and the like."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.nn import functional

from biport import ops
from biport.ops.shape import CROPPINGS, ZERO_PADDINGS
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, build
from torch_side.registry import ANY_ORDER, CHANNELS_FIRST, Inputs, Masks, Outputs, reads, writes, writes_axes
from torch_side.shared.windows import torch_widths
from torch_side.writing.graph_writer import GraphWriter


@writes(ops.Flatten)
def write_flatten(op: ops.Flatten, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.flatten(x, 1)``."""
    return (writer.call(torch.flatten, inputs[0], 1),)


@writes(ops.Permute)
def write_permute(op: ops.Permute, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.permute(x, (0, 2, 1))``."""
    return (writer.call(torch.permute, inputs[0], (0, *op.dims)),)


@writes(ops.Reshape)
def write_reshape(op: ops.Reshape, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.reshape(x.size(0), 4, 2)``: no -1, which torch cannot tell over an empty batch."""
    (output,) = op.infer([writer.tensor()])
    return (
        writer.method(
            "reshape", inputs[0], writer.method("size", inputs[0], 0), *writer.sizes(output.shape[1:])
        ),
    )


@reads(layers.Reshape)
def read_reshape(call: LayerCall) -> Any:
    """The layer."""
    op = build(call.owner, ops.Reshape, target_shape=call.module.shape)
    (x,) = call.arguments("x")
    return call.emit(op, [call.value(x)])[0]


@writes(ops.RepeatVector)
def write_repeat_vector(op: ops.RepeatVector, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.unsqueeze(1).repeat(1, n, 1)``."""
    return (writer.method("repeat", writer.method("unsqueeze", inputs[0], 1), 1, op.n, 1),)


@writes_axes(ANY_ORDER, ops.UpSampling1D)
def write_up_sampling1d(op: ops.UpSampling1D, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.repeat_interleave(2, dim=1)``."""
    return (writer.method("repeat_interleave", inputs[0], *op.size, dim=writer.axis(1)),)


@writes_axes(CHANNELS_FIRST, ops.UpSampling2D, ops.UpSampling3D)
def write_up_sampling(
    op: ops.UpSampling2D | ops.UpSampling3D, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``functional.interpolate(x, scale_factor=[2.0, 2.0], mode="nearest")``, as TorchScript wants it."""
    mode: dict[str, Any] = {"mode": "nearest"}
    if isinstance(op, ops.UpSampling2D) and op.interpolation == "bilinear":
        mode = {"mode": "bilinear", "align_corners": False}
    elif any(size & (size - 1) for size in op.size):
        # Of "nearest" torch multiplies with a rounded 1 / size, which may be one element off.
        mode = {"mode": "nearest-exact"}
    return (
        writer.call(
            functional.interpolate, inputs[0], scale_factor=[float(size) for size in op.size], **mode
        ),
    )


@writes_axes(ANY_ORDER, *CROPPINGS.values())
def write_cropping(op: ops.Cropping, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x[:, 1:-2]``."""
    kept = {
        writer.axis(axis): slice(first or None, -last if last else None)
        for axis, (first, last) in enumerate(op.cropping, start=1)
    }
    items = [kept.get(axis, slice(None)) for axis in range(max(kept) + 1)]
    return (writer.call(operator.getitem, inputs[0], tuple(items)),)


@writes_axes(ANY_ORDER, *ZERO_PADDINGS.values())
def write_zero_padding(op: ops.ZeroPadding, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``functional.pad(x, (0, 0, 1, 2))``."""
    widths = {writer.axis(axis): pair for axis, pair in enumerate(op.padding, start=1)}
    pairs = tuple(widths.get(axis, (0, 0)) for axis in range(min(widths), writer.rank()))
    return (writer.call(functional.pad, inputs[0], torch_widths(pairs)),)
