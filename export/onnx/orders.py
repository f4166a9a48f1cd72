"""In which order the axes of a value are written: as the graph has them, or features in front of others."""

from __future__ import annotations

from collections.abc import Sequence

from export.onnx.lazy_value import LazyValue, Order
from export.onnx.site import Site


def channels_first(rank: int) -> Order:
    """The order of ``(N, I, *T)`` where the graph has ``(N, *T, I)``.

    Example:
        >>> channels_first(4)
        (0, 3, 1, 2)
    """
    return (0, rank - 1, *range(1, rank - 1))


def wanted_first(x: LazyValue) -> Order:
    """`channels_first` of a value, which is announced to be asked for."""
    order = channels_first(len(x.tensor.shape))
    x.want(order)
    return order


def moved_axes(order: Order, axes: Sequence[int]) -> list[int]:
    """Where in a form in ``order`` these axes of the graph are.

    Example:
        >>> moved_axes(channels_first(4), [1, 2])
        [2, 3]
    """
    return [order.index(axis) for axis in axes]


def left_of(order: Order, dropped: Sequence[int]) -> Order:
    """The order in which the axes are that are left of those in ``order``, counted without ``dropped``.

    Example:
        >>> left_of(channels_first(4), [1])
        (0, 2, 1)
    """
    kept = [axis for axis in order if axis not in dropped]
    return tuple(sorted(kept).index(axis) for axis in kept)


def turned_to(site: Site, axes: Sequence[int]) -> tuple[LazyValue]:
    """The input with its ``axes`` in this order: no node, until somebody wants one that was not there."""
    (x,) = site.inputs
    order = tuple(axes.index(axis) for axis in x.order)
    return (site.lazy(lambda: x.ordered(x.order), order=order),)
