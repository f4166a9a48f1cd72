"""Functions of TensorFlow that mean something else than those of Keras 3, as models of Keras 2 have them.

Source:
    tensorflow/python/ops/math_ops.py, array_ops.py and nn_impl.py of TensorFlow 2.15.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from biport import ops
from biport.dims import Dim
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
    """Along an axis, the first where none is said."""
    call.require(exclusive=False, reverse=False)
    x = call.term()
    return apply(ops.CumulativeSum(axis=call.axis(x.rank, default=0)), x)


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
    if not isinstance(parts, int) or parts < 1 or not isinstance(size, int) or size % parts:
        raise call.refusal("num_or_size_splits", parts, f"sizes, or a number that {size} can be divided by")
    check_count(call, "num_or_size_splits", parts)
    return parts_of(x, [size // parts] * parts, axis)


@reads("tf.gather", takes=("x", "indices"))
def gather(call: OperationCall) -> Term:
    """Along an axis, the first where none is said; negative indices are errors there."""
    call.require(batch_dims=0)
    call.setting("validate_indices")
    x, indices = call.term(), call.item("indices")
    axis = call.axis(x.rank, default=0)
    if is_whole(indices):
        return apply(ops.Slice(items=(*(WHOLE,) * axis, indices)), x)
    rows = call.term("indices")
    if not is_integer(rows):
        raise call.refusal("indices", str(rows.tensor), "int32 or int64")
    return apply(ops.Take(axis=axis), x, rows)


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
    return apply(ops.Stack(axis=0), *(apply(ops.SizeOf(size=size, output_dtype=dtype)) for size in sizes))


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
    sizes = tuple(sizes_of(call, "dims", call.item("dims")))
    return apply(ops.BroadcastTo(shape=sizes), call.term("value"))


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
    step = 1 if delta is None else delta
    if not is_whole(step):
        raise call.refusal("delta", delta, "an integer")
    return apply(ops.Arange(start=first, stop=last, step=step, output_dtype=call.dtype(default="int32")))
