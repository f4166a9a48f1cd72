"""Convolutions over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biport import ops
from torch_side.reading.aten.channels import over_time, padded_steps
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten


@reads_aten("conv1d.default", "conv1d.padding")
def read_conv1d(call: AtenCall) -> str:
    """`nn.Conv1d`."""
    return over_time(call, "input", lambda x: _convolved(call, x, call.array("weight")))


@reads_aten("convolution.default")
def read_convolution(call: AtenCall) -> str:
    """The one function that all convolutions of an exported program may be."""
    if call["transposed"] or len(call["stride"]) != 1:
        kind = "transposed" if call["transposed"] else f"over {len(call['stride'])} axes"
        raise call.refuse("convolution", kind, "over time: nn.Conv1d")
    return read_conv1d(call)


@reads_aten("conv2d.default", "conv2d.padding")
def read_conv2d(call: AtenCall) -> str:
    """`nn.Conv2d` whose kernel is as wide as the input: a convolution over time of all that a step has."""
    x, weight = call.value("input"), call.array("weight")
    assert weight is not None
    width = call.tensor(x).shape[-1]
    padding = call["padding"]
    across = 0 if padding == "valid" else 1 if isinstance(padding, str) else _pair(padding)[1]
    if call.rank(x) != 4 or width != weight.shape[3] or across or call["groups"] != 1:
        supported = (
            "nn.Conv1d, or nn.Conv2d with a kernel as wide as the last axis, one group and no padding of it"
        )
        raise call.refuse(
            "convolution", f"over two axes, by {weight.shape[2:]} of {call.tensor(x)}", supported
        )
    out, channels, steps, _ = weight.shape
    shape = call.tensor(x).shape
    turned = call.apply(ops.PermuteDims(axes=(0, 2, 1, 3)), x)
    flat = call.apply(ops.ReshapeTo(shape=(shape[0], shape[2], channels * weight.shape[3])), turned)
    kernel = np.ascontiguousarray(weight.transpose(0, 1, 3, 2).reshape(out, -1, steps))
    y = call.apply(ops.PermuteDims(axes=(0, 2, 1)), _convolved(call, flat, kernel))
    return call.apply(ops.ExpandDims(axes=(3,)), y)


@reads_aten("conv3d.default", "conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input",
            "conv_tbc.default", "im2col.default")  # fmt: skip
def refuse_convolution(call: AtenCall) -> str:
    """What no op of a graph is."""
    raise call.refuse("convolution", call.name, "over time: nn.Conv1d")


def _pair(setting: Sequence[int]) -> Sequence[int]:
    return setting if len(setting) > 1 else [*setting, *setting]


def _convolved(call: AtenCall, x: str, weight: np.ndarray | None) -> str:
    """``(N, T, I)`` convolved by ``(O, I / G, K)``."""
    assert weight is not None
    stride, dilation = call["stride"][0], call["dilation"][0]
    if stride > 1 and dilation > 1:
        raise call.refuse("stride and dilation", (stride, dilation), "one of them 1")
    padding = _padding(call, weight.shape[2], stride, dilation)
    if isinstance(padding, int):
        x, padding = padded_steps(call, x, padding, padding), "valid"
    op: Any = build(
        call.owner,
        ops.Conv1D,
        input_size=weight.shape[1] * call["groups"],
        output_size=weight.shape[0],
        kernel_size=weight.shape[2],
        strides=stride,
        padding=padding,
        dilation=dilation,
        groups=call["groups"],
        weight=weight,
        bias=call.array("bias"),
    )
    return call.apply(op, x, key=("convolution", call["weight"], call["bias"]))


def _padding(call: AtenCall, kernel: int, stride: int, dilation: int) -> str | int:
    """As `ops.Conv1D` has it, or how many zeros there are at both ends."""
    given = call["padding"]
    if isinstance(given, str):
        return given
    steps = given[0] if given else 0
    if steps == 0:
        return "valid"
    return "same" if stride == 1 and 2 * steps == (kernel - 1) * dilation else steps
