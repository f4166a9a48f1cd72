"""Products of matrices that are right of nothing, too.

Measured with onnxruntime 1.31 on the CPU: ``MatMul`` does not stretch a size of 1 to one of 0. Summing over
nothing it gives whatever is in memory where one of the two is a vector, and where a transposition is fused
with the product of several matrices. Such a fused product with one matrix fails over an empty batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import onnx_ir as ir

from biport.ops import Dim
from export.onnx.builder import Scope


def multiplied(
    scope: Scope, a: ir.Value, a_shape: Sequence[Dim], b: ir.Value, b_shape: Sequence[Dim]
) -> ir.Value:
    """``a @ b``, ``(..., S, I)`` and ``(..., I, O)`` to ``(..., S, O)``: no vectors."""
    if len(b_shape) == 2:
        product = scope("MatMul", _apart(scope, a), b)
    else:
        left = _stretched(scope, a, a_shape, b, b_shape)
        product = scope("MatMul", left, _stretched(scope, b, b_shape, a, a_shape))
    if any(isinstance(dim, int) and dim for dim in (a_shape[-1], b_shape[-2])):
        return product
    nothing = scope("Equal", scope("Shape", b, start=-2, end=-1), [0])
    return scope("Where", nothing, np.zeros((), "float32"), product)


def _apart(scope: Scope, x: ir.Value) -> ir.Value:
    """``x``, so that no transposition it comes from is fused with what reads it."""
    producer = x.producer()
    if producer is None or producer.op_type != "Transpose":
        return x
    return scope("Reshape", x, scope("Shape", x), allowzero=1)


def _stretched(
    scope: Scope, x: ir.Value, shape: Sequence[Dim], other: ir.Value, other_shape: Sequence[Dim]
) -> ir.Value:
    """``x`` over the rows of ``other``, where there may be none of them."""
    pairs = zip_longest(reversed(shape[:-2]), reversed(other_shape[:-2]), fillvalue=1)
    if not any(own == 1 and (dim == 0 or not isinstance(dim, int)) for own, dim in pairs):
        return x
    sizes = scope("Concat", scope("Shape", other, start=0, end=-2), [1, 1], axis=0)
    return scope("Expand", x, sizes)
