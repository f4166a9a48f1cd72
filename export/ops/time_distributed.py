"""`ops.TimeDistributed`: its layer between two ``Reshape``."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from biport.ops import TimeDistributed
from export.onnx.lazy_value import LazyValue, Order
from export.onnx.site import Site
from export.registry import WRITERS, writes


@writes(TimeDistributed)
def write_time_distributed(op: TimeDistributed, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, ...)``: the layer is given N·T rows.

    Where they come of one like it, they are not put together in between; and the other axes stay in the order
    in which they come and go.
    """
    (x,) = site.inputs
    scope = site.scope
    rows = x.rows if x.rows is not None else _rows(op, site)
    inside = dataclasses.replace(
        site, inputs=[rows], masks=[None], output_tensors=op.layer.infer([rows.tensor])
    )
    (inner,) = WRITERS.lookup(type(op.layer), site.owner)(op.layer, inside)
    order = (0, 1, *(axis + 1 for axis in inner.order[1:])) if inner.order[0] == 0 else None

    def write() -> ir.Value:
        value = inner.value() if order is None else inner.ordered(inner.order)
        steps = x.root.ordered(_lead_order(x.root))
        shape = scope("Concat", scope("Shape", steps, start=0, end=2), scope("Shape", value, start=1), axis=0)
        return scope("Reshape", value, shape, allowzero=1)

    whole = site.lazy(write, root=x, order=order)
    whole.rows = inner
    return (whole,)


def _rows(op: TimeDistributed, site: Site) -> LazyValue:
    """All steps of all rows, one below the other."""
    (x,) = site.inputs
    scope = site.scope
    order = _lead_order(x)

    def write() -> ir.Value:
        value = x.ordered(order)
        lead = scope("ReduceProd", scope("Shape", value, start=0, end=2), keepdims=1)
        return scope(
            "Reshape", value, scope("Concat", lead, scope("Shape", value, start=2), axis=0), allowzero=1
        )

    return LazyValue(op.inner(x.tensor), scope, write, order=(0, *(axis - 1 for axis in order[2:])))


def _lead_order(x: LazyValue) -> Order:
    """An order with N and T in front, the one in which ``x`` is written where that has."""
    return x.order if x.order[:2] == (0, 1) else x.batch_major
