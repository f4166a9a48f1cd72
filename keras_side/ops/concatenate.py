"""Keras ``Concatenate`` <-> `ops.Concatenate`."""

from __future__ import annotations

from collections.abc import Sequence

from biport import ops
from biport.errors import UnsupportedError
from keras_side.masks import Full, InTime, Mask, any_of
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


def _mask(
    op: ops.Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """Masked inputs side by side: a step is valid where any input is; an unmasked input always is."""
    assert isinstance(op, ops.Concatenate)
    present = [mask for mask in masks if mask is not None]
    if not present:
        return (None,)
    if op.axis in (1, -2):
        if len(present) < len(masks) or Full() in present:
            raise UnsupportedError(
                f"layer {name!r} (Concatenate)",
                "axis",
                op.axis,
                "inputs that are all masked, or all unmasked",
            )
        return (InTime(tuple(present), f"{name}_mask"),)
    return (any_of(present, f"{name}_mask") if len(present) == len(masks) else Full(),)


@reads("Concatenate", masks=_mask)
def read_concatenate(record: LayerRecord) -> ops.Concatenate:
    """Read a Concatenate; ``axis`` counts the batch."""
    with record.settings() as config:
        axis = config.take("axis", int, default=-1)
    return ops.Concatenate(axis=axis)


@writes(ops.Concatenate)
def write_concatenate(op: ops.Concatenate) -> WrittenLayer:
    """Write a Concatenate."""
    return WrittenLayer(class_name="Concatenate", config={"axis": op.axis})
