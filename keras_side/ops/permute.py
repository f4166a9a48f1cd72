"""Keras ``Permute`` <-> `ops.Permute`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Permute")
def read_permute(record: LayerRecord) -> ops.Permute:
    """Read a Permute; the mask ends here, even where the order stays."""
    with record.settings() as config:
        dims = config.take("dims", (list, tuple))
    return ops.Permute(dims=tuple(dims))


@writes(ops.Permute)
def write_permute(op: ops.Permute) -> WrittenLayer:
    """Write a Permute."""
    return WrittenLayer(class_name="Permute", config={"dims": op.dims})
