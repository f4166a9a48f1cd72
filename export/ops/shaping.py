"""Tensor operations that move elements and compute none."""

from __future__ import annotations

from biport.ops import Flip
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.onnx.step_layout import BEFORE_FIRST
from export.registry import writes


@writes(Flip)
def write_flip(op: Flip, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` with its steps in reverse order."""
    (x,) = site.inputs
    return (site.lazy(lambda: site.scope("Slice", x.value(), [-1], [BEFORE_FIRST], [1], [-1])),)
