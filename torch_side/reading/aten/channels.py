"""Operators of torch that have their channels in front of other axes, by layers that have them behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from biport import ops
from biport.dims import Dim
from biport.ops.shape import ZERO_PADDINGS
from torch_side.reading.aten_call import AtenCall

MOST_AXES = 3
"""Between batch and features, of the layers of a graph."""


def channels_last(call: AtenCall, argument: Any, count: int, layer: Callable[[str], str]) -> str:
    """What a layer over ``(N, *T, I)`` gives for ``(N, I, *T)``, with the channels in front again.

    Args:
        call: the statement.
        argument: by its name, or as it is: ``(N, I, *T)``, or ``(I, *T)`` of a single row.
        count: how many axes T has.
        layer: takes and gives the name of a value.
    """
    x = call.value(argument)
    single = call.rank(x) == 1 + count
    if single:
        x = call.apply(ops.ExpandDims(axes=(0,)), x)
    last, *others = range(1, 2 + count)
    behind = ops.PermuteDims(axes=(0, *others, last))
    front = ops.PermuteDims(axes=(0, 1 + count, *range(1, 1 + count)))
    y = call.apply(front, layer(call.apply(behind, x)))
    return call.apply(ops.Squeeze(axes=(0,)), y) if single else y


def padded_around(
    call: AtenCall, x: str, pairs: Sequence[tuple[Dim, Dim]], value: float = 0.0, name: str = "pad"
) -> str:
    """``(N, *T, I)`` with more elements before and behind along each axis of T."""
    if all(pair == (0, 0) for pair in pairs):
        return x
    if value == 0 and all(isinstance(width, int) for pair in pairs for width in pair):
        # The layer behind it has the name of the submodule.
        path, _ = call.reader.position(call.node)
        op = ZERO_PADDINGS[len(pairs)](padding=tuple(pairs))  # type: ignore[arg-type]
        return call.apply(op, x, name=f"{path or 'steps'}_{name}")
    return call.apply(ops.Pad(widths=((0, 0), *pairs, (0, 0)), value=value), x)


def per_axis(setting: int | Sequence[int], count: int) -> tuple[int, ...]:
    """A setting of a statement as one number for each axis, where one alone is meant for all of them."""
    given = [setting] if isinstance(setting, int) else list(setting)
    return tuple(given * count if len(given) == 1 else given)
