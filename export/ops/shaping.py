"""Tensor operations that move elements and compute none.

They are written in batch-major form, so that step form is left; what leaves N and T as they are stays in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from biport.dims import Dim
from biport.ops import (
    BroadcastTo,
    ExpandDims,
    Flip,
    Pad,
    PermuteDims,
    Repeat,
    ReshapeTo,
    Roll,
    Slice,
    Split,
    Squeeze,
    Stack,
    Tile,
    Unstack,
)
from biport.ops.shaping import WHOLE, Cut, turned
from export.onnx.builder import Operand
from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.orders import left_of, moved_axes, turned_to
from export.onnx.site import Site
from export.onnx.step_layout import BEFORE_FIRST, BEHIND_LAST
from export.registry import writes


@writes(ReshapeTo)
def write_reshape_to(op: ReshapeTo, site: Site) -> tuple[LazyValue, ...]:
    """``Reshape``, every size said: of nothing -1 could be anything, and 0 means a size of the input."""
    (x,) = site.inputs

    def write() -> ir.Value:
        return site.scope("Reshape", x.value(), site.dims(op.with_rest(x.tensor)), allowzero=1)

    return (site.lazy(write),)


@writes(PermuteDims)
def write_permute_dims(op: PermuteDims, site: Site) -> tuple[LazyValue, ...]:
    """``Transpose``, where somebody wants that order."""
    return turned_to(site, op.axes)


@writes(ExpandDims)
def write_expand_dims(op: ExpandDims, site: Site) -> tuple[LazyValue, ...]:
    """``Unsqueeze``; the order of the other axes stays."""
    (x,) = site.inputs
    rank = len(site.output_tensors[0].shape)
    new = {axis % rank for axis in op.axes}
    old = [axis for axis in range(rank) if axis not in new]
    others = iter(old[axis] for axis in x.order)
    order = tuple(axis if axis in new else next(others) for axis in range(rank))
    return (site.lazy(lambda: site.scope("Unsqueeze", x.ordered(x.order), sorted(new)), order=order),)


@writes(Squeeze)
def write_squeeze(op: Squeeze, site: Site) -> tuple[LazyValue, ...]:
    """``Squeeze``; the order of the other axes stays."""
    (x,) = site.inputs
    dropped = [axis % len(x.tensor.shape) for axis in op.axes]
    axes = moved_axes(x.order, dropped)
    return (
        site.lazy(lambda: site.scope("Squeeze", x.ordered(x.order), axes), order=left_of(x.order, dropped)),
    )


@writes(BroadcastTo)
def write_broadcast_to(op: BroadcastTo, site: Site) -> tuple[LazyValue, ...]:
    """``Expand``, which would let the input stretch the shape too: a ``Reshape`` refuses that."""
    (x,) = site.inputs
    own = op.shape[len(op.shape) - len(x.tensor.shape) :]
    sure = all(given in (1, wanted) for given, wanted in zip(x.tensor.shape, own, strict=True))

    def write() -> ir.Value:
        shape = site.dims(op.shape)
        value = site.scope("Expand", x.value(), shape)
        return value if sure else site.scope("Reshape", value, shape, allowzero=1)

    return (site.lazy(write),)


@writes(Tile)
def write_tile(op: Tile, site: Site) -> tuple[LazyValue, ...]:
    """``Tile``, axes put in front where there are more repetitions."""
    (x,) = site.inputs
    new = len(op.repetitions) - len(x.tensor.shape)

    def write() -> ir.Value:
        value = site.scope("Unsqueeze", x.value(), list(range(new))) if new else x.value()
        return site.scope("Tile", value, site.dims(op.repetitions)) if op.repetitions else value

    return (site.lazy(write),)


@writes(Repeat)
def write_repeat(op: Repeat, site: Site) -> tuple[LazyValue, ...]:
    """``Gather``: element ``i`` is the input's element ``i // repeats``."""
    (x,) = site.inputs
    axis, scope = op.axis % len(x.tensor.shape), site.scope

    def write() -> ir.Value:
        value, dim = x.value(), x.tensor.shape[axis]
        if isinstance(dim, int):
            return scope("Gather", value, np.repeat(np.arange(dim), op.repeats), axis=axis)
        size = scope("Squeeze", scope("Shape", value, start=axis, end=axis + 1), [0])
        repeats = np.asarray(op.repeats, "int64")
        start, step = np.asarray(0, "int64"), np.asarray(1, "int64")
        outputs = scope("Range", start, scope("Mul", size, repeats), step)
        return scope("Gather", value, scope("Div", outputs, repeats), axis=axis)

    return (site.lazy(write),)


