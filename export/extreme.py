"""What Maximum and Minimum share."""

from __future__ import annotations

import onnx_ir as ir

from export.flow import Flow, Site
from export.merging import chained, elementwise, wide_mask


def extreme(site: Site, op_type: str) -> Flow:
    """``Max`` or ``Min``, from the first input to the last; masked steps are left out as in Keras."""
    plain = elementwise(site, chained(site, op_type))
    if all(mask is None for mask in site.masks):
        return plain
    scope = site.scope

    def make() -> ir.Value:
        so_far, valid = site.inputs[0].value(), wide_mask(site, 0)
        for position, part in enumerate(site.inputs[1:], start=1):
            x, here = part.value(), wide_mask(site, position)
            x = x if here is None else scope("Where", here, x, so_far)
            so_far = so_far if valid is None else scope("Where", valid, so_far, x)
            valid = None if valid is None or here is None else scope("Or", valid, here)
            so_far = scope(op_type, so_far, x)
        return so_far

    return site.flow(make, root=plain.root)
