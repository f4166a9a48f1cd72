"""Keras ``PReLU`` <-> `ops.PReLU`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("PReLU", masks=pass_mask)
def read_p_re_lu(record: LayerRecord) -> ops.PReLU:
    """Read a PReLU; its slopes are ``(...)``, 1 along shared axes."""
    with record.settings() as config:
        config.take("shared_axes", (list, tuple, type(None)), default=None)
        config.ignore("alpha_initializer", "alpha_regularizer", "alpha_constraint")
    return ops.PReLU(alpha=record.variables.take(["alpha"])["alpha"])


@writes(ops.PReLU)
def write_p_re_lu(op: ops.PReLU) -> WrittenLayer:
    """Write a PReLU."""
    shared = [axis for axis, size in enumerate(op.alpha.shape, start=1) if size == 1]
    return WrittenLayer(class_name="PReLU", config={"shared_axes": shared or None}, weights=[op.alpha])