@writes(Flip)
def write_flip(op: Flip, site: Site) -> tuple[LazyValue, ...]:
    """``Slice`` backwards."""
    (x,) = site.inputs
    return (site.lazy(lambda: _flipped(site, x.value(), op.axes)),)


def _flipped(site: Site, x: ir.Value, axes: Sequence[int]) -> ir.Value:
    count = len(axes)
    return site.scope("Slice", x, [-1] * count, [BEFORE_FIRST] * count, list(axes), [-1] * count)


@writes(Roll)
def write_roll(op: Roll, site: Site) -> tuple[LazyValue, ...]:
    """What leaves at one end in front of, or behind, the rest."""
    (x,) = site.inputs
    axis, scope = op.axis % len(x.tensor.shape), site.scope

    def write() -> ir.Value:
        value, dim = x.value(), x.tensor.shape[axis]
        # Where the first part ends: the size less the shift, which may be larger than the size.
        if isinstance(dim, int):
            end: Operand = [-op.shift % dim if dim else 0]
        else:
            size = scope("Shape", value, start=axis, end=axis + 1)
            end = scope("Mod", [-op.shift], scope("Max", size, [1]))
        behind = scope("Slice", value, end, [BEHIND_LAST], [axis])
        return scope("Concat", behind, scope("Slice", value, [0], end, [axis]), axis=axis)

    return (site.lazy(write),)


@writes(Pad)
def write_pad(op: Pad, site: Site) -> tuple[LazyValue, ...]:
    """``Pad``, of all axes, see `export.onnx.dynamic_sizes.DynamicSizes.pad`."""
    (x,) = site.inputs

    def write() -> ir.Value:
        widths = site.dims([width for end in zip(*op.widths, strict=True) for width in end])
        if op.mode != "constant":
            return site.scope("Pad", x.value(), widths, mode=op.mode)
        return site.scope("Pad", x.value(), widths, np.asarray(op.value, x.tensor.dtype))

    return (site.lazy(write),)


@writes(Slice)
def write_slice(op: Slice, site: Site) -> tuple[LazyValue, ...]:
    """``Slice`` for what is cut, ``Gather`` for a position, ``Unsqueeze`` for a new axis."""
    (x,) = site.inputs
    items = [item for item in op.items if item is not None]
    cuts = {axis: item for axis, item in enumerate(items) if isinstance(item, tuple) and item != WHOLE}
    positions = {axis: item for axis, item in enumerate(items) if isinstance(item, int)}
    kept = [item for item in op.items if not isinstance(item, int)]
    new = [axis for axis, item in enumerate(kept) if item is None]

    def write() -> ir.Value:
        value = _cut(site, x.value(), x.tensor.shape, cuts)
        for axis, position in reversed(positions.items()):
            value = site.scope("Gather", value, np.asarray(position, "int64"), axis=axis)
        return site.scope("Unsqueeze", value, new) if new else value

    def write_steps(layout: StepForm) -> ir.Value:
        return _cut(site, x.steps(layout), x.tensor.shape, cuts)

    if len(x.tensor.shape) == 3 and not positions and not new and set(cuts) <= {2}:
        return (site.lazy(write, write_steps, root=x),)
    return (site.lazy(write),)


