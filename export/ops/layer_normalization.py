"""`ops.LayerNormalization` to one ``LayerNormalization`` node, or its parts over axes that are not last."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import LayerNormalization
from export.layout import Layout
from export.registry import Flow, Site, writes


@writes(LayerNormalization)
def write_layer_normalization(op: LayerNormalization, site: Site) -> tuple[Flow, ...]:
    """Any shape; over the last axis of ``(N, T, I)`` the step form stays."""
    (x,) = site.inputs
    rank = len(x.tensor.shape)
    places = [axis % rank for axis in op.axes]
    last = places == list(range(places[0], rank))

    def apply(value: ir.Value) -> ir.Value:
        if not last:
            return _parts(op, site, value, places)
        sizes = [int(x.tensor.shape[place]) for place in places]
        weight = np.ones(sizes, "float32") if op.weight is None else op.weight
        return site.scope(
            "LayerNormalization",
            value,
            site.scope.constant(weight, "weight"),
            # onnxruntime 1.31 ends the process over a bias that is left out by an empty name.
            *([] if op.bias is None else [site.scope.constant(op.bias, "bias")]),
            axis=-len(places),
            epsilon=op.epsilon,
        )

    def steps(layout: Layout) -> ir.Value | None:
        return apply(x.steps(layout)) if (rank, places) == (3, [2]) else None

    return (site.flow(lambda: apply(x.value()), steps, root=x),)


def _parts(op: LayerNormalization, site: Site, x: ir.Value, places: list[int]) -> ir.Value:
    scope, rank = site.scope, len(site.inputs[0].tensor.shape)
    centred = scope("Sub", x, scope("ReduceMean", x, places, keepdims=1))
    variance = scope("ReduceMean", scope("Mul", centred, centred), places, keepdims=1)
    root = scope("Sqrt", scope("Add", variance, np.asarray(op.epsilon, "float32")))
    made = scope("Div", centred, root)
    for op_type, array in (("Mul", op.weight), ("Add", op.bias)):
        if array is not None:
            sizes = dict(zip(places, array.shape, strict=True))
            wide = array.reshape([sizes.get(place, 1) for place in range(rank)])
            made = scope(op_type, made, scope.constant(wide, op_type))
    return made
