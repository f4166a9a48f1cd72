"""Operators of torch that have their channels in front of time, by layers that have them behind."""

from __future__ import annotations

from collections.abc import Callable

from biport import ops
from torch_side.reading.aten_call import AtenCall

TURNED = ops.PermuteDims(axes=(0, 2, 1))


def over_time(call: AtenCall, argument: str, layer: Callable[[str], str]) -> str:
    """What a layer over ``(N, T, I)`` gives for ``(N, I, T)``, with the channels in front again.

    Args:
        call: the statement.
        argument: the name of its argument, ``(N, I, T)``, or ``(I, T)`` of a single row.
        layer: takes and gives the name of a value.
    """
    x = call.value(argument)
    single = call.rank(x) == 2
    if single:
        x = call.apply(ops.ExpandDims(axes=(0,)), x)
    y = call.apply(TURNED, layer(call.apply(TURNED, x)))
    return call.apply(ops.Squeeze(axes=(0,)), y) if single else y


def padded_steps(call: AtenCall, x: str, front: object, behind: object, value: float = 0.0) -> str:
    """``(N, T, I)`` with more steps in front and behind."""
    if front == 0 == behind:
        return x
    if value == 0 and isinstance(front, int) and isinstance(behind, int):
        # The layer behind it has the name of the submodule.
        path, _ = call.reader.position(call.node)
        return call.apply(ops.ZeroPadding1D(padding=(front, behind)), x, name=f"{path or 'steps'}_pad")
    widths = ((0, 0), (front, behind), (0, 0))
    return call.apply(ops.Pad(widths=widths, value=value), x)  # type: ignore[arg-type]
