"""Operations that move elements: reshaped, permuted, joined, cut, padded, repeated.

Source:
    keras/src/ops/numpy.py and core.py of 3.15.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biport import ops
from biport.ops import Dim, Op
from biport.ops.shaping import whole_shape
from keras_side.operations.registry import OperationCall, is_whole, reads
from keras_side.operations.terms import Term, apply, apply_all, cast, common_dtype, number


@reads("Reshape")
def reshape(call: OperationCall) -> Term:
    """Row-major, the batch no exception; one size may be -1."""
    shape = call.setting("newshape")
    sizes = shape if isinstance(shape, list | tuple) else [shape]
    if not all(is_whole(size) for size in sizes):
        raise call.refusal("newshape", shape, "numbers, one of them -1 at most")
    return reshaped(call.term(), sizes)


def reshaped(x: Term, shape: Sequence[Dim]) -> Term:
    """In another shape, in which one size may be -1."""
    return apply(ops.ReshapeTo(shape=whole_shape(x.tensor.shape, shape)), x)


@reads("Ravel")
def ravel(call: OperationCall) -> Term:
    """In one row, the batch too."""
    return flat(call.term())


def flat(x: Term) -> Term:
    """In one row."""
    return reshaped(x, [-1])


@reads("Transpose")
def transpose(call: OperationCall) -> Term:
    """The axes as they are said, or in reverse order."""
    x = call.term()
    if not call.setting("axes"):
        return permuted(x, range(x.rank)[::-1])
    return permuted(x, call.axes(x.rank, "axes"))


def permuted(x: Term, axes: Any) -> Term:
    """The axes in another order."""
    return apply(ops.PermuteDims(axes=tuple(axes)), x)


@reads("Swapaxes")
def swapaxes(call: OperationCall) -> Term:
    """Two axes in each other's place."""
    x = call.term()
    one, two = call.axis(x.rank, "axis1"), call.axis(x.rank, "axis2")
    axes = list(range(x.rank))
    axes[one], axes[two] = two, one
    return x if one == two else permuted(x, axes)


@reads("Moveaxis")
def moveaxis(call: OperationCall) -> Term:
    """Axes elsewhere, the others in their order."""
    x = call.term()
    source, destination = call.axes(x.rank, "source"), call.axes(x.rank, "destination")
    if len(source) != len(destination):
        raise call.refusal("destination", destination, f"{len(source)} axes")
    return x if source == destination else moved(x, dict(zip(destination, source, strict=True)))


def moved(x: Term, source_of: dict[int, int]) -> Term:
    """Axes elsewhere, by where they are to be; the others in their order."""
    axes = [axis for axis in range(x.rank) if axis not in source_of.values()]
    for destination in sorted(source_of):
        axes.insert(destination, source_of[destination])
    return permuted(x, axes)


@reads("ExpandDims")
def expand_dims(call: OperationCall) -> Term:
    """New axes of size 1."""
    x, axis = call.term(), call.setting("axis")
    count = len(axis) if isinstance(axis, list | tuple) else 1
    return apply(ops.ExpandDims(axes=call.axes(x.rank + count)), x)


@reads("Squeeze")
def squeeze(call: OperationCall) -> Term:
    """Without axes of size 1; without all whose size is known to be 1 where none is named."""
    x = call.term()
    if call.setting("axis") is not None:
        return apply(ops.Squeeze(axes=call.axes(x.rank)), x)
    return apply(ops.Squeeze(axes=tuple(axis for axis, size in enumerate(x.tensor.shape) if size == 1)), x)


@reads("BroadcastTo")
def broadcast_to(call: OperationCall) -> Term:
    """Sizes of 1 stretched."""
    shape = call.setting("shape")
    if not isinstance(shape, list | tuple) or not all(is_whole(size) and size >= 0 for size in shape):
        raise call.refusal("shape", shape, "numbers: a size that varies is stretched to by arithmetic")
    return apply(ops.BroadcastTo(shape=tuple(shape)), call.term())


@reads("Tile")
def tile(call: OperationCall) -> Term:
    """The whole of it several times along each axis."""
    x, repeats = call.term(), call.setting("repeats")
    counts = list(repeats) if isinstance(repeats, list | tuple) else [repeats]
    if not all(is_whole(count) and count >= 0 for count in counts):
        raise call.refusal("repeats", repeats, "numbers")
    counts = [1] * (x.rank - len(counts)) + counts
    return apply(ops.Tile(repetitions=tuple(counts)), x)


@reads("Repeat")
def repeat(call: OperationCall) -> Term:
    """Each element several times, one after the other."""
    x, repeats = call.term(), call.setting("repeats")
    count: Any = repeats[0] if isinstance(repeats, list | tuple) and len(repeats) == 1 else repeats
    if not is_whole(count):
        raise call.refusal("repeats", repeats, "one number for all elements")
    if call.setting("axis") is None:
        return apply(ops.Repeat(repeats=count, axis=0), flat(x))
    return apply(ops.Repeat(repeats=count, axis=call.axis(x.rank)), x)


