"""Keras ``Concatenate`` <-> `ops.Concatenate`."""

from __future__ import annotations

from collections.abc import Sequence

from biport import ops
from keras_side.masks import Full, Mask, any_of, in_time
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


def _mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """Masked inputs side by side: a step is valid where any input is; an unmasked input always is."""
    assert isinstance(op, ops.Concatenate)
    if all(mask is None for mask in masks):
        return (None,)
    found = [Full(value) if mask is None else mask for value, mask in zip(inputs, masks, strict=True)]
    if op.axis in (1, -2):
        return (in_time(found, f"{name}_mask"),)
    return (any_of(found, f"{name}_mask"),)


@reads("Concatenate", masks=_mask)
def read_concatenate(record: LayerRecord) -> ops.Concatenate:
    """Read a Concatenate; ``axis`` counts the batch."""
    with record.settings() as config:
        axis = config.take("axis", int, default=-1)
    return ops.Concatenate(axis=axis)


@writes(ops.Concatenate)
def write_concatenate(op: ops.Concatenate) -> WrittenLayer:
    """Write a Concatenate."""
    return WrittenLayer(class_name="Concatenate", config={"axis": op.axis}, takes_list=True)
