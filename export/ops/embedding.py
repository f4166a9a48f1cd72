"""Embeddings to ``Gather``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Embedding, ToIds
from export.onnx.elementwise import elementwise
from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.site import Site
from export.registry import writes


@writes(ToIds)
def write_to_ids(op: ToIds, site: Site) -> tuple[LazyValue, ...]:
    """Whole numbers to integers; whether they are whole is seen before, see `biport.inputs`."""
    return elementwise(site, lambda x: site.scope("Cast", x, to=ir.DataType.INT32))


@writes(Embedding)
def write_embedding(op: Embedding, site: Site) -> tuple[LazyValue, ...]:
    """Ids ``(N, T)`` to rows ``(N, T, O)``.

    In step form the ids are laid out, not the rows: they are O times fewer numbers to move.
    """
    (ids,) = site.inputs

    def rows(indices: ir.Value) -> ir.Value:
        return site.scope("Gather", site.scope.constant(op.weight, "weight"), indices, axis=0)

    def write_steps(layout: StepForm) -> ir.Value | None:
        return rows(ids.steps(layout)) if len(ids.tensor.shape) == 2 else None

    return (site.lazy(lambda: rows(ids.value()), write_steps, root=ids),)
