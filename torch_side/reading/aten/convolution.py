"""Convolutions over one axis, two or three, and what makes their inputs out of their outputs."""

from __future__ import annotations

from typing import Any

from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from torch_side.reading.aten.channels import channels_last, per_axis
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten


@reads_aten("conv1d.default", "conv1d.padding", "conv2d.default", "conv2d.padding", "conv3d.default",
            "conv3d.padding")  # fmt: skip
def read_convolution(call: AtenCall) -> str:
    """`nn.Conv1d`, `nn.Conv2d` and `nn.Conv3d`."""
    weight = call.array("weight")
    assert weight is not None
    count = weight.ndim - 2
    settings = {name: per_axis(call[name], count) for name in ("stride", "dilation")}
    spans = [(K - 1) * step + 1 for K, step in zip(weight.shape[2:], settings["dilation"], strict=True)]
    op: Any = build(
        call.owner,
        CONVOLUTIONS[count],
        input_size=weight.shape[1] * call["groups"],
        output_size=weight.shape[0],
        kernel_size=weight.shape[2:],
        strides=settings["stride"],
        padding=_padding(call, spans, settings["stride"]),
        dilation=settings["dilation"],
        groups=call["groups"],
        weight=weight,
        bias=call.array("bias"),
    )
    return _applied(call, op)


@reads_aten("conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input")
def read_transposed(call: AtenCall) -> str:
    """`nn.ConvTranspose1d`, `nn.ConvTranspose2d` and `nn.ConvTranspose3d`."""
    weight = call.array("weight")
    assert weight is not None
    count = weight.ndim - 2
    padding, more = (per_axis(call[name], count) for name in ("padding", "output_padding"))
    op: Any = build(
        call.owner,
        TRANSPOSED[count],
        input_size=weight.shape[0],
        output_size=weight.shape[1] * call["groups"],
        kernel_size=weight.shape[2:],
        strides=per_axis(call["stride"], count),
        cropping=tuple((cut, cut - kept) for cut, kept in zip(padding, more, strict=True)),
        dilation=per_axis(call["dilation"], count),
        groups=call["groups"],
        weight=weight,
        bias=call.array("bias"),
    )
    return _applied(call, op)


@reads_aten("convolution.default")
def read_any_convolution(call: AtenCall) -> str:
    """The one function that all convolutions of an exported program may be."""
    return read_transposed(call) if call["transposed"] else read_convolution(call)


@reads_aten("conv_tbc.default")
def refuse_convolution(call: AtenCall) -> str:
    """What no op of a graph is."""
    raise call.refuse("convolution", call.name, "nn.Conv1d, nn.Conv2d, nn.Conv3d and what transposes them")


def _applied(call: AtenCall, op: Any) -> str:
    key = ("convolution", call["weight"], call["bias"])
    return channels_last(call, "input", op.dimensions, lambda x: call.apply(op, x, key=key))


def _padding(call: AtenCall, spans: list[int], strides: tuple[int, ...]) -> Any:
    """As `biport.ops.Convolution` has it: ``"same"`` where it is that at every size."""
    given = call["padding"]
    if isinstance(given, str):
        return given
    widths = per_axis(given, len(spans))
    if set(strides) == {1} and any(widths) and [2 * width for width in widths] == [s - 1 for s in spans]:
        return "same"
    return tuple((width, width) for width in widths)
