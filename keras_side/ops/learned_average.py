"""``biport>LearnedAverage`` of `keras_side.layers` <-> `ops.LearnedAverage`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import any_if_all
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("LearnedAverage", masks=any_if_all)
def read_learned_average(record: LayerRecord) -> ops.LearnedAverage:
    """Read a LearnedAverage; what the weight's shape is, it says itself."""
    with record.settings() as config:
        config.take("per_unit", bool)
    return ops.LearnedAverage(weight=record.variables.take(["weight"])["weight"])


@writes(ops.LearnedAverage)
def write_learned_average(op: ops.LearnedAverage) -> WrittenLayer:
    """Write a LearnedAverage."""
    return WrittenLayer(
        class_name="LearnedAverage",
        config={"per_unit": op.weight.ndim == 1},
        weights=[op.weight],
        takes_list=True,
    )
