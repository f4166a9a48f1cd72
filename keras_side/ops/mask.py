"""Keras ``Masking`` <-> `ops.Masking`, and the ops that masks are made of -> ``keras.ops``.

The latter are read as part of the masks, in `keras_side.reading.mask_expressions`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biport import ops
from biport.errors import UnsupportedError
from keras_side.masks import FeaturesUnequal, Mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


def start_mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """A mask of the layer's own, made from its input; one that the input carries ends."""
    assert isinstance(op, ops.Masking)
    return (FeaturesUnequal(inputs[0], op.mask_value, f"{name}_mask"),)


@reads("Masking", masks=start_mask)
def read_masking(record: LayerRecord) -> ops.Masking:
    """Read a Masking; it replaces the mask its input carries."""
    with record.settings() as config:
        value = config.take("mask_value", (int, float), default=0.0)
        if float(np.float32(value)) != value:
            raise UnsupportedError(record.owner, "mask_value", value, "numbers that float32 holds exactly")
    return ops.Masking(mask_value=float(value))


@writes(ops.Masking)
def write_masking(op: ops.Masking) -> WrittenLayer:
    """Write a Masking."""
    return WrittenLayer(class_name="Masking", config={"mask_value": op.mask_value})


@writes(ops.NotEqual)
def write_not_equal(op: ops.NotEqual) -> WrittenLayer:
    """Write the comparison of ids with the padding id."""
    return WrittenLayer(class_name="not_equal", config={"x2": op.value}, is_operation=True)


@writes(ops.FeaturesNotEqual)
def write_features_not_equal(op: ops.FeaturesNotEqual) -> WrittenLayer:
    """Write the operations Keras itself records for a Masking."""
    return WrittenLayer(
        class_name="not_equal", config={"x2": op.value}, is_operation=True, then=(("any", {"axis": -1}),)
    )


@writes(ops.LogicalAnd)
def write_logical_and(op: ops.LogicalAnd) -> WrittenLayer:
    """Write what masks have in common."""
    return WrittenLayer(class_name="logical_and", config={}, is_operation=True)


@writes(ops.LogicalOr)
def write_logical_or(op: ops.LogicalOr) -> WrittenLayer:
    """Write the union of masks."""
    return WrittenLayer(class_name="logical_or", config={}, is_operation=True)


@writes(ops.OnesLike)
def write_ones_like(op: ops.OnesLike) -> WrittenLayer:
    """Write the mask of every step: `keras_side.writing` takes off what is behind N and T."""
    return WrittenLayer(class_name="ones_like", config={"dtype": "bool"}, is_operation=True)