@reads("Flip")
def flip(call: OperationCall) -> Term:
    """Along some axes, or all of them."""
    x = call.term()
    return apply(ops.Flip(axes=call.axes(x.rank)), x)


@reads("Fliplr", "Flipud")
def flip_one(call: OperationCall) -> Term:
    """Along the second or the first axis."""
    return apply(ops.Flip(axes=(1 if call.class_name == "Fliplr" else 0,)), call.term())


@reads("Roll")
def roll(call: OperationCall) -> Term:
    """Along axes, one after the other, or in one row."""
    x, shift = call.term(), call.setting("shift")
    shifts = list(shift) if isinstance(shift, list | tuple) else [shift]
    if not all(map(is_whole, shifts)):
        raise call.refusal("shift", shift, "integers")
    if call.setting("axis") is None:
        rolled = apply(ops.Roll(shift=sum(shifts), axis=0), flat(x))
        return reshaped(rolled, x.tensor.shape)
    axes = call.axes(x.rank)
    if len(axes) != len(shifts):
        raise call.refusal("shift", shift, f"{len(axes)} numbers, as there are axes")
    for axis, count in zip(axes, shifts, strict=True):
        x = apply(ops.Roll(shift=count, axis=axis), x)
    return x


@reads("Pad", takes=("x", "constant_values"))
def pad(call: OperationCall) -> Term:
    """By a number or what is there, along each axis."""
    x, value = call.term(), call.item("constant_values")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise call.refusal("constant_values", value, "a number")
    mode = call.setting("mode", "constant")
    if mode not in ("constant", "reflect"):
        raise call.refusal("mode", mode, ("constant", "reflect"))
    return apply(ops.Pad(widths=_widths(call, x.rank), mode=mode, value=float(value or 0)), x)


def _widths(call: OperationCall, rank: int) -> tuple[tuple[int, int], ...]:
    """For each axis how many in front and behind; one number, or one pair, is for all axes."""
    given = call.setting("pad_width")
    match given:
        case int():
            pairs = [[given, given]]
        case [int(), *_]:
            pairs = [given]
        case [[_, *_], *_]:
            pairs = [pair * 2 if len(pair) == 1 else pair for pair in map(list, given)]
        case _:
            pairs = []
    pairs = pairs * rank if len(pairs) == 1 else pairs
    whole = all(len(pair) == 2 and all(map(is_whole, pair)) for pair in pairs)
    if len(pairs) != rank or not whole:
        raise call.refusal(
            "pad_width", given, f"a number, a pair of numbers, or a pair for each of {rank} axes"
        )
    return tuple((first, last) for first, last in pairs)


@reads("GetItem", takes=("x", "key"))
def get_item(call: OperationCall) -> Term:
    """What square brackets take: positions, slices, new axes and an ellipsis."""
    x, key = call.term(), call.item("key")
    items = list(key) if isinstance(key, list | tuple) else [key]
    if items.count(Ellipsis) > 1:
        raise call.refusal("key", key, "one ellipsis")
    if Ellipsis in items:
        position = items.index(Ellipsis)
        left_out = x.rank - sum(item is not None and item is not Ellipsis for item in items)
        items[position : position + 1] = [slice(None)] * left_out
    return apply(ops.Slice(items=tuple(_item(call, item) for item in items)), x)


def _item(call: OperationCall, item: Any) -> Any:
    if item is None or is_whole(item):
        return item
    if isinstance(item, slice):
        step = 1 if item.step is None else item.step
        bounds = item.start, item.stop
        if is_whole(step) and all(bound is None or is_whole(bound) for bound in bounds):
            return (*bounds, step)
    raise call.refusal("key", item, "integers, slices by integers, None and an ellipsis; take takes tensors")


@reads("Slice", takes=("inputs", "start_indices"))
def cut(call: OperationCall) -> Term:
    """As many elements as are said from where it is said; -1 are all that are left."""
    x, starts, sizes = call.term("inputs"), call.item("start_indices"), call.setting("shape")
    numbers = isinstance(starts, list | tuple) and all(map(is_whole, starts))
    if not numbers or not isinstance(sizes, list | tuple) or not all(map(is_whole, sizes)):
        raise call.refusal("start_indices", starts, "numbers, one for each axis")
    if not len(starts) == len(sizes) == x.rank:
        raise call.refusal("shape", sizes, f"{x.rank} numbers")
    items = tuple(
        (start, None if size == -1 else start + size, 1) for start, size in zip(starts, sizes, strict=True)
    )
    return apply(ops.Slice(items=items), x)


@reads("Concatenate", takes=("xs",))
def concatenate(call: OperationCall) -> Term:
    """Along an axis."""
    parts = _one_dtype(call.several("xs"))
    call.axis(parts[0].rank, default=0)
    return joined(parts, call.integer("axis", 0))


@reads("Append", takes=("x1", "x2"))
def append(call: OperationCall) -> Term:
    """Two along an axis, or in one row."""
    parts = _one_dtype(call.terms("x1", "x2"))
    if call.setting("axis") is None:
        return joined([flat(part) for part in parts], 0)
    return joined(parts, call.axis(parts[0].rank))


