"""Tensor operations that move elements and compute none: reshaped, permuted, joined, cut, padded, repeated.

Names and meaning are those of the Python array API standard 2024.12, where it has them. Sizes in the
settings may be expressions of the letters of the model's inputs, see `biport.dims`; each form computes them
when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from biport.dims import Dim, is_length, length, longest, plain, product, quotient, shortest, size, sizes
from biport.errors import GraphError
from biport.ops.base import Locality, Op, TensorOperation
from biport.ops.checks import (
    TooShortError,
    check_axes,
    check_choice,
    check_sizes,
    need,
    on_axes,
    on_axis,
    take,
)
from biport.ops.reduction import without
from biport.ops.tensor import EVERY_DTYPE, Tensor, same_dim

Cut = tuple[Dim | None, Dim | None, int]
"""Start, stop and step along an axis, as in Python; ``None`` is the end."""

Item = int | Cut | None
"""What an index says of an axis: its one position, which takes the axis away; a cut; or ``None``, a new axis
of size 1."""


class Moving(TensorOperation):
    """Elements of one input in another order or shape; not an op by itself."""

    moves: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, EVERY_DTYPE)
        return (Tensor(self.shape_of(x), x.dtype),)

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        """The output's shape."""
        raise NotImplementedError

    def kept(self, x: Tensor) -> Sequence[int | None]:
        """For each axis of the output the input's that it is, every element where it was, if it is one."""
        raise NotImplementedError

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return _local(self.kept(inputs[0]), len(inputs[0].shape))

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return _moves_rows(self.kept(inputs[0]))


SIZES_NAMED = Locality.STEP | Locality.FEATURE
"""What can be local of an op that names how many steps and features there are."""


def _moves_rows(kept: Sequence[int | None]) -> bool:
    return not kept or kept[0] != 0


def _local(kept: Sequence[int | None], rank: int) -> Locality:
    if rank < 2 or len(kept) < 2 or kept[0] != 0:
        return Locality.NONE
    steps = Locality.EVERY_STEP if kept[1] == 1 else Locality.NONE
    return steps | (Locality.EVERY_FEATURE if kept[-1] == rank - 1 else Locality.NONE)


def _all_but(axes: Sequence[int], rank: int) -> list[int | None]:
    """Every axis kept but some."""
    gone = {axis % rank for axis in axes}
    return [None if axis in gone else axis for axis in range(rank)]


def _with_new(kept: Sequence[int | None], axes: Sequence[int]) -> list[int | None]:
    """With new axes among them, counted in the result."""
    rank = len(kept) + len(axes)
    new, left = {axis % rank for axis in axes}, iter(kept)
    return [None if axis in new else next(left) for axis in range(rank)]


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ReshapeTo(Moving):
    """The elements in row-major order in another shape, the batch no exception.

    Args:
        shape: sizes; their product is the number of elements. What frameworks write as -1 is a size too, see
            `whole_shape`: of an empty batch nobody could tell what it stands for.

    Example:
        >>> ReshapeTo(shape=("N*T", 2, 3)).infer([Tensor(("N", "T", 6), "float32")])[0]
        Tensor(shape=(N*T, 2, 3), dtype='float32')
    """

    shape: tuple[Dim, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", sizes(self.shape))
        _check_shape(self, self.shape, least=0)

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        if not same_dim(product(x.shape), product(self.shape)):
            raise GraphError(f"{self.kind}: {x} does not go into {self.shape}")
        return self.shape

    def kept(self, x: Tensor) -> Sequence[int | None]:
        front, behind = _alike(x.shape, self.shape), _alike(x.shape[::-1], self.shape[::-1])
        shift, rank = len(x.shape) - len(self.shape), len(self.shape)
        return [
            axis if axis < front else axis + shift if axis >= rank - behind else None for axis in range(rank)
        ]

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return super().locality(inputs) & SIZES_NAMED

    def with_rest(self, x: Tensor) -> tuple[Dim, ...]:
        """``shape`` for ``x`` with -1 for its one size that varies, where it can be nothing else.

        Example:
            >>> ReshapeTo(shape=("N*T", 6)).with_rest(Tensor(("N", "T", 6), "float32"))
            (-1, 6)
            >>> ReshapeTo(shape=("N", "T*2", 3)).with_rest(Tensor(("N", "T", 6), "float32"))
            (N, T*2, 3)
        """
        known = product([dim for dim in self.shape if isinstance(dim, int)])
        varying = [dim for dim in self.shape if not isinstance(dim, int)]
        if len(varying) != 1 or not known or quotient(product(x.shape), known) != varying[0]:
            return self.shape
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.shape)


