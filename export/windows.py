"""Pooling over windows of time."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import AveragePooling1D, MaxPooling1D
from export.flow import Flow, Site


def pooled(op: MaxPooling1D | AveragePooling1D, site: Site, op_type: str) -> Flow:
    """One node between two transpositions; `export.Session` refuses what is too short for one window.

    ``SAME_UPPER`` pads as TensorFlow does, and an ``AveragePool`` does not count the padding.
    """
    (x,) = site.inputs
    padding = {"auto_pad": "SAME_UPPER"} if op.padding == "same" else {}

    def make() -> ir.Value:
        turned = site.scope("Transpose", x.value(), perm=[0, 2, 1])
        made = site.scope(op_type, turned, kernel_shape=[op.pool_size], strides=[op.strides], **padding)
        return site.scope("Transpose", made, perm=[0, 2, 1])

    return site.flow(make)
