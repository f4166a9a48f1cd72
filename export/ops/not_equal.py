"""`ops.NotEqual` to ``Equal`` and ``Not``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.errors import UnsupportedError
from biport.ops import NotEqual
from export.registry import Flow, Site, writes


@writes(NotEqual)
def write_not_equal(op: NotEqual, site: Site) -> tuple[Flow, ...]:
    """``(N, T)`` integers to booleans.

    Raises:
        UnsupportedError: the value does not fit the integers' dtype.
    """
    (ids,) = site.inputs
    limits = np.iinfo(ids.tensor.dtype)
    if not limits.min <= op.value <= limits.max:
        raise UnsupportedError(site.owner, "value", op.value, f"values that fit {ids.tensor.dtype}")

    def make() -> ir.Value:
        value = np.asarray(op.value, ids.tensor.dtype)
        return site.scope("Not", site.scope("Equal", ids.value(), value))

    return (site.flow(make, root=ids),)
