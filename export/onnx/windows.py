"""Windows over time: how they are padded, and what is too short for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from biport.ops import Dim
from export.onnx.builder import Scope


def padded(
    scope: Scope, x: ir.Value, span: int, stride: int, padding: str, fill: float = 0.0
) -> tuple[ir.Value, dict[str, Any]]:
    """``(N, I, T)`` ready for windows of ``span`` steps, and the attributes of the node that cuts them.

    ``SAME_UPPER`` is left to onnxruntime where it can do it: 1.31 refuses it for dilated windows, and where
    there are steps between two windows it gives other numbers than TensorFlow.
    """
    if padding == "valid":
        return x, {}
    if padding == "causal":
        return x, {"pads": [span - 1, 0]}
    if stride == 1:
        return x, {"pads": [(span - 1) // 2, span // 2]}
    if span >= stride:
        return x, {"auto_pad": "SAME_UPPER"}
    return _same(scope, x, span, stride, fill), {}


def _same(scope: Scope, x: ir.Value, span: int, stride: int, fill: float) -> ir.Value:
    """⌈T / stride⌉ windows: what the last one lacks is put around ``x``, one more behind where it is odd.

    Over no steps nothing is put, so that the node that cuts the windows refuses them.
    """
    time = scope("Shape", x, start=2, end=3)
    last = scope("Mul", scope("Div", scope("Sub", time, [1]), [stride]), [stride])
    total = scope("Max", scope("Sub", scope("Add", last, [span]), time), [0])
    total = scope("Mul", total, scope("Min", time, [1]))
    front = scope("Div", total, [2])
    pads = scope("Concat", [0, 0], front, [0, 0], scope("Sub", total, front), axis=0)
    return scope("Pad", x, pads, np.asarray(fill, "float32"))


def long_enough(scope: Scope, x: ir.Value, axis: int, steps: Dim, needed: int, rank: int = 3) -> ir.Value:
    """``x`` of ``rank`` dimensions, with ``steps`` along ``axis``; over fewer than ``needed`` the file fails.

    onnxruntime would pool what is there, or give the maximum of nothing. A ``Reshape`` to the sizes there are
    costs nothing, and one to a size below -1 every execution provider refuses. The sizes are no ``Concat``:
    onnxruntime 1.31 puts a -1 for a part of one that it does not see through.
    """
    if isinstance(steps, int):
        return x
    scope = Scope(scope.builder, f"{scope.name}/needs-{needed}-steps")
    missing = scope("Min", scope("Sub", scope("Shape", x, start=axis, end=axis + 1), [needed]), [0])
    below = [needed + 2 if position == axis else 0 for position in range(rank)]
    return scope("Reshape", x, scope("Add", scope("Shape", x), scope("Mul", missing, below)))
