"""Operations that look elements up, or put them in order.

Source:
    keras/src/backend/tensorflow/numpy.py, math.py and nn.py of 3.15.
"""

from __future__ import annotations

from biport import ops
from biport.ops.shaping import WHOLE
from keras_side.operations.registry import OperationCall, is_whole, reads
from keras_side.operations.shaping import flat, moved
from keras_side.operations.terms import Term, apply, apply_all, as_number, cast, is_boolean, is_integer


@reads("Take", takes=("x", "indices"))
def take(call: OperationCall) -> Term:
    """Along an axis, or of all elements in row-major order; negative indices count from the end."""
    x, indices = call.term(), call.item("indices")
    x, axis = (flat(x), 0) if call.setting("axis") is None else (x, call.axis(x.rank))
    if is_whole(indices):
        return apply(ops.Slice(items=(*(WHOLE,) * axis, indices)), x)
    return apply(ops.Take(axis=axis), x, _indices(call))


@reads("TakeAlongAxis", takes=("x", "indices"))
def take_along_axis(call: OperationCall) -> Term:
    """Of each line along an axis, or of all elements in row-major order."""
    x = call.term()
    if call.setting("axis") is None:
        return apply(ops.TakeAlongAxis(axis=0), flat(x), _indices(call))
    return apply(ops.TakeAlongAxis(axis=call.axis(x.rank)), x, _indices(call))


def _indices(call: OperationCall) -> Term:
    indices = call.term("indices")
    if not is_integer(indices):
        raise call.refusal("indices", str(indices.tensor), "int32 or int64")
    return indices


@reads("OneHot")
def one_hot(call: OperationCall) -> Term:
    """Zeros alone where there is no such class; along the last axis, or another one."""
    call.require(sparse=False)
    x, axis = call.term(), call.setting("axis", -1)
    classes = call.integer("num_classes")
    op = ops.OneHot(num_classes=classes, output_dtype=call.dtype(default="float32"))
    encoded = apply(op, x if is_integer(x) else cast(x, "int64"))
    if axis == -1:
        return encoded
    return moved(encoded, {call.axis(encoded.rank): encoded.rank - 1})


@reads("TopK")
def top_k(call: OperationCall) -> list[Term]:
    """The largest of the last axis and their places, as int32."""
    call.require(sorted=True)
    values, indices = apply_all(ops.TopK(k=call.integer("k"), axis=-1), call.term())
    return [values, cast(indices, "int32")]


@reads("Sort")
def sort(call: OperationCall) -> Term:
    """Along an axis, or all elements in a row."""
    x = call.term()
    dtype, x = x.dtype, as_number(x)
    if call.setting("axis", -1) is None:
        return cast(apply(ops.Sort(axis=0), flat(x)), dtype)
    return cast(apply(ops.Sort(axis=call.axis(x.rank, default=-1)), x), dtype)


@reads("Argsort")
def argsort(call: OperationCall) -> Term:
    """Along an axis, or of all elements in a row, as int32; equal ones in their order."""
    x = as_number(call.term()) if is_boolean(call.term()) else call.term()
    if call.setting("axis", -1) is None:
        return cast(apply(ops.ArgSort(axis=0), flat(x)), "int32")
    return cast(apply(ops.ArgSort(axis=call.axis(x.rank, default=-1)), x), "int32")
