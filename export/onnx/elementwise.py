"""Element by element: ops of one input or of several, in batch-major and in step form alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import onnx_ir as ir

from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.site import Site


def elementwise(site: Site, compute: Callable[..., ir.Value]) -> tuple[LazyValue]:
    """What ``compute`` gives of the inputs, sizes of 1 stretched.

    Recurrent layers around it stay in step form, several inputs where all have one N and T and rank 3.

    Args:
        site: where the op stands.
        compute: takes a value for each input.
    """
    output = site.output_tensors[0].shape
    of_one_size = [x for x in site.inputs if x.tensor.shape[:2] == output[:2]]
    in_steps = len(site.inputs) == 1 or (len(of_one_size) == len(site.inputs) and len(output) == 3)
    root = site.inputs[0] if len(site.inputs) == 1 else next(iter(of_one_size), None)

    def write() -> ir.Value:
        return compute(*(x.value() for x in site.inputs))

    def write_steps(layout: StepForm) -> ir.Value:
        return compute(*(x.steps(layout) for x in site.inputs))

    return (site.lazy(write, write_steps if in_steps else None, root),)


def chained(site: Site, op_type: str) -> Callable[..., ir.Value]:
    """Joins values two at a time, as Keras does, with the ONNX operator ``op_type``."""
    return lambda *values: reduce(lambda one, two: site.scope(op_type, one, two), values)


def wide_mask(site: Site, position: int) -> ir.Value | None:
    """The mask ``(N, T)`` of an input as ``(N, T, 1, ...)``, which goes with the input's rank."""
    mask = site.masks[position]
    if mask is None:
        return None
    rank = len(site.inputs[position].tensor.shape)
    return site.scope("Unsqueeze", mask.value(), list(range(2, rank))) if rank > 2 else mask.value()
