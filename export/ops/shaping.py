"""Tensor operations that move elements and compute none."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Flip, ReshapeTo
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.onnx.step_layout import BEFORE_FIRST
from export.registry import writes


@writes(ReshapeTo)
def write_reshape_to(op: ReshapeTo, site: Site) -> tuple[LazyValue, ...]:
    """``Reshape``, every size said: of nothing -1 could be anything, and 0 means a size of the input."""
    (x,) = site.inputs

    def write() -> ir.Value:
        return site.scope("Reshape", x.value(), site.dims(op.with_rest(x.tensor)), allowzero=1)

    return (site.lazy(write),)


@writes(Flip)
def write_flip(op: Flip, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` with its steps in reverse order."""
    (x,) = site.inputs
    return (site.lazy(lambda: site.scope("Slice", x.value(), [-1], [BEFORE_FIRST], [1], [-1])),)
