"""Operations that make numbers of shapes.

Functions of numbers alone, such as ``keras.ops.arange(5)``, are computed while a model is built, and are
constants in it.
"""

from __future__ import annotations

from biport import ops
from biport.dims import product
from keras_side.operations.registry import OperationCall, reads
from keras_side.operations.terms import Term, apply, cast


@reads("OnesLike", "ZerosLike")
def like(call: OperationCall) -> Term:
    """Zeros or ones, as many as there are elements."""
    x = call.term()
    value = 1.0 if call.class_name == "OnesLike" else 0.0
    dtype = call.dtype(default=x.dtype)
    return apply(ops.Full(shape=x.tensor.shape, value=value, output_dtype=dtype))


@reads("FullLike", takes=("x", "fill_value"))
def full_like(call: OperationCall) -> Term:
    """One number, as often as there are elements, or a tensor stretched."""
    x, value = call.term(), call.item("fill_value")
    dtype = call.dtype(default=x.dtype)
    if isinstance(value, bool | int | float):
        return apply(ops.Full(shape=x.tensor.shape, value=float(value), output_dtype=dtype))
    return apply(ops.BroadcastTo(shape=x.tensor.shape), cast(call.term("fill_value"), dtype))


@reads("Size")
def size(call: OperationCall) -> Term:
    """How many elements there are, as int32."""
    return apply(ops.SizeOf(size=product(call.term().tensor.shape), output_dtype="int32"))


CONSTANTS = (
    *("arange", "array", "bartlett", "blackman", "convert_to_tensor", "empty", "eye", "full", "geomspace"),
    *("hamming", "hanning", "identity", "kaiser", "linspace", "logspace", "ones", "tri", "zeros"),
)
"""Functions of ``keras.ops`` that give constants where they are called with numbers."""

ABOUT_A_TENSOR = ("dtype", "is_tensor", "ndim", "shape")
"""Functions of ``keras.ops`` that give a Python value while a model is built and leave no trace in it."""
