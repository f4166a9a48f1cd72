"""Convolutions to ``Conv`` between two transpositions, and their activation."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Conv1D
from export.onnx.activations import activate
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.onnx.windows import padded
from export.registry import writes


@writes(Conv1D)
def write_conv1d(op: Conv1D, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` to ``(N, T', O)``; `export.Session` refuses what is too short for one window."""
    (x,) = site.inputs
    scope = site.scope

    def write() -> ir.Value:
        turned = scope("Transpose", x.value(), perm=[0, 2, 1])
        turned, attributes = padded(scope, turned, op.span, op.strides, op.padding)
        z = scope(
            "Conv",
            turned,
            scope.constant(op.weight, "weight"),
            *([] if op.bias is None else [scope.constant(op.bias, "bias")]),
            kernel_shape=[op.kernel_size],
            strides=[op.strides],
            dilations=[op.dilation],
            group=op.groups,
            **attributes,
        )
        return activate(scope, op.activation, scope("Transpose", z, perm=[0, 2, 1]))

    return (site.lazy(write),)
