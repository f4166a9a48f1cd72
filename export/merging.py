"""What the merges share: inputs joined element by element, in step form where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import onnx_ir as ir

from export.flow import Flow, Site
from export.layout import Layout


def elementwise(site: Site, join: Callable[[Sequence[ir.Value]], ir.Value]) -> Flow:
    """The flow of inputs of one rank that ``join`` makes one, sizes of 1 stretched.

    Inputs of the same N and T stay in step form where they are in it.
    """
    lead = site.made[0].shape[:2]
    alike = [part for part in site.inputs if part.tensor.shape[:2] == lead]

    def make() -> ir.Value:
        return join([part.value() for part in site.inputs])

    def steps(layout: Layout) -> ir.Value | None:
        return join([part.steps(layout) for part in site.inputs])

    stays = len(alike) == len(site.inputs) and len(site.made[0].shape) == 3
    return site.flow(make, steps if stays else None, alike[0] if alike else None)


def chained(site: Site, op_type: str) -> Callable[[Sequence[ir.Value]], ir.Value]:
    """Joins values two at a time, as Keras does, with the ONNX operator ``op_type``."""
    return lambda values: reduce(lambda one, two: site.scope(op_type, one, two), values)


def wide_mask(site: Site, position: int) -> ir.Value | None:
    """The mask ``(N, T)`` of an input as ``(N, T, 1, ...)``, which goes with the input's rank."""
    mask = site.masks[position]
    if mask is None:
        return None
    rank = len(site.inputs[position].tensor.shape)
    return site.scope("Unsqueeze", mask.value(), list(range(2, rank))) if rank > 2 else mask.value()
