"""Pooling over windows along one axis, two or three, and over parts of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from biport import ops
from biport.dims import Dim, longest
from biport.ops.pooling import GLOBAL_MAXIMA, GLOBAL_MEANS, MAXIMA, MEANS
from biport.ops.shaping import WHOLE
from torch_side.reading.aten.channels import channels_last, padded_around, per_axis
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten

PARTS = 64
"""Of an axis that are pooled each by itself."""


class Windows(NamedTuple):
    """The windows of a call along one axis.

    Args:
        size: elements in each.
        stride: from one to the next.
        padding: elements before and behind.
        behind: elements that the last one lacks, with those that are padded.
    """

    size: int
    stride: int
    padding: int
    behind: Dim

    @property
    def pair(self) -> tuple[int, Dim]:
        """How many elements are missing before and behind."""
        return self.padding, self.behind


@reads_aten("max_pool1d.default", "max_pool2d.default", "max_pool3d.default")
def read_max_pool(call: AtenCall) -> str:
    """`nn.MaxPool1d`, `nn.MaxPool2d` and `nn.MaxPool3d`."""
    count = _count(call)
    return channels_last(call, "self", count, lambda x: _largest(call, x, _windows(call, x, count)))


@reads_aten("max_pool1d_with_indices.default", "max_pool2d_with_indices.default",
            "max_pool3d_with_indices.default")  # fmt: skip
def read_max_pool_with_indices(call: AtenCall) -> tuple[str, ...]:
    """The same, of whose positions nothing is made."""
    _without_positions(call)
    return (read_max_pool(call),)


@reads_aten("avg_pool1d.default", "avg_pool2d.default", "avg_pool3d.default")
def read_avg_pool(call: AtenCall) -> str:
    """`nn.AvgPool1d`, `nn.AvgPool2d` and `nn.AvgPool3d`."""
    count = _count(call)
    return channels_last(call, "self", count, lambda x: _mean(call, x, _windows(call, x, count)))


@reads_aten("adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default", "adaptive_avg_pool3d.default",
            "_adaptive_avg_pool2d.default", "_adaptive_avg_pool3d.default")  # fmt: skip
def read_adaptive_avg_pool(call: AtenCall) -> str:
    """`nn.AdaptiveAvgPool1d`, `nn.AdaptiveAvgPool2d` and `nn.AdaptiveAvgPool3d`."""
    return _adaptive(call, "mean")


@reads_aten("adaptive_max_pool1d.default", "adaptive_max_pool2d.default", "adaptive_max_pool3d.default")
def read_adaptive_max_pool(call: AtenCall) -> tuple[str, ...]:
    """`nn.AdaptiveMaxPool1d` and the like, of whose positions nothing is made."""
    _without_positions(call)
    return (_adaptive(call, "max"),)


def _without_positions(call: AtenCall) -> None:
    if call.used(1):
        raise call.refuse("return_indices", True, "False")


def _count(call: AtenCall) -> int:
    """How many axes the windows lie along, as the operator's name says."""
    return int(call.name[call.name.index("pool") + len("pool")])


def _windows(call: AtenCall, x: str, count: int) -> list[Windows]:
    """Along each axis of ``(N, *T, I)``."""
    sizes = per_axis(call["kernel_size"], count)
    strides = per_axis(call["stride"], count) if call["stride"] else sizes
    paddings = per_axis(call["padding"], count)
    if call.has("dilation") and set(per_axis(call["dilation"], count)) != {1}:
        raise call.refuse("dilation", call["dilation"], "1")
    axes = zip(sizes, strides, paddings, call.tensor(x).shape[1:-1], strict=True)
    return [Windows(*along[:3], _behind(*along) if call["ceil_mode"] else along[2]) for along in axes]


def _behind(size: int, stride: int, padding: int, steps: Dim) -> Dim:
    """How many elements are missing behind so many, where windows are counted up.

    Torch counts those that begin before what is padded behind. Its own trace has a condition there, which
    would be that of the example for every size.

    Source: ``pooling_output_shape_pad_lr``, aten/src/ATen/native/Pool.h of torch 2.
    """
    last = (steps + padding - 1 + min(padding - size + stride, 0)) // stride
    return longest(last * stride + size - padding - steps, 0)


def _of(windows: Sequence[Windows]) -> dict[str, Any]:
    return {"pool_size": tuple(w.size for w in windows), "strides": tuple(w.stride for w in windows)}


def _padding(windows: Sequence[Windows]) -> Any:
    """As `biport.ops.Pooling` has it; ``None`` where it varies and is not ``"same"``."""
    if all(isinstance(width, int) for w in windows for width in w.pair):
        return tuple(w.pair for w in windows)
    # Of two elements the last one alone may be missing, before it none is.
    same = all((w.size, w.stride, w.padding) == (2, 2, 0) or _is_idle(w) for w in windows)
    return "same" if same else None


