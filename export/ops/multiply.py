"""`ops.Multiply` to ``Mul``, and ``Where`` under masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import onnx_ir as ir

from biport.ops import Multiply
from export.merging import chained, elementwise, wide_mask
from export.registry import Flow, Site, writes

ZERO, ONE = np.zeros((), "float32"), np.ones((), "float32")


@writes(Multiply)
def write_multiply(op: Multiply, site: Site) -> tuple[Flow, ...]:
    """The product; a masked step counts as 1, and where every input is masked the product is 0."""
    product = chained(site, "Mul")
    if all(mask is None for mask in site.masks):
        return (elementwise(site, product),)
    scope = site.scope

    def make() -> ir.Value:
        values = [part.value() for part in site.inputs]
        wide = [wide_mask(site, position) for position in range(len(values))]
        made = product(_factors(values, wide))
        given = [mask for mask in wide if mask is not None]
        if len(given) < len(values):
            return made
        return scope("Where", reduce(lambda one, two: scope("Or", one, two), given), made, ZERO)

    def _factors(values: Sequence[ir.Value], wide: Sequence[ir.Value | None]) -> list[ir.Value]:
        return [x if m is None else scope("Where", m, x, ONE) for x, m in zip(values, wide, strict=True)]

    return (site.flow(make, root=elementwise(site, product).root),)