def whole_shape(shape: Sequence[Dim], wanted: Sequence[Dim]) -> tuple[Dim, ...]:
    """A shape to which another one is reshaped, with the size that a -1 in it stands for.

    Args:
        shape: what is reshaped.
        wanted: sizes, one of them -1 at most.

    Raises:
        GraphError: more than one -1, or what is left is no whole number.

    Example:
        >>> N, T = sizes(("N", "T"))
        >>> whole_shape((N, T, 6), (-1, 3)), whole_shape((N, T, 6), (N, -1, 3)), whole_shape((N, 4), (-1, N))
        ((N*T*2, 3), (N, T*2, 3), (4, N))
    """
    if list(wanted).count(-1) > 1:
        raise GraphError(f"more than one -1 in {tuple(wanted)}")
    total, given = product(shape), product([dim for dim in wanted if dim != -1])
    left = quotient(total, given)
    if left is None:
        if isinstance(total, int) or given == 0:
            raise GraphError(f"{tuple(shape)} does not go into {tuple(wanted)}")
        left = total // given
    return tuple(left if dim == -1 else dim for dim in wanted)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PermuteDims(Moving):
    """The axes in another order, the batch no exception.

    Args:
        axes: for each axis of the output the input's.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", check_axes(self, self.axes))
        if sorted(self.axes) != list(range(len(self.axes))):
            raise GraphError(f"{self.kind}: axes should be 0 to the rank in some order, found {self.axes}")

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        if len(x.shape) != len(self.axes):
            raise GraphError(f"{self.kind} of {len(self.axes)} axes, found {x}")
        return tuple(x.shape[axis] for axis in self.axes)

    def kept(self, x: Tensor) -> Sequence[int | None]:
        return [axis if axis == given else None for axis, given in enumerate(self.axes)]


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExpandDims(Moving):
    """New axes of size 1.

    Args:
        axes: where they are in the output.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", check_axes(self, self.axes))

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        rank = len(x.shape) + len(self.axes)
        new = on_axes(self, self.axes, Tensor((1,) * rank, x.dtype))
        left = iter(x.shape)
        return tuple(1 if axis in new else next(left) for axis in range(rank))

    def kept(self, x: Tensor) -> Sequence[int | None]:
        return _with_new(range(len(x.shape)), self.axes)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Squeeze(Moving):
    """Without some axes, all of size 1.

    Args:
        axes: the input's. One whose size varies is promised to be of size 1.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", check_axes(self, self.axes))

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        axes = on_axes(self, self.axes, x)
        if any(isinstance(x.shape[axis], int) and x.shape[axis] != 1 for axis in axes):
            raise GraphError(f"{self.kind}: the axes {self.axes} of {x} are not of size 1")
        return without(x.shape, axes, keepdims=False)

    def kept(self, x: Tensor) -> Sequence[int | None]:
        return [axis for axis in _all_but(self.axes, len(x.shape)) if axis is not None]


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BroadcastTo(Moving):
    """Sizes of 1 stretched, and axes put in front, until the shape is another one.

    Args:
        shape: sizes, none of them -1.
    """

    shape: tuple[Dim, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", sizes(self.shape))
        _check_shape(self, self.shape, least=0)

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        own = self.shape[len(self.shape) - len(x.shape) :] if len(x.shape) <= len(self.shape) else ()
        if len(own) != len(x.shape) or any(
            a != 1 and not same_dim(a, b) for a, b in zip(x.shape, own, strict=True)
        ):
            raise GraphError(f"{self.kind}: {x} does not stretch to {self.shape}")
        return self.shape

    def kept(self, x: Tensor) -> Sequence[int | None]:
        new = len(self.shape) - len(x.shape)
        own = [axis if dim == self.shape[new + axis] else None for axis, dim in enumerate(x.shape)]
        return [*[None] * new, *own]

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return super().locality(inputs) & SIZES_NAMED


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Tile(Moving):
    """The whole of it several times along each axis.

    Args:
        repetitions: one an axis; with more than the input has, axes are put in front.
    """

    repetitions: tuple[Dim, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "repetitions", sizes(self.repetitions))
        _check_shape(self, self.repetitions, least=0)

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        if len(self.repetitions) < len(x.shape):
            raise GraphError(f"{self.kind}: {len(self.repetitions)} repetitions, found {x}")
        full = (1,) * (len(self.repetitions) - len(x.shape)) + x.shape
        return tuple(dim * count for dim, count in zip(full, self.repetitions, strict=True))

    def kept(self, x: Tensor) -> Sequence[int | None]:
        new = len(self.repetitions) - len(x.shape)
        own = [axis if self.repetitions[new + axis] == 1 else None for axis in range(len(x.shape))]
        return [*[None] * new, *own]


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Repeat(Moving):
    """Each element along ``axis`` several times, one after the other.

    Args:
        repeats: how often.
        axis: along which.
    """

    repeats: int
    axis: int

    def __post_init__(self) -> None:
        check_sizes(self.kind, repeats=self.repeats)
        check_axes(self, self.axis)

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        axis = on_axis(self, self.axis, x)
        return (*x.shape[:axis], x.shape[axis] * self.repeats, *x.shape[axis + 1 :])

    def kept(self, x: Tensor) -> Sequence[int | None]:
        return _all_but([self.axis] if self.repeats > 1 else [], len(x.shape))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Flip(Moving):
    """The elements along some axes in reverse order.

    Args:
        axes: none of them twice; by default the steps of ``(N, T, ...)``.
    """

    axes: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", check_axes(self, self.axes))

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        on_axes(self, self.axes, x)
        return x.shape

    def kept(self, x: Tensor) -> Sequence[int | None]:
        return _all_but(self.axes, len(x.shape))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Roll(Moving):
    """The elements along an axis moved on, what leaves at one end coming in at the other.

    Args:
        shift: by how many places, towards the end; negative towards the front.
        axis: along which.
    """

    shift: int
    axis: int

    def __post_init__(self) -> None:
        check_axes(self, (self.shift, self.axis))

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        on_axis(self, self.axis, x)
        return x.shape

    def kept(self, x: Tensor) -> Sequence[int | None]:
        return _all_but([self.axis] if self.shift else [], len(x.shape))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Pad(Moving):
    """More elements in front and behind along each axis.

    Args:
        widths: for each axis how many in front and how many behind, none of them negative.
        mode: ``constant``; ``reflect`` mirrors without the edge itself, ``edge`` repeats it (torch calls it
            ``replicate``); those two need elements to take.
        value: of the new elements with ``constant``.
    """

    widths: tuple[tuple[Dim, Dim], ...]
    mode: str = "constant"
    value: float = 0.0

    def __post_init__(self) -> None:
        widths = tuple(tuple(sizes(pair)) for pair in self.widths)
        object.__setattr__(self, "widths", widths)
        if any(len(pair) != 2 for pair in widths):
            raise GraphError(f"{self.kind}: widths should be pairs, found {self.widths}")
        _check_shape(self, [width for pair in widths for width in pair], least=0)
        check_choice(self.kind, "mode", self.mode, ("constant", "reflect", "edge"))

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        if len(self.widths) != len(x.shape):
            raise GraphError(f"{self.kind}: {len(self.widths)} pairs of widths, found {x}")
        for dim, pair in zip(x.shape, self.widths, strict=True):
            widest = max(width if isinstance(width, int) else 0 for width in pair)
            least = {"constant": 0, "reflect": 1 + widest, "edge": 1}[self.mode]
            if pair != (0, 0) and isinstance(dim, int) and dim < least:
                raise TooShortError(f"{self.kind}: {self.mode} by {pair} takes {least} elements, found {x}")
        return tuple(dim + sum(pair) for dim, pair in zip(x.shape, self.widths, strict=True))

    def kept(self, x: Tensor) -> Sequence[int | None]:
        moved = [axis for axis, pair in enumerate(self.widths) if pair != (0, 0)]
        return _all_but(moved, len(x.shape))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Slice(Moving):
    """Part of it, as Python's square brackets take it: ``x[:, -1]``, ``x[:, 1:-1, None]``.

    Args:
        items: for each axis in order its position, which takes the axis away, or start, stop and step; or
            ``None`` for a new axis of size 1. Axes that are left out stay whole. Bounds may be negative,
            beyond the end, or ``None``; a position may be negative. Bounds that vary are never negative.

    Example:
        >>> last = Slice(items=((None, None, 1), -1))
        >>> last
        Slice[:, -1]
        >>> last.infer([Tensor(("N", "T", 4), "float32")])[0]
        Tensor(shape=(N, 4), dtype='float32')
        >>> Slice(items=((None, None, 1), (1, -1, 1))).infer([Tensor(("N", "T", 4), "float32")])[0]
        Tensor(shape=(N, T-2, 4), dtype='float32')
    """

    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(_item(self, item) for item in self.items))

    def __repr__(self) -> str:
        return f"{self.kind}[{', '.join(map(_item_text, self.items))}]"

    def shape_of(self, x: Tensor) -> tuple[Dim, ...]:
        left = list(x.shape)
        if sum(item is not None for item in self.items) > len(left):
            raise GraphError(f"{self.kind}: {len(self.items)} items for {x}")
        shape: list[Dim] = []
        for item in self.items:
            if item is None:
                shape.append(1)
                continue
            dim = left.pop(0)
            if isinstance(item, tuple):
                shape.append(cut_length(dim, item))
            elif isinstance(dim, int) and not -dim <= item < dim:
                raise TooShortError(f"{self.kind}: there is no position {item} in {x}")
        return (*shape, *left)

    def kept(self, x: Tensor) -> Sequence[int | None]:
        kept, axis = [], 0
        for item in self.items:
            if not isinstance(item, int):
                kept.append(axis if item == WHOLE else None)
            axis += item is not None
        return [*kept, *range(axis, len(x.shape))]


def _item_text(item: Item) -> str:
    """An item as it stands in square brackets."""
    if not isinstance(item, tuple):
        return "None" if item is None else str(item)
    start, stop = ("" if bound is None else str(bound) for bound in item[:2])
    return f"{start}:{stop}" + (f":{item[2]}" if item[2] != 1 else "")


WHOLE: Cut = (None, None, 1)
"""The cut that takes everything."""


def turned(cut: Cut) -> Cut:
    """What a cut that goes backwards takes, as a cut of the same elements in reverse order.

    Example:
        >>> numbers, cut = [0, 1, 2, 3, 4], (3, 0, -2)
        >>> numbers[slice(*cut)], numbers[::-1][slice(*turned(cut))]
        ([3, 1], [3, 1])
    """
    start, stop, step = cut
    # Element p is -1 - p from the end on, and the other way about.
    return None if start is None else -1 - start, None if stop is None else -1 - stop, -step


def _alike(one: Sequence[Dim], two: Sequence[Dim]) -> int:
    """How many sizes are the same from the first on."""
    return next(
        (count for count, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
    )


def cut_length(dim: Dim, cut: Cut) -> Dim:
    """How many elements a cut takes of ``dim``.

    Example:
        >>> T = size("T")
        >>> cut_length(T, (None, None, 2)), cut_length(T, (1, -1, 1)), cut_length(T, (None, 3, 1))
        ((T+1)//2, T-2, min(T, 3))
        >>> cut_length(5, (None, None, -2)), cut_length(T, (None, None, -1)), cut_length(T, (-3, None, 1))
        (3, T, min(T, 3))
    """
    start, stop, step = cut
    if isinstance(dim, int) and all(bound is None or isinstance(bound, int) for bound in (start, stop)):
        return len(range(*slice(start, stop, step).indices(dim)))
    # What begins behind its end has no elements, so that only one of its ends has to be within the sequence.
    if step > 0:
        first = _from_front(dim, start, 0, default=0)
        last = dim if stop is None else _from_front(dim, stop, 0)
        last = last if isinstance(stop, int) and stop < 0 else shortest(last, dim)
        # T - max(T - 3, 0), said simply.
        whole = isinstance(start, int) and start < 0 and stop is None
        span = shortest(dim, -start) if whole else length(last - first)  # type: ignore[operator]
        return (span + (step - 1)) // step
    first = dim - 1 if start is None else shortest(_from_front(dim, start, -1), dim - 1)
    last = _from_front(dim, stop, -1, default=-1)
    return (length(first - last) + (-step - 1)) // -step


def _from_front(dim: Dim, bound: Dim | None, least: int, default: int = 0) -> Dim:
    """A bound counted from the front; those from the end are cut at ``least``."""
    if bound is None:
        return default
    return longest(dim + bound, least) if isinstance(bound, int) and bound < 0 else bound


def _item(op: Op, item: object) -> Item:
    if item is None:
        return None
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    if isinstance(item, list | tuple) and len(item) == 3:
        start, stop, step = item
        if isinstance(step, int) and step:
            first, last = (None if bound is None else size(bound) for bound in (start, stop))
            if all(bound is None or isinstance(bound, int) or is_length(bound) for bound in (first, last)):
                return first, last, step
    raise GraphError(f"{op.kind}: {item!r} is no position, no start, stop and step, and not None")


def _check_shape(op: Op, shape: Sequence[Dim], least: int) -> None:
    for dim in shape:
        if isinstance(dim, bool) or (isinstance(dim, int) and dim < least):
            raise GraphError(f"{op.kind}: sizes of {least} or more, found {plain(dim)} in {tuple(shape)}")


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Stack(TensorOperation):
    """Inputs of one shape side by side along a new axis.

    Args:
        axis: where it is in the output.
    """

    axis: int = 0

    def __post_init__(self) -> None:
        check_axes(self, self.axis)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not inputs:
            raise GraphError(f"{self.kind} takes one or more inputs, found none")
        first = inputs[0]
        for other in inputs:
            alike = len(other.shape) == len(first.shape) and other.dtype == first.dtype
            if not alike or not all(map(same_dim, first.shape, other.shape)):
                raise GraphError(f"{self.kind}: {first} and {other} do not go together")
        axis = on_axis(self, self.axis, Tensor((*first.shape, 1), first.dtype))
        return (Tensor((*first.shape[:axis], len(inputs), *first.shape[axis:]), first.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return _local(self._kept(inputs[0]), len(inputs[0].shape))

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return _moves_rows(self._kept(inputs[0]))

    def _kept(self, x: Tensor) -> Sequence[int | None]:
        return _with_new(range(len(x.shape)), [self.axis])


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Split(TensorOperation):
    """Parts of it along an axis, one after the other; one output a part.

    Args:
        sizes: of the parts; they add up to the size of the axis. One may be -1, which is what is left.
        axis: along which.
    """

    moves: ClassVar[bool] = True

    sizes: tuple[int, ...]
    axis: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        check_axes(self, (*self.sizes, self.axis))
        if not self.sizes or min(self.sizes) < -1 or self.sizes.count(-1) > 1:
            raise GraphError(
                f"{self.kind}: sizes should be numbers, one of them -1 at most, found {self.sizes}"
            )

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, EVERY_DTYPE)
        axis = on_axis(self, self.axis, x)
        known = sum(part for part in self.sizes if part != -1)
        dim = x.shape[axis]
        if isinstance(dim, int) and (dim < known or (dim > known and -1 not in self.sizes)):
            error = TooShortError if dim < known else GraphError
            raise error(f"{self.kind}: parts of {self.sizes} of {x} along {self.axis}")
        parts = [length(dim - known) if part == -1 else part for part in self.sizes]
        return tuple(Tensor((*x.shape[:axis], part, *x.shape[axis + 1 :]), x.dtype) for part in parts)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return _local(self._kept(inputs[0]), len(inputs[0].shape))

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return _moves_rows(self._kept(inputs[0]))

    def _kept(self, x: Tensor) -> Sequence[int | None]:
        return _all_but([self.axis], len(x.shape))

    @property
    def output_count(self) -> int:
        return len(self.sizes)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Unstack(TensorOperation):
    """The elements along an axis, which goes away; one output each.

    Args:
        count: the size of the axis.
        axis: along which.
    """

    moves: ClassVar[bool] = True

    count: int
    axis: int

    def __post_init__(self) -> None:
        check_sizes(self.kind, count=self.count)
        check_axes(self, self.axis)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, EVERY_DTYPE)
        axis = on_axis(self, self.axis, x)
        dim = x.shape[axis]
        if isinstance(dim, int) and dim != self.count:
            error = TooShortError if dim < self.count else GraphError
            raise error(f"{self.kind}: {self.count} elements along {self.axis}, found {x}")
        return (Tensor(without(x.shape, [axis], keepdims=False), x.dtype),) * self.count

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return _local(self._kept(inputs[0]), len(inputs[0].shape))

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return _moves_rows(self._kept(inputs[0]))

    def _kept(self, x: Tensor) -> Sequence[int | None]:
        return [axis for axis in _all_but([self.axis], len(x.shape)) if axis is not None]

    @property
    def output_count(self) -> int:
        return self.count
