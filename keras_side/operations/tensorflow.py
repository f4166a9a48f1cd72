"""Functions of TensorFlow that mean something else than those of Keras 3, as models of Keras 2 have them.

So do layers that call TensorFlow itself, whose graphs are read (`keras_side.recording.tensorflow_graph`).

Source:
    tensorflow/python/ops/math_ops.py, array_ops.py and nn_impl.py of TensorFlow 2.15.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from biport import ops
from biport.dims import Dim, is_length, length, product, quotient
from biport.ops.shaping import WHOLE
from keras_side.operations.reduction import position, reduced
from keras_side.operations.registry import OperationCall, is_whole, reads
from keras_side.operations.shaping import check_count, pad, parts_of, permuted, reshaped, transpose
from keras_side.operations.terms import Term, apply, cast, compute, is_float, is_integer, number


@reads("tf.add", takes=("x1", "x2"))
def add(call: OperationCall) -> Term:
    """A sum that broadcasts."""
    return compute("add", *call.promoted("x1", "x2"))


@reads("tf.add_n", takes=("inputs",))
def add_n(call: OperationCall) -> Term:
    """The sum of a list."""
    return reduce(lambda one, two: compute("add", one, two), call.several("inputs"))


@reads("tf.erfc")
def erfc(call: OperationCall) -> Term:
    """``1 - erf(x)``."""
    x = call.term()
    return compute("subtract", number(1.0, x), compute("erf", x))


@reads("tf.squared_difference", takes=("x1", "x2"))
def squared_difference(call: OperationCall) -> Term:
    """``(a - b)²``."""
    return compute("square", compute("subtract", *call.promoted("x1", "x2")))


@reads("tf.mean")
def mean(call: OperationCall) -> Term:
    """Of floats: that of integers is cut to an integer."""
    x = call.term()
    if not is_float(x):
        raise call.refusal("dtype", x.dtype, "floats")
    return reduced(call, "mean", x)


@reads("tf.argmax", "tf.argmin")
def argmax(call: OperationCall) -> Term:
    """Along the first axis where none is said, as int64."""
    kind = call.class_name.removeprefix("tf.").capitalize()
    dtype = call.dtype("output_type", "int64")
    config = {"axis": call.setting("axis", 0)}
    return cast(position(OperationCall(kind, call.owner, config, call.arguments)), dtype)


@reads("tf.cumsum")
def cumsum(call: OperationCall) -> Term:
    """Along an axis, the first where none is said; without the element itself, or from the end."""
    x, reverse = call.term(), call.flag("reverse")
    axis = call.axis(x.rank, default=0)
    turned = apply(ops.Flip(axes=(axis,)), x) if reverse else x
    total = apply(ops.CumulativeSum(axis=axis), turned)
    if call.flag("exclusive"):
        total = compute("subtract", total, turned)
    return apply(ops.Flip(axes=(axis,)), total) if reverse else total


@reads("tf.matmul", takes=("x1", "x2"))
def matmul(call: OperationCall) -> Term:
    """With either matrix transposed."""
    for name in ("a_is_sparse", "b_is_sparse", "adjoint_a", "adjoint_b"):
        call.require(**{name: False})
    call.setting("output_type")
    factors = [
        _matrices_turned(term) if call.flag(name) else term
        for term, name in zip(call.terms("x1", "x2"), ("transpose_a", "transpose_b"), strict=True)
    ]
    return apply(ops.MatMul(), *factors)


def _matrices_turned(x: Term) -> Term:
    return permuted(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))


@reads("tf.transpose")
def transposed(call: OperationCall) -> Term:
    """The axes as they are said, or in reverse order."""
    call.setting("conjugate")
    return transpose(call)


@reads("tf.pad", takes=("x", "constant_values"))
def padded(call: OperationCall) -> Term:
    """The modes in any case of letters."""
    config = {**call.config, "mode": str(call.setting("mode", "CONSTANT")).lower()}
    call.setting("pad_width")
    return pad(OperationCall(call.class_name, call.owner, config, call.arguments))


@reads("tf.split")
def split(call: OperationCall) -> list[Term]:
    """Into as many parts of one size as are said, or into parts of the sizes that are."""
    x = call.term()
    parts: Any = call.setting("num_or_size_splits")
    axis = call.axis(x.rank, default=0)
    call.setting("num")
    size = x.tensor.shape[axis]
    if isinstance(parts, list | tuple) and parts and all(map(is_whole, parts)):
        return parts_of(x, list(parts), axis)
    own = quotient(size, parts) if isinstance(parts, int) and parts > 0 else None
    if own is None or not isinstance(parts, int):
        raise call.refusal("num_or_size_splits", parts, f"sizes, or a number that {size} can be divided by")
    check_count(call, "num_or_size_splits", parts)
    if isinstance(own, int):
        return parts_of(x, [own] * parts, axis)
    bounds = [(own * number, own * (number + 1), 1) for number in range(parts)]
    return [apply(ops.Slice(items=(*(WHOLE,) * axis, bound)), x) for bound in bounds]


@reads("tf.gather", takes=("x", "indices"))
def gather(call: OperationCall) -> Term:
    """Along an axis, the first where none is said; negative indices are errors there."""
    call.setting("validate_indices")
    x, indices, batch_dims = call.term(), call.item("indices"), call.integer("batch_dims", 0)
    axis = call.axis(x.rank, default=batch_dims)
    if is_whole(indices):
        return apply(ops.Slice(items=(*(WHOLE,) * axis, indices)), x)
    rows = _indices(call)
    if not batch_dims:
        return apply(ops.Take(axis=axis), x, rows)
    if axis != batch_dims or rows.rank < batch_dims:
        raise call.refusal("axis", axis, f"{batch_dims}, as many as there are batch_dims")
    return _of_each_row(x, rows, axis)


def _indices(call: OperationCall) -> Term:
    indices = call.term("indices")
    if not is_integer(indices):
        raise call.refusal("indices", str(indices.tensor), "int32 or int64")
    return indices


def _of_each_row(x: Term, indices: Term, axis: int) -> Term:
    """Elements along an axis, for each position of the axes in front of it others."""
    *lead, size = x.tensor.shape[: axis + 1]
    count = product(lead)
    starts = apply(ops.Arange(start=0, stop=count, step=1, output_dtype=indices.dtype))
    starts = compute("multiply", starts, size_of(size, indices.dtype))
    positions = compute("add", indices, reshaped(starts, (*lead, *[1] * (indices.rank - axis))))
    return apply(ops.Take(axis=0), reshaped(x, (count * size, *x.tensor.shape[axis + 1 :])), positions)


def size_of(size: Dim, dtype: str) -> Term:
    """A size as an integer of the graph."""
    return apply(ops.SizeOf(size=size, output_dtype=dtype))


@reads("tf.gather_nd", takes=("x", "indices"))
def gather_nd(call: OperationCall) -> Term:
    """The elements where a vector each says, along as many of the first axes as it has numbers."""
    call.require(batch_dims=0, bad_indices_policy="")
    x, indices = call.term(), _indices(call)
    count = indices.tensor.shape[-1] if indices.rank else None
    if not isinstance(count, int) or not 0 < count <= x.rank:
        raise call.refusal("indices", str(indices.tensor), f"vectors of up to {x.rank} numbers")
    lead, front = x.tensor.shape[:count], (WHOLE,) * (indices.rank - 1)
    parts = [
        compute("multiply", along, size_of(product(lead[axis + 1 :]), indices.dtype))
        for axis, along in enumerate(apply(ops.Slice(items=(*front, axis)), indices) for axis in range(count))
    ]
    positions = reduce(lambda one, two: compute("add", one, two), parts)
    return apply(ops.Take(axis=0), reshaped(x, (product(lead), *x.tensor.shape[count:])), positions)


@reads("tf.reverse_sequence", takes=("x", "lengths"))
def reverse_sequence(call: OperationCall) -> Term:
    """The first steps of each row, as many as are said, in reverse order."""
    x, lengths = call.term(), call.term("lengths")
    call.require(batch_dim=0, seq_dim=1)
    if x.rank < 2 or lengths.rank != 1 or not is_integer(lengths):
        raise call.refusal("lengths", str(lengths.tensor), "(N,) integers, of (N, T, ...)")
    steps = apply(ops.Arange(start=0, stop=x.tensor.shape[1], step=1, output_dtype=lengths.dtype))
    ends = apply(ops.ExpandDims(axes=(1,)), lengths)
    turned = compute("subtract", compute("subtract", ends, number(1, ends)), steps)
    return _of_each_row(x, apply(ops.Where(), compute("less", steps, ends), turned, steps), 1)


@reads("tf.band_part", takes=("x", "lower", "upper"))
def band_part(call: OperationCall) -> Term:
    """Zeros beyond some diagonals of matrices; a negative number is all of them."""
    x = call.term()
    distance = _distance(call, x)
    kept = [
        compute("less_equal", compute("multiply", distance, number(sign, distance)), number(most, distance))
        for name, sign in (("lower", -1), ("upper", 1))
        if (most := _whole(call, name)) >= 0
    ]
    if not kept:
        return apply(ops.Identity(), x)
    both = reduce(lambda one, two: compute("logical_and", one, two), kept)
    return apply(ops.Where(), both, x, number(0, x))


def _whole(call: OperationCall, name: str) -> int:
    value = call.item(name)
    if not is_whole(value):
        raise call.refusal(name, str(value)[:80], "a number")
    return value


def _distance(call: OperationCall, x: Term) -> Term:
    """For each element of a matrix how far it is to the right of the diagonal."""
    if x.rank < 2:
        raise call.refusal("x", str(x.tensor), "matrices")
    rows, columns = (
        apply(ops.Arange(start=0, stop=size, step=1, output_dtype="int32")) for size in x.tensor.shape[-2:]
    )
    return compute("subtract", columns, apply(ops.ExpandDims(axes=(1,)), rows))


@reads("tf.diag", takes=("x", "k", "rows", "columns"))
def diagonal(call: OperationCall) -> Term:
    """Square matrices of zeros but for their diagonals."""
    x = call.term()
    _main_diagonal(call)
    for name in ("rows", "columns"):
        if call.item(name) not in (-1, None):
            raise call.refusal(name, str(call.item(name))[:80], "-1: square matrices")
    wide = apply(ops.ExpandDims(axes=(x.rank,)), x)
    square = apply(ops.BroadcastTo(shape=(*x.tensor.shape, x.tensor.shape[-1])), wide)
    return apply(ops.Where(), _on_diagonal(call, square), square, number(0, x))


@reads("tf.diag_part", takes=("x", "k"))
def diagonal_part(call: OperationCall) -> Term:
    """The diagonals of square matrices."""
    x = _square(call)
    kept = apply(ops.Where(), _on_diagonal(call, x), x, number(0, x))
    return apply(ops.Reduction(function="sum", axes=(x.rank - 1,)), kept)


@reads("tf.set_diag", takes=("x", "diagonal", "k"))
def set_diagonal(call: OperationCall) -> Term:
    """Square matrices with another diagonal."""
    x, values = _square(call), call.term("diagonal")
    wide = apply(ops.ExpandDims(axes=(values.rank,)), values)
    return apply(ops.Where(), _on_diagonal(call, x), wide, x)


def _square(call: OperationCall) -> Term:
    """Square matrices, of which the main diagonal is meant."""
    x = call.term()
    _main_diagonal(call)
    if x.rank < 2 or x.tensor.shape[-2] != x.tensor.shape[-1]:
        raise call.refusal("x", str(x.tensor), "square matrices")
    return x


def _main_diagonal(call: OperationCall) -> None:
    if call.item("k") not in (0, None):
        raise call.refusal("k", str(call.item("k"))[:80], "0, the main diagonal")


def _on_diagonal(call: OperationCall, x: Term) -> Term:
    distance = _distance(call, x)
    return compute("equal", distance, number(0, distance))


@reads("tf.norm")
def norm(call: OperationCall) -> Term:
    """The root of the sum of squares."""
    if call.setting("ord", "euclidean") not in ("euclidean", 2, "fro"):
        raise call.refusal("ord", call.setting("ord"), "euclidean")
    return reduced(call, "norm", call.term())


@reads("tf.l2_normalize")
def l2_normalize(call: OperationCall) -> Term:
    """Over the root of the sum of squares, which is no smaller than that of ``epsilon``."""
    call.setting("dim")
    x, epsilon = call.term(), call.real("epsilon", 1e-12)
    total = apply(ops.Reduction(function="sum", axes=call.axes(x.rank), keepdims=True), compute("square", x))
    return compute("multiply", x, compute("rsqrt", compute("maximum", total, number(epsilon, x))))


@reads("tf.shape")
def shape(call: OperationCall) -> Term:
    """The sizes, as integers of the graph."""
    dtype, sizes = call.dtype("out_type", "int32"), call.term().tensor.shape
    return stacked_sizes(sizes, dtype)


def stacked_sizes(sizes: Sequence[Dim], dtype: str) -> Term:
    """Sizes as a vector."""
    return apply(ops.Stack(axis=0), *(size_of(size, dtype) for size in sizes))


@reads("tf.size")
def size(call: OperationCall) -> Term:
    """How many elements there are."""
    return size_of(product(call.term().tensor.shape), call.dtype("out_type", "int32"))


@reads("tf.strided_slice")
def strided_slice(call: OperationCall) -> Term:
    """What square brackets take, by sizes of tensors; bits say what the numbers of a position mean."""
    x = call.term()
    bounds = [sizes_of(call, name, call.setting(name)) for name in ("begin", "end", "strides")]
    masks = {name: call.integer(name, 0) for name in ("begin_mask", "end_mask", *SHAPED)}
    positions = [
        ({name for name, mask in masks.items() if mask >> position & 1}, *numbers)
        for position, numbers in enumerate(zip(*bounds, strict=True))
    ]
    left_out = x.rank - sum(not bits & {"new_axis_mask", "ellipsis_mask"} for bits, *_ in positions)
    items: list[Any] = []
    lost: list[int] = []
    for bits, start, stop, step in positions:
        axis = sum(item is not None for item in items)
        if "ellipsis_mask" in bits:
            items += [WHOLE] * left_out
        elif "new_axis_mask" in bits:
            items.append(None)
        elif not is_whole(step):
            raise call.refusal("strides", str(step), "numbers")
        elif "shrink_axis_mask" in bits and (is_whole(start) or start == x.tensor.shape[axis] - 1):
            items.append(start if is_whole(start) else -1)
        elif "shrink_axis_mask" in bits:
            lost.append(sum(not is_whole(item) for item in items))
            items.append((_bound(call, x, axis, start), start + 1, 1))
        else:
            given = (None if "begin_mask" in bits else start, None if "end_mask" in bits else stop)
            items.append((*(_bound(call, x, axis, end) for end in given), step))
    cut = apply(ops.Slice(items=tuple(items)), x)
    return apply(ops.Squeeze(axes=tuple(lost)), cut) if lost else cut


def _bound(call: OperationCall, x: Term, axis: int, bound: Any) -> Any:
    """Where a cut begins or ends. A size less one or two gives the same, counted from the end, when negative.

    Raises:
        UnsupportedError: it may be negative, and would then be counted from the end.
    """
    if bound is None or is_whole(bound) or is_length(bound):
        return bound
    if bound in (x.tensor.shape[axis] - 1, x.tensor.shape[axis] - 2):
        return length(bound)
    raise call.refusal("bounds", str(bound), "numbers, such as -3, and sizes that are never negative")


SHAPED = ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
"""Bits that say that a position is no cut."""


@reads("tf.slice")
def cut(call: OperationCall) -> Term:
    """As many elements as are said from where it is said; -1 are all that are left."""
    x = call.term()
    begin, size = (sizes_of(call, name, call.setting(name)) for name in ("begin", "size"))
    items = []
    for axis, (start, count) in enumerate(zip(begin, size, strict=True)):
        if not (is_length(count) or count in (-1, x.tensor.shape[axis] - 1)) or not is_length(start):
            raise call.refusal("size", str(count), "numbers, and sizes that are never negative")
        whole_rest = count == -1 or start + count == x.tensor.shape[axis]
        items.append((start, None if whole_rest else length(start + count), 1))
    return apply(ops.Slice(items=tuple(items)), x)


@reads("tf.reshape")
def reshape(call: OperationCall) -> Term:
    """Row-major, to sizes that are numbers or were taken from shapes."""
    return reshaped(call.term(), sizes_of(call, "newshape", call.setting("newshape")))


def sizes_of(call: OperationCall, name: str, given: Any) -> list[Dim]:
    """A list of sizes, numbers or values known to be sizes, or one vector of them.

    Raises:
        UnsupportedError: something else is ``given`` under this name.
    """
    if isinstance(given, Term) and isinstance(given.sizes, tuple):
        return list(given.sizes)
    items = given if isinstance(given, list | tuple) else [given]
    sizes: list[Any] = [item.sizes if isinstance(item, Term) else whole(item) for item in items]
    if any(isinstance(size, tuple | bool | float) or size is None for size in sizes):
        raise call.refusal(name, str(given)[:80], "numbers, and sizes of tensors")
    return sizes


def whole(item: Any) -> Any:
    """A whole number as an integer: numpy has written some as floats."""
    return int(item) if isinstance(item, float) and item.is_integer() else item


@reads("tf.zeros", "tf.ones", takes=("shape",))
def zeros(call: OperationCall) -> Term:
    """Zeros or ones of a shape."""
    sizes = sizes_of(call, "shape", call.item("shape"))
    value = 1.0 if call.class_name == "tf.ones" else 0.0
    return apply(ops.Full(shape=tuple(sizes), value=value, output_dtype=call.dtype(default="float32")))


@reads("tf.fill", takes=("dims", "value"))
def fill(call: OperationCall) -> Term:
    """A number or a scalar, of a shape."""
    sizes, value = tuple(sizes_of(call, "dims", call.item("dims"))), call.term("value")
    return apply(ops.BroadcastTo(shape=sizes), cast(value, call.dtype(default=value.dtype)))


@reads("tf.broadcast_to")
def broadcast_to(call: OperationCall) -> Term:
    """Sizes of 1 stretched."""
    return apply(ops.BroadcastTo(shape=tuple(sizes_of(call, "shape", call.setting("shape")))), call.term())


@reads("tf.tile")
def tile(call: OperationCall) -> Term:
    """The whole of it several times along each axis."""
    counts = sizes_of(call, "multiples", call.setting("multiples"))
    return apply(ops.Tile(repetitions=tuple(counts)), call.term())


@reads("tf.range", takes=("start", "limit", "delta"))
def counted(call: OperationCall) -> Term:
    """From 0 up to one number, or from one to another."""
    start, limit, delta = (call.item(name) for name in ("start", "limit", "delta"))
    start, limit = (0, start) if limit is None else (start, limit)
    first, last = (sizes_of(call, name, given)[0] for name, given in (("start", start), ("limit", limit)))
    step = 1 if delta is None else whole(delta)
    if not is_whole(step):
        raise call.refusal("delta", delta, "an integer")
    return apply(ops.Arange(start=first, stop=last, step=step, output_dtype=call.dtype(default="int32")))
