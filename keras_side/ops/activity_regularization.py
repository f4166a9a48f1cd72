"""Keras ``ActivityRegularization`` <-> `ops.ActivityRegularization`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("ActivityRegularization", masks=pass_mask)
def read_activity_regularization(record: LayerRecord) -> ops.ActivityRegularization:
    """Read an ActivityRegularization."""
    with record.settings() as config:
        l1 = config.take("l1", (int, float), default=0.0)
        l2 = config.take("l2", (int, float), default=0.0)
    return ops.ActivityRegularization(l1=float(l1), l2=float(l2))


@writes(ops.ActivityRegularization)
def write_activity_regularization(op: ops.ActivityRegularization) -> WrittenLayer:
    """Write an ActivityRegularization."""
    return WrittenLayer(class_name="ActivityRegularization", config={"l1": op.l1, "l2": op.l2})