def _is_idle(windows: Windows) -> bool:
    """Whether each window is one element, and each element is one."""
    return (windows.size, windows.stride, windows.padding) == (1, 1, 0)


def _largest(call: AtenCall, x: str, windows: Sequence[Windows]) -> str:
    """Of ``(N, *T, I)``; what is padded is less than any number."""
    padding = _padding(windows)
    if padding is None:
        x, padding = padded_around(call, x, [w.pair for w in windows], -math.inf), "valid"
    return call.apply(MAXIMA[len(windows)](**_of(windows), padding=padding), x)


def _mean(call: AtenCall, x: str, windows: Sequence[Windows]) -> str:
    """Of ``(N, *T, I)``; windows at the ends may count fewer elements than they have."""
    divisor = call.arguments.get("divisor_override")
    if divisor is not None or call["count_include_pad"]:
        # Zeros that count are there before; of those that a window lacks beyond them none does.
        beside = [(w.padding, w.padding) for w in windows]
        x = padded_around(call, x, beside)
        windows = [w._replace(padding=0, behind=longest(w.behind - w.padding, 0)) for w in windows]
    if divisor is None:
        return _counted_mean(call, x, windows)
    total = padded_around(call, x, [w.pair for w in windows])
    y = call.apply(MEANS[len(windows)](**_of(windows)), total)
    return call.compute("multiply", y, call.like(math.prod(w.size for w in windows) / divisor, y))


def _counted_mean(call: AtenCall, x: str, windows: Sequence[Windows]) -> str:
    """Of what is there in each window."""
    count, padding = len(windows), _padding(windows)
    if padding is not None:
        return call.apply(MEANS[count](**_of(windows), padding=padding), x)
    op, pairs = MEANS[count](**_of(windows)), [w.pair for w in windows]
    y = call.apply(op, padded_around(call, x, pairs))
    # The share of each window that is there.
    ones = ops.Full(shape=(1, *call.tensor(x).shape[1:-1], 1), value=1.0, output_dtype=call.dtype(x))
    return call.compute("divide", y, call.apply(op, padded_around(call, call.apply(ones), pairs)))


def _adaptive(call: AtenCall, function: str) -> str:
    """As many equal parts as are asked for along each axis; where the size is no multiple they overlap."""
    size = call["output_size"]
    asked = call.sizes(size) if isinstance(size, list | tuple) else [call.size(size)]
    count = _count(call)
    wanted = list(asked) * count if len(asked) == 1 else list(asked)
    return channels_last(call, "self", count, lambda x: _parts(call, x, wanted, function))


def _parts(call: AtenCall, x: str, wanted: Sequence[Dim], function: str) -> str:
    sizes = call.tensor(x).shape[1:-1]
    if set(wanted) == {1}:
        return call.apply(_over_all(len(wanted), function), x)
    whole = tuple(axis for axis, count in enumerate(wanted, start=1) if count == 1 != sizes[axis - 1])
    if whole:
        x = call.apply(ops.Reduction(function=function, axes=whole, keepdims=True), x)
    windows = tuple(map(_equal, call.tensor(x).shape[1:-1], wanted))
    if set(windows) != {1}:
        op = (MEANS if function == "mean" else MAXIMA)[len(wanted)](pool_size=windows, strides=windows)
        x = call.apply(op, x)
    for axis, count in enumerate(wanted, start=1):
        if call.tensor(x).shape[axis] != count:
            x = _overlapping(call, x, axis, count, function)
    return x


def _over_all(count: int, function: str) -> Any:
    return (GLOBAL_MEANS if function == "mean" else GLOBAL_MAXIMA)[count](keepdims=True)


def _equal(size: Dim, count: Dim) -> int:
    """How many elements each part has, where all have as many and none in common; else 1."""
    whole = isinstance(size, int) and isinstance(count, int) and size % count == 0
    return size // count if whole else 1  # type: ignore[return-value]


def _overlapping(call: AtenCall, x: str, axis: int, count: Dim, function: str) -> str:
    """Each of so many parts along an axis pooled by itself."""
    if not isinstance(count, int) or count > PARTS:
        raise call.refuse("output_size", count, f"up to {PARTS}")
    size, parts = call.tensor(x).shape[axis], []
    op: Any = ops.Reduction(function=function, axes=(axis,), keepdims=True)
    if call.rank(x) == 3:
        op = _over_all(1, function)
    for part in range(count):
        start, stop = (size * part) // count, (size * (part + 1) + count - 1) // count
        items = (*[WHOLE] * axis, (start, stop, 1))
        parts.append(call.apply(op, call.apply(ops.Slice(items=items), x)))
    return call.apply(ops.Concatenate(axis=axis), *parts)
