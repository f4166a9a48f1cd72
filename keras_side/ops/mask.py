"""Keras ``Masking`` <-> `ops.Masking`, and the ops that masks are made of -> ``keras.ops``.

The latter are read as part of the masks, in `keras_side.reading.mask_expressions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from biport import ops
from biport.errors import UnsupportedError
from biport.registry import snake_case
from keras_side.masks import FeaturesUnequal, Mask
from keras_side.records import LayerRecord, WrittenLayer, WrittenOperation
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
def write_not_equal(op: ops.NotEqual) -> WrittenOperation:
    """Write the comparison of ids with the padding id."""

    def apply(keras: Any, ids: Any) -> Any:
        return keras.ops.not_equal(ids, op.value)

    return WrittenOperation(apply)


@writes(ops.FeaturesNotEqual)
def write_features_not_equal(op: ops.FeaturesNotEqual) -> WrittenOperation:
    """Write the operations Keras itself records for a Masking."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.any(keras.ops.not_equal(x, op.value), axis=-1)

    return WrittenOperation(apply)


@writes(ops.LogicalAnd, ops.LogicalOr)
def write_joined(op: ops.LogicalAnd | ops.LogicalOr) -> WrittenOperation:
    """Write what masks have in common, or their union."""

    def apply(keras: Any, *masks: Any) -> Any:
        return reduce(getattr(keras.ops, snake_case(op.kind)), masks)

    return WrittenOperation(apply)


@writes(ops.OnesLike)
def write_ones_like(op: ops.OnesLike) -> WrittenOperation:
    """Write the mask of every step, ``(N, T)``."""

    def apply(keras: Any, x: Any) -> Any:
        ones: Any = keras.ops.ones_like(x, dtype="bool")
        # One axis at a time, which is how a mask is read again.
        return reduce(lambda mask, _: keras.ops.any(mask, axis=-1), x.shape[2:], ones)

    return WrittenOperation(apply)
