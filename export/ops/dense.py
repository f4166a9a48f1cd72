"""Dense layers to ``Gemm`` or ``MatMul`` and their activation."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import Dense
from export.onnx.activations import activate
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes


@writes(Dense)
def write_dense(op: Dense, site: Site) -> tuple[LazyValue, ...]:
    """``(..., I)`` to ``(..., O)``."""
    (x,) = site.inputs

    def write() -> ir.Value:
        z = _affine(op, site, x.value(), rank=len(x.tensor.shape))
        return activate(site.scope, op.activation, z)

    return (site.lazy(write, root=x),)


def _affine(op: Dense, site: Site, x: ir.Value, rank: int) -> ir.Value:
    scope = site.scope
    bias = None if op.bias is None else scope.constant(op.bias, "bias")
    if rank == 2:
        return scope("Gemm", x, scope.constant(op.weight, "weight"), bias, transB=1)
    (given,) = site.inputs
    if given.order != given.batch_major:
        # Of a transposition and a MatMul onnxruntime makes one node, which fails over an empty batch.
        rows = scope("Reshape", x, [-1, op.input_size])
        z = scope("Gemm", rows, scope.constant(op.weight, "weight"), bias, transB=1)
        shape = scope("Concat", scope("Shape", x, start=0, end=rank - 1), [op.output_size], axis=0)
        return scope("Reshape", z, shape, allowzero=1)
    z = scope("MatMul", x, scope.constant(np.ascontiguousarray(op.weight.T), "weight"))
    return z if bias is None else scope("Add", z, bias)
