"""`ops.Reshape` to ``Reshape``."""

from __future__ import annotations

import math

import onnx_ir as ir

from biport.ops import Reshape
from export.registry import Flow, Site, writes


@writes(Reshape)
def write_reshape(op: Reshape, site: Site) -> tuple[Flow, ...]:
    """``(N, ...)`` to ``(N, *target_shape)``; a size that varies is computed from the input's."""
    (x,) = site.inputs
    scope = site.scope
    fixed = [size for size in site.made[0].shape[1:] if isinstance(size, int)]

    def make() -> ir.Value:
        value = x.value()
        if len(fixed) == len(op.target_shape):
            return scope("Reshape", value, [0, *fixed])
        # Over an empty batch ONNX cannot tell what -1 is, and 0 means a size of the input.
        elements = scope("ReduceProd", scope("Shape", value, start=1), [0], keepdims=1)
        known = math.prod(size for size in op.target_shape if size != -1)
        left = scope("Div", elements, [known])
        parts = [left if size == -1 else [size] for size in op.target_shape]
        shape = scope("Concat", scope("Shape", value, start=0, end=1), *parts, axis=0)
        return scope("Reshape", value, shape, allowzero=1)

    return (site.flow(make),)
