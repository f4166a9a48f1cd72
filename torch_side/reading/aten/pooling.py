"""Pooling over windows, and over parts of the sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from biport import ops
from biport.dims import Dim, longest
from biport.ops.shaping import WHOLE
from torch_side.reading.aten.channels import over_time, padded_steps
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten

PARTS = 64
"""Of a sequence that are pooled each by itself."""

Pool = Callable[[AtenCall, str, "Windows"], str]


class Windows:
    """The windows of a call along one axis.

    Args:
        call: the statement.
        axis: which of the axes that are pooled over; -1 is the last.
        steps: T.
        result: how many windows torch says there are.
    """

    def __init__(self, call: AtenCall, axis: int, steps: Dim, result: Dim) -> None:
        def own(name: str, default: int) -> int:
            given = call.arguments.get(name)
            given = [given] if isinstance(given, int) else given
            return default if not given else given[axis if len(given) > 1 else 0]

        self.size = own("kernel_size", 1)
        self.stride = own("stride", self.size)
        self.padding = own("padding", 0)
        self.dilation = own("dilation", 1)
        self.ceil = call["ceil_mode"]
        self.steps, self.result = steps, result

    @property
    def plain(self) -> bool:
        """Whether all of them lie within the sequence, and none is cut off at its end."""
        return not self.padding and not self.ceil

    @property
    def idle(self) -> bool:
        """Whether each of them is one element."""
        return (self.size, self.stride, self.padding) == (1, 1, 0)

    @property
    def behind(self) -> Dim:
        """How many steps are missing at the end."""
        if not self.ceil:
            return self.padding
        return longest((self.result - 1) * self.stride + self.size - self.steps - self.padding, 0)


@reads_aten("max_pool1d.default")
def read_max_pool1d(call: AtenCall) -> str:
    """`nn.MaxPool1d`."""
    return over_time(call, "self", lambda x: _largest(call, x, _windows(call, x)))


@reads_aten("max_pool1d_with_indices.default")
def read_max_pool1d_with_indices(call: AtenCall) -> tuple[str, ...]:
    """The same, of whose positions nothing is made."""
    _without_positions(call)
    return (read_max_pool1d(call),)


@reads_aten("avg_pool1d.default")
def read_avg_pool1d(call: AtenCall) -> str:
    """`nn.AvgPool1d`."""
    return over_time(call, "self", lambda x: _mean(call, x, _windows(call, x)))


@reads_aten("max_pool2d.default")
def read_max_pool2d(call: AtenCall) -> str:
    """`nn.MaxPool2d` along one axis."""
    return _along_one_axis(call, _largest)


@reads_aten("max_pool2d_with_indices.default")
def read_max_pool2d_with_indices(call: AtenCall) -> tuple[str, ...]:
    """The same, of whose positions nothing is made."""
    _without_positions(call)
    return (_along_one_axis(call, _largest),)


@reads_aten("avg_pool2d.default")
def read_avg_pool2d(call: AtenCall) -> str:
    """`nn.AvgPool2d` along one axis."""
    if call.has("divisor_override"):
        raise call.refuse("divisor_override", call["divisor_override"], "None")
    return _along_one_axis(call, _mean)


@reads_aten("adaptive_avg_pool1d.default")
def read_adaptive_avg_pool1d(call: AtenCall) -> str:
    """`nn.AdaptiveAvgPool1d`."""
    return over_time(call, "self", lambda x: _parts(call, x, ops.GlobalAveragePooling1D(keepdims=True)))


@reads_aten("adaptive_max_pool1d.default")
def read_adaptive_max_pool1d(call: AtenCall) -> tuple[str, ...]:
    """`nn.AdaptiveMaxPool1d`, of whose positions nothing is made."""
    _without_positions(call)
    return (over_time(call, "self", lambda x: _parts(call, x, ops.GlobalMaxPooling1D(keepdims=True))),)


@reads_aten("adaptive_avg_pool2d.default")
def read_adaptive_avg_pool2d(call: AtenCall) -> str:
    """`nn.AdaptiveAvgPool2d` to one number for each channel."""
    _one_number(call)
    return call.apply(ops.Reduction(function="mean", axes=(-2, -1), keepdims=True), call.value("self"))


@reads_aten("adaptive_max_pool2d.default")
def read_adaptive_max_pool2d(call: AtenCall) -> tuple[str, ...]:
    """`nn.AdaptiveMaxPool2d` to one number for each channel."""
    _without_positions(call)
    _one_number(call)
    return (call.apply(ops.Reduction(function="max", axes=(-2, -1), keepdims=True), call.value("self")),)


def _one_number(call: AtenCall) -> None:
    if set(call["output_size"]) != {1}:
        raise call.refuse("output_size", call["output_size"], "(1, 1)")


def _without_positions(call: AtenCall) -> None:
    if call.used(1):
        raise call.refuse("return_indices", True, "False")


def _result(call: AtenCall) -> tuple[Dim, ...]:
    """The shape of what is pooled."""
    known = call.results[0] if isinstance(call.results, tuple | list) else call.results
    return call.sizes(tuple(known.shape))


def _windows(call: AtenCall, x: str) -> Windows:
    return Windows(call, -1, call.tensor(x).shape[1], _result(call)[-1])


def _largest(call: AtenCall, x: str, windows: Windows) -> str:
    """Of ``(N, T, I)``; what is padded is less than any number."""
    if windows.dilation != 1:
        raise call.refuse("dilation", windows.dilation, "1")
    x = padded_steps(call, x, windows.padding, windows.behind, -float("inf"))
    return call.apply(ops.MaxPooling1D(pool_size=windows.size, strides=windows.stride), x)


def _mean(call: AtenCall, x: str, windows: Windows) -> str:
    """Of ``(N, T, I)``; windows at the ends may count fewer steps than they have."""
    op = ops.AveragePooling1D(pool_size=windows.size, strides=windows.stride)
    counts = call["count_include_pad"]
    y = call.apply(op, padded_steps(call, x, windows.padding, windows.behind))
    if windows.plain or (counts and not windows.ceil):
        return y
    # The share of each window that counts.
    beside = windows.padding if counts else 0
    steps, left = windows.steps + 2 * beside, windows.padding - beside
    ones = ops.Full(shape=(1, steps, 1), value=1.0, output_dtype=call.dtype(x))
    behind = longest(windows.behind - beside, 0)
    share = call.apply(op, padded_steps(call, call.apply(ones), left, behind))
    return call.compute("divide", y, share)


def _along_one_axis(call: AtenCall, pool: Pool) -> str:
    """Pooling of ``(N, C, T, W)`` whose windows have a single element along one of the last axes."""
    x = call.value("self")
    shape, result = call.tensor(x).shape, _result(call)
    if call.rank(x) != 4:
        raise call.refuse("input", call.tensor(x), "(N, C, T, W)")
    along = [Windows(call, axis, shape[axis], result[axis]) for axis in (-2, -1)]
    if along[1].idle:
        order, windows = (0, 2, 1, 3), along[0]
    elif along[0].idle:
        order, windows = (0, 3, 1, 2), along[1]
    else:
        raise call.refuse("kernel_size", call["kernel_size"], "1 along one of the two axes")
    turned = call.apply(ops.PermuteDims(axes=order), x)
    wide = call.tensor(turned).shape
    flat = call.apply(ops.ReshapeTo(shape=(*wide[:2], wide[2] * wide[3])), turned)
    pooled = pool(call, flat, windows)
    count = call.tensor(pooled).shape[1]
    y = call.apply(ops.ReshapeTo(shape=(wide[0], count, *wide[2:])), pooled)
    back: Any = tuple(order.index(axis) for axis in range(4))
    return call.apply(ops.PermuteDims(axes=back), y)


def _parts(call: AtenCall, x: str, op: Any) -> str:
    """Each of equal parts of ``(N, T, I)`` pooled; where T is no multiple of them they overlap."""
    size = call["output_size"]
    count, steps = size[0] if isinstance(size, list | tuple) else size, call.tensor(x).shape[1]
    if count == 1:
        return call.apply(op, x)
    if not isinstance(count, int) or count > PARTS:
        raise call.refuse("output_size", count, f"up to {PARTS}")
    pooled = []
    for part in range(count):
        start, stop = (steps * part) // count, (steps * (part + 1) + count - 1) // count
        pooled.append(call.apply(op, call.apply(ops.Slice(items=(WHOLE, (start, stop, 1))), x)))
    return call.apply(ops.Concatenate(axis=1), *pooled)
