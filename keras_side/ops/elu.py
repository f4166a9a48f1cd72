"""Keras ``ELU`` <-> `ops.ELU`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("ELU", masks=pass_mask)
def read_elu(record: LayerRecord) -> ops.ELU:
    """Read an ELU."""
    with record.settings() as config:
        alpha = config.take("alpha", (int, float))
    return ops.ELU(alpha=float(alpha))


@writes(ops.ELU)
def write_elu(op: ops.ELU) -> WrittenLayer:
    """Write an ELU."""
    return WrittenLayer(class_name="ELU", config={"alpha": op.alpha})
