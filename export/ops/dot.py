"""`ops.Dot` to ``MatMul``: onnxruntime 1.31 ends the process over an ``Einsum`` of nothing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import Dot
from export.registry import Flow, Site, writes


@writes(Dot)
def write_dot(op: Dot, site: Site) -> tuple[Flow, ...]:
    """Sums of products along one axis of each input; two vectors a row give ``(N, 1)``."""
    scope = site.scope

    def last(position: int) -> tuple[ir.Value, int]:
        """An input with the axis that is summed over as its last, and how many axes lie before it."""
        x, rank = site.inputs[position].value(), len(site.inputs[position].tensor.shape)
        axis = op.axes[position] % rank
        if op.normalize:
            length = scope("ReduceL2", x, [axis], keepdims=1)
            x = scope("Div", x, scope("Max", length, np.asarray(1e-7, "float32")))
        order = [place for place in range(rank) if place != axis]
        return (x if axis == rank - 1 else scope("Transpose", x, perm=[*order, axis])), rank - 2

    def make() -> ir.Value:
        (one, left), (two, right) = last(0), last(1)
        if left == right == 1:
            return scope("MatMul", one, scope("Transpose", two, perm=[0, 2, 1]))
        # Every size of one input beside every size of the other, each a row times a column.
        one = scope("Unsqueeze", one, [left + 1 + place for place in range(right + 1)])
        two = scope("Unsqueeze", two, [*(1 + place for place in range(left)), left + right + 2])
        made = scope("MatMul", one, two)
        ends = [left + right + 1, left + right + 2]
        return scope("Squeeze", made, ends if left + right else ends[:1])

    return (site.flow(make),)