@reads("Hstack", "Vstack", takes=("xs",))
def stack_along(call: OperationCall) -> Term:
    """Along the second axis, that of vectors along the first; or along the first."""
    parts = _one_dtype(call.several("xs"))
    return joined(parts, 1 if call.class_name == "Hstack" and parts[0].rank > 1 else 0)


def joined(parts: list[Term], axis: int) -> Term:
    """Side by side along an axis; one part is itself."""
    op: Op = ops.Concatenate(axis=axis)
    return apply(op, *parts) if len(parts) > 1 else apply(ops.Identity(), *parts)


@reads("Stack")
def stack(call: OperationCall) -> Term:
    """Along a new axis."""
    parts = _one_dtype(call.several("x"))
    return apply(ops.Stack(axis=call.axis(parts[0].rank + 1, default=0)), *parts)


def _one_dtype(parts: list[Term]) -> list[Term]:
    dtype = common_dtype(*(part.dtype for part in parts))
    return [cast(part, dtype) for part in parts]


@reads("Dsplit", "Hsplit", "Split", "Vsplit")
def split(call: OperationCall) -> list[Term]:
    """Into as many parts of one size as are said, or before each of the indices."""
    x, where = call.term(), call.setting("indices_or_sections")
    axis = _split_axis(call, x.rank)
    size = x.tensor.shape[axis]
    if is_whole(where):
        if not isinstance(size, int) or where < 1 or size % where:
            raise call.refusal("indices_or_sections", where, f"a number that {size} can be divided by")
        check_count(call, "indices_or_sections", where)
        return parts_of(x, [size // where] * where, axis)
    if not isinstance(where, list | tuple) or not where or not all(map(is_whole, where)):
        raise call.refusal("indices_or_sections", where, "a number or a list of numbers")
    sizes = [last - first for first, last in zip([0, *where[:-1]], where, strict=True)]
    left = size - where[-1] if isinstance(size, int) else -1
    if min(*sizes, left if isinstance(size, int) else 0) < 0:
        raise call.refusal("indices_or_sections", where, "ascending numbers within the axis")
    return parts_of(x, [*sizes, left], axis)


def _split_axis(call: OperationCall, rank: int) -> int:
    """The axis that is said, or that the function is named for: of vectors the first."""
    if call.class_name == "Split":
        return call.axis(rank, default=0)
    return min({"Dsplit": 2, "Hsplit": 1, "Vsplit": 0}[call.class_name], rank - 1)


@reads("ArraySplit")
def array_split(call: OperationCall) -> list[Term]:
    """Into a number of parts, the first ones longer by one where they are not of one size."""
    x, count = call.term(), call.integer("indices_or_sections")
    axis = call.axis(x.rank, default=0)
    size = x.tensor.shape[axis]
    if not isinstance(size, int) or count < 1:
        raise call.refusal("axis", axis, "an axis of known size")
    check_count(call, "indices_or_sections", count)
    return parts_of(x, [size // count + (number < size % count) for number in range(count)], axis)


MAX_OUTPUTS = 1000
"""Of one operation; a file may ask for any number."""


def check_count(call: OperationCall, name: str, count: int) -> None:
    """Refuse an operation with more outputs than any model has.

    Raises:
        UnsupportedError: it is one.
    """
    if count > MAX_OUTPUTS:
        raise call.refusal(name, count, f"{MAX_OUTPUTS} outputs or fewer")


def parts_of(x: Term, sizes: list[int], axis: int) -> list[Term]:
    """Parts of these sizes along an axis."""
    return apply_all(ops.Split(sizes=tuple(sizes), axis=axis), x)


@reads("Unstack")
def unstack(call: OperationCall) -> list[Term]:
    """The elements along an axis."""
    x, count = call.term(), call.setting("num")
    axis = call.axis(x.rank, default=0)
    size: Any = x.tensor.shape[axis] if count is None else count
    if not is_whole(size):
        raise call.refusal("num", count, "the number of elements")
    check_count(call, "num", size)
    return apply_all(ops.Unstack(count=size, axis=axis), x)


MAX_MATRIX = 2**22
"""Elements of a triangle that is made of a matrix's sizes."""


@reads("Tril", "Triu")
def triangle(call: OperationCall) -> Term:
    """Zeros above or below a diagonal of matrices whose sizes are known."""
    x, diagonal = call.term(), call.integer("k", 0)
    if x.rank < 2:
        raise call.refusal("x", str(x.tensor), "matrices")
    rows, columns = x.tensor.shape[-2:]
    if not isinstance(rows, int) or not isinstance(columns, int) or rows * columns > MAX_MATRIX:
        raise call.refusal("x", str(x.tensor), f"matrices of known sizes, {MAX_MATRIX} elements at most")
    kept = [[column - row <= diagonal for column in range(columns)] for row in range(rows)]
    if call.class_name == "Triu":
        kept = [[column - row >= diagonal for column in range(columns)] for row in range(rows)]
    return apply(ops.Where(), call.as_term(kept, "k"), x, number(0, x))
