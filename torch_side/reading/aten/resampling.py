"""More elements along the axes behind the channels, or channels in place of them."""

from __future__ import annotations

from collections.abc import Sequence

from biport import ops
from biport.dims import Dim, quotient
from biport.ops.shape import UP_SAMPLINGS
from torch_side.reading.aten.channels import channels_last
from torch_side.reading.aten.shaping import permuted, reshaped
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten


@reads_aten("upsample_nearest1d.default", "upsample_nearest1d.vec", "upsample_nearest2d.default",
            "upsample_nearest2d.vec", "upsample_nearest3d.default", "upsample_nearest3d.vec",
            "_upsample_nearest_exact1d.default", "_upsample_nearest_exact1d.vec",
            "_upsample_nearest_exact2d.default", "_upsample_nearest_exact2d.vec",
            "_upsample_nearest_exact3d.default", "_upsample_nearest_exact3d.vec")  # fmt: skip
def read_repeated(call: AtenCall) -> str:
    """`nn.Upsample` and `functional.interpolate`, ``nearest``: of elements repeated, both kinds are alike."""
    times = _times(call)
    kind = UP_SAMPLINGS[len(times)]
    return channels_last(call, _input(call), len(times), lambda x: call.apply(kind(size=times), x))


@reads_aten("upsample_bilinear2d.default", "upsample_bilinear2d.vec")
def read_bilinear(call: AtenCall) -> str:
    """`functional.interpolate`, ``bilinear``."""
    if call["align_corners"]:
        raise call.refuse("align_corners", True, "False")
    op = ops.UpSampling2D(size=_times(call), interpolation="bilinear")
    return channels_last(call, _input(call), 2, lambda x: call.apply(op, x))


@reads_aten("upsample_linear1d.default", "upsample_linear1d.vec", "upsample_trilinear3d.default",
            "upsample_trilinear3d.vec", "upsample_bicubic2d.default", "upsample_bicubic2d.vec",
            "_upsample_bilinear2d_aa.default", "_upsample_bilinear2d_aa.vec",
            "_upsample_bicubic2d_aa.default", "_upsample_bicubic2d_aa.vec",
            "grid_sampler_2d.default", "grid_sampler_3d.default")  # fmt: skip
def refuse_interpolation(call: AtenCall) -> str:
    """What no op of a graph is."""
    kind = call.name.removeprefix("_").removeprefix("upsample_")
    raise call.refuse("mode", kind, "nearest, and bilinear of two axes")


def _input(call: AtenCall) -> object:
    return call["input" if "input" in call.arguments else "self"]


def _times(call: AtenCall) -> tuple[int, ...]:
    """How many elements one becomes along each axis.

    Raises:
        UnsupportedError: no whole number.
    """
    before = call.tensor(call.value(_input(call))).shape[2:]
    factors = next((call[name] for name in ("scale_factors", "scales") if call.has(name)), None)
    if factors is None:
        return tuple(map(_whole, [call] * len(before), call.result_shape[2:], before))
    if any(factor != int(factor) or factor < 1 for factor in factors):
        raise call.refuse("scale_factor", list(factors), "whole numbers of 1 or more")
    return tuple(map(int, factors))


def _whole(call: AtenCall, after: Dim, before: Dim) -> int:
    times = quotient(after, before)
    if not isinstance(times, int) or times < 1:
        raise call.refuse("size", str(after), f"a size that is so many times {before}")
    return times


@reads_aten("pixel_shuffle.default")
def read_pixel_shuffle(call: AtenCall) -> str:
    """`nn.PixelShuffle`: ``(*, C r², H, W)`` to ``(*, C, H r, W r)``."""
    x, r = call.value("self"), call.number("upscale_factor")
    *rows, channels, height, width = call.tensor(x).shape
    split = reshaped(call, x, (*rows, channels // r**2, r, r, height, width))
    placed = permuted(call, split, _behind(len(rows), (0, 3, 1, 4, 2)))
    return reshaped(call, placed, (*rows, channels // r**2, height * r, width * r))


@reads_aten("pixel_unshuffle.default")
def read_pixel_unshuffle(call: AtenCall) -> str:
    """`nn.PixelUnshuffle`: ``(*, C, H r, W r)`` to ``(*, C r², H, W)``."""
    x, r = call.value("self"), call.number("downscale_factor")
    *rows, channels, height, width = call.tensor(x).shape
    split = reshaped(call, x, (*rows, channels, height // r, r, width // r, r))
    placed = permuted(call, split, _behind(len(rows), (0, 2, 4, 1, 3)))
    return reshaped(call, placed, (*rows, channels * r**2, height // r, width // r))


@reads_aten("channel_shuffle.default", "native_channel_shuffle.default")
def read_channel_shuffle(call: AtenCall) -> str:
    """`nn.ChannelShuffle`: channels of so many groups in turn."""
    x, groups = call.value("self"), call.number("groups")
    rows, channels, *rest = call.tensor(x).shape
    split = reshaped(call, x, (rows, groups, channels // groups, *rest))
    placed = permuted(call, split, (0, 2, 1, *range(3, 3 + len(rest))))
    return reshaped(call, placed, (rows, channels, *rest))


def _behind(count: int, axes: Sequence[int]) -> tuple[int, ...]:
    """A permutation of the last axes, behind so many others."""
    return (*range(count), *(count + axis for axis in axes))