def _cut(site: Site, x: ir.Value, shape: Sequence[Dim], cuts: dict[int, Cut]) -> ir.Value:
    # A start before the first element means nothing to Python going backward, and the first one to ONNX.
    far = [
        axis
        for axis, (start, _, step) in cuts.items()
        if step < 0 and isinstance(start, int) and start < 0 and start != -1
    ]
    if far:
        x, cuts = _flipped(site, x, far), {a: turned(cut) if a in far else cut for a, cut in cuts.items()}
    if not cuts:
        return x
    starts, stops = [], []
    for start, stop, step in cuts.values():
        front, end = (0, BEHIND_LAST) if step > 0 else (BEHIND_LAST, BEFORE_FIRST)
        starts.append(front if start is None else start)
        stops.append(end if stop is None else stop)
    steps = [step for _, _, step in cuts.values()]
    by = [steps] if set(steps) != {1} else []
    return site.scope("Slice", x, site.dims(starts), site.dims(stops), list(cuts), *by)


@writes(Stack)
def write_stack(op: Stack, site: Site) -> tuple[LazyValue, ...]:
    """``Unsqueeze`` of each, and ``Concat``."""
    axis = op.axis % len(site.output_tensors[0].shape)

    def write() -> ir.Value:
        parts = [site.scope("Unsqueeze", x.value(), [axis]) for x in site.inputs]
        return site.scope("Concat", *parts, axis=axis)

    return (site.lazy(write),)


@writes(Split)
def write_split(op: Split, site: Site) -> tuple[LazyValue, ...]:
    """``Split``."""
    (x,) = site.inputs
    axis, rank = op.axis % len(x.tensor.shape), len(x.tensor.shape)
    parts = _Parts(site, axis, [tensor.shape[axis] for tensor in site.output_tensors], op)
    if rank == 3 and axis == 2:
        return tuple(
            site.lazy(
                lambda number=number: parts.of(x.value())[number],
                lambda layout, number=number: parts.of(x.steps(layout))[number],
                root=x,
                output=number,
            )
            for number in range(op.output_count)
        )
    return tuple(
        site.lazy(lambda number=number: parts.of(x.value())[number], output=number)
        for number in range(op.output_count)
    )


@writes(Unstack)
def write_unstack(op: Unstack, site: Site) -> tuple[LazyValue, ...]:
    """``Gather`` of each; along a size that varies a ``Split``, which must come out even."""
    (x,) = site.inputs
    axis = op.axis % len(x.tensor.shape)
    parts = _Parts(site, axis, [1] * op.count)

    def write(number: int) -> ir.Value:
        if isinstance(x.tensor.shape[axis], int):
            return site.scope("Gather", x.value(), np.asarray(number, "int64"), axis=axis)
        return site.scope("Squeeze", parts.of(x.value())[number], [axis])

    return tuple(site.lazy(lambda number=number: write(number), output=number) for number in range(op.count))


class _Parts:
    """The parts of a value along an axis, written once for each form of it."""

    def __init__(self, site: Site, axis: int, sizes: Sequence[Dim], op: Split | None = None) -> None:
        self._site, self._axis, self._sizes, self._op = site, axis, sizes, op
        self._written: dict[int, list[ir.Value]] = {}

    def of(self, x: ir.Value) -> list[ir.Value]:
        """All of them."""
        if id(x) not in self._written:
            wanted = [True] * len(self._sizes)
            parts = self._site.scope.several("Split", x, self._lengths(x), wanted=wanted, axis=self._axis)
            self._written[id(x)] = parts
        return self._written[id(x)]

    def _lengths(self, x: ir.Value) -> Operand:
        if self._op is None or all(isinstance(size, int) for size in self._sizes):
            return [size for size in self._sizes if isinstance(size, int)]
        scope, known = self._site.scope, sum(size for size in self._op.sizes if size != -1)
        whole = scope("Shape", x, start=self._axis, end=self._axis + 1)
        rest = scope("Sub", whole, [known])
        return scope("Concat", *(rest if size == -1 else [size] for size in self._op.sizes), axis=0)
