"""`ops.Embedding` to ``Gather``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Embedding
from export.layout import Layout
from export.registry import Flow, Site, writes


@writes(Embedding)
def write_embedding(op: Embedding, site: Site) -> tuple[Flow, ...]:
    """Ids ``(N, T)`` to rows ``(N, T, O)``.

    In step form the ids are laid out, not the rows: they are O times fewer numbers to move.
    """
    (ids,) = site.inputs

    def rows(places: ir.Value) -> ir.Value:
        return site.scope("Gather", site.scope.constant(op.weight, "weight"), places, axis=0)

    def steps(layout: Layout) -> ir.Value | None:
        return rows(ids.steps(layout)) if len(ids.tensor.shape) == 2 else None

    return (site.flow(lambda: rows(ids.value()), steps, root=ids),)
