"""Keras ``GaussianNoise`` <-> `ops.GaussianNoise`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("GaussianNoise", masks=pass_mask)
def read_gaussian_noise(record: LayerRecord) -> ops.GaussianNoise:
    """Read a GaussianNoise."""
    with record.settings() as config:
        stddev = config.take("stddev", (int, float))
        config.ignore("seed")
    return ops.GaussianNoise(stddev=float(stddev))


@writes(ops.GaussianNoise)
def write_gaussian_noise(op: ops.GaussianNoise) -> WrittenLayer:
    """Write a GaussianNoise."""
    return WrittenLayer(class_name="GaussianNoise", config={"stddev": op.stddev})
