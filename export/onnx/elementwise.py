"""Element by element: ops of one input or of several, in batch-major and in step form alike, in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import onnx_ir as ir

from export.onnx.lazy_value import LazyValue, Order, StepForm
from export.onnx.site import Site


def elementwise(
    site: Site, compute: Callable[..., ir.Value], *, features_last: bool = False
) -> tuple[LazyValue]:
    """What ``compute`` gives of the inputs, sizes of 1 stretched.

    Recurrent layers around it stay in step form; of several inputs where the output is ``(N, T, I)`` and each
    of them has its N and T, or is the same in all rows at all steps. Between convolutions features stay in
    front of the other axes.

    Args:
        site: where the op stands.
        compute: takes a value for each input.
        features_last: ``compute`` counts on features to be the last axis.
    """
    order = None if features_last else common_order(site.inputs, len(site.output_tensors[0].shape))
    stepped = [_has_steps(site, x) for x in site.inputs]
    in_steps = len(site.inputs) == 1 or _stay_in_steps(site, stepped)
    root = next((x for x, has in zip(site.inputs, stepped, strict=True) if has), None)

    if order is not None:
        return (site.lazy(lambda: compute(*in_order(site, order)), root=root, order=order),)

    def write() -> ir.Value:
        return compute(*(x.value() for x in site.inputs))

    def write_steps(layout: StepForm) -> ir.Value:
        pairs = zip(site.inputs, stepped, strict=True)
        return compute(*(x.steps(layout) if has else x.value() for x, has in pairs))

    return (site.lazy(write, write_steps if in_steps else None, root),)


def common_order(inputs: Sequence[LazyValue], rank: int) -> Order | None:
    """An order of ``rank`` axes other than the graph's in which values are put together more easily.

    Those of fewer axes do not count, nor do those that are transposed at no cost, being of one size alone.
    ``None`` where the order of the graph is as good.
    """
    wide = [x for x in inputs if len(x.tensor.shape) == rank and _is_wide(x)]
    orders = dict.fromkeys(x.order for x in wide if x.order != x.batch_major)

    def transposed(order: Order) -> int:
        return sum(not x.has(order) for x in wide)

    best = min(orders, key=transposed, default=None)
    return best if best is not None and transposed(best) < transposed(tuple(range(rank))) else None


def _is_wide(x: LazyValue) -> bool:
    """Whether more than one of its axes have a size."""
    return sum(dim != 1 for dim in x.tensor.shape) > 1


def in_order(site: Site, order: Order) -> list[ir.Value]:
    """The inputs with their axes in ``order``; those that have fewer are taken to have more in front."""
    return [_reordered(site, x, order) for x in site.inputs]


def _reordered(site: Site, x: LazyValue, order: Order) -> ir.Value:
    rank = len(x.tensor.shape)
    if rank in (0, len(order)):
        return x.ordered(order) if rank else x.value()
    missing = len(order) - rank
    # Its own axes are the last: those in front of them are not there, and of size 1 between them.
    own = [axis - missing for axis in order if axis >= missing]
    value = x.ordered(tuple(own))
    first = next(position for position, axis in enumerate(order) if axis >= missing)
    new = [position - first for position, axis in enumerate(order) if position > first and axis < missing]
    return site.scope("Unsqueeze", value, new) if new else value


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
