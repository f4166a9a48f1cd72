"""Tensors made of nothing but their shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from biport import ops
from biport.dims import Dim
from torch_side.reading.aten.shaping import along, broadcast
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten


@reads_aten("zeros.default", "zeros_like.default", "new_zeros.default", "ones.default", "ones_like.default",
            "new_ones.default", "full.default", "full_like.default", "new_full.default",
            "empty.memory_format", "empty_like.default", "new_empty.default",
            "fill.Scalar", "zero.default")  # fmt: skip
def read_full(call: AtenCall) -> str:
    """``torch.zeros(n, t)``, ``torch.ones_like(x)``, ``x.new_full(...)``; what is empty is zeros."""
    value = call.arguments.get("fill_value", call.arguments.get("value", int("ones" in call.name)))
    dtype = call.result_dtype
    if isinstance(value, fx.Node):
        return broadcast(call, call.operand(value, dtype), call.result_shape)
    value = bool(value) if dtype == "bool" else value
    return call.apply(ops.Full(shape=call.result_shape, value=float(value), output_dtype=dtype))


@reads_aten("fill.Tensor")
def read_fill(call: AtenCall) -> str:
    """``out[:, 0] = 1.0``."""
    return broadcast(call, call.operand("value", call.result_dtype), call.result_shape)


@reads_aten("scalar_tensor.default")
def read_scalar(call: AtenCall) -> str:
    """``torch.tensor(x.size(1))``."""
    return call.operand("s", call.result_dtype)


@reads_aten("arange.default", "arange.start", "arange.start_step")
def read_arange(call: AtenCall) -> str:
    """``torch.arange(t)``, ``torch.arange(1, t + 1, 2)``."""
    ends = [call.arguments.get("start", 0), call["end"], call.arguments.get("step", 1)]
    if any(isinstance(end, float) and not end.is_integer() for end in ends):
        return _evaluated(call)
    start, stop, step = (call.size(int(end) if isinstance(end, float) else end) for end in ends)
    if isinstance(step, int):
        return call.apply(ops.Arange(start=start, stop=stop, step=step, output_dtype=call.result_dtype))
    numbers = call.apply(ops.Arange(stop=call.result_shape[0]))
    apart = call.compute("multiply", numbers, call.apply(ops.SizeOf(size=step)))
    return call.cast(call.compute("add", apart, call.apply(ops.SizeOf(size=start))), call.result_dtype)


@reads_aten("linspace.default", "logspace.default", "range.default", "range.step", "hann_window.default",
            "hann_window.periodic", "hamming_window.default", "hamming_window.periodic",
            "tril_indices.default", "triu_indices.default")  # fmt: skip
def read_numbers(call: AtenCall) -> str:
    """Numbers that torch computes of numbers alone, such as ``torch.linspace(0, 1, 5)``."""
    return _evaluated(call)


def _evaluated(call: AtenCall) -> str:
    varying = [name for name, argument in call.arguments.items() if isinstance(argument, fx.Node)]
    if varying:
        raise call.refuse(varying[0], "a size that varies", "numbers, or torch.arange of whole steps")
    target: Any = call.node.target
    kwargs = {name: given for name, given in call.node.kwargs.items() if name not in ("dtype", "device")}
    wide = {"dtype": torch.float64} if call.results.dtype.is_floating_point else {}
    numbers = target(*call.node.args, **kwargs, **wide)
    return call.constant(numbers.numpy().astype(call.result_dtype))


@reads_aten("eye.default", "eye.m")
def read_eye(call: AtenCall) -> str:
    """``torch.eye(t)``."""
    rows, columns = (call.apply(ops.Arange(stop=size)) for size in call.result_shape)
    return call.cast(call.compute("equal", columns, along(call, rows, 0, 2)), call.result_dtype)


RANDOM = (
    *("rand.default", "rand_like.default", "randn.default", "randn_like.default", "randint.default"),
    *(
        "randint.low",
        "randint_like.default",
        "randint_like.low_dtype",
        "randperm.default",
        "normal.Tensor_float",
    ),
    *(
        "bernoulli.default",
        "bernoulli.p",
        "normal_functional.default",
        "uniform.default",
        "multinomial.default",
    ),
    *("normal.float_Tensor", "normal.Tensor_Tensor", "normal.float_float", "exponential.default"),
)


@reads_aten(*RANDOM)
def refuse_random(call: AtenCall) -> str:
    """Never: a graph computes the same each time."""
    raise call.refuse("random numbers", call.name, "numbers that are given as an argument of forward")


def is_whole_range(call: AtenCall, value: str, size: Dim) -> bool:
    """Whether a value is the numbers of all positions of an axis of that size, in order."""
    maker = call.reader.maker(value)
    while maker is not None and isinstance(maker.op, ops.ExpandDims | ops.ReshapeTo | ops.Cast):
        maker = call.reader.maker(maker.inputs[0])
    if maker is None or not isinstance(maker.op, ops.Arange):
        return False
    return (maker.op.start, maker.op.stop, maker.op.step) == (0, size, 1)
