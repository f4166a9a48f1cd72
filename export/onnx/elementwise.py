"""Element by element: ops of one input or of several, in batch-major and in step form alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import onnx_ir as ir

from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.site import Site


def elementwise(site: Site, compute: Callable[..., ir.Value]) -> tuple[LazyValue]:
    """What ``compute`` gives of the inputs, sizes of 1 stretched.

    Recurrent layers around it stay in step form; of several inputs where the output is ``(N, T, I)`` and each
    of them has its N and T, or is the same in all rows at all steps.

    Args:
        site: where the op stands.
        compute: takes a value for each input.
    """
    stepped = [_has_steps(site, x) for x in site.inputs]
    in_steps = len(site.inputs) == 1 or _stay_in_steps(site, stepped)
    root = next((x for x, has in zip(site.inputs, stepped, strict=True) if has), None)

    def write() -> ir.Value:
        return compute(*(x.value() for x in site.inputs))

    def write_steps(layout: StepForm) -> ir.Value:
        pairs = zip(site.inputs, stepped, strict=True)
        return compute(*(x.steps(layout) if has else x.value() for x, has in pairs))

    return (site.lazy(write, write_steps if in_steps else None, root),)


def _has_steps(site: Site, x: LazyValue) -> bool:
    """Whether an input has the N and T of the output."""
    if len(site.inputs) == 1:
        return True
    shape, output = x.tensor.shape, site.output_tensors[0].shape
    return len(shape) == len(output) and shape[:2] == output[:2]


def _stay_in_steps(site: Site, stepped: list[bool]) -> bool:
    if len(site.output_tensors[0].shape) != 3 or not any(stepped):
        return False
    others = [x.tensor.shape for x, has in zip(site.inputs, stepped, strict=True) if not has]
    return all(dim == 1 for shape in others for dim in shape[:-1])


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
