"""What acts while a model is trained, and is nothing at inference."""

from __future__ import annotations

from biport.ops import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Identity,
    Op,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes


@writes(ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise, Identity)
@writes(SpatialDropout1D, SpatialDropout2D, SpatialDropout3D)
def write_regularization(op: Op, site: Site) -> tuple[LazyValue, ...]:
    """The input itself; no node is written."""
    return (site.inputs[0],)
