"""Keras' layers that merge their inputs <-> `ops.Add`, `ops.Concatenate`, `ops.Dot` and the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from biport import ops
from biport.errors import FileError, UnsupportedError
from biport.ops import Op
from keras_side.masks import Full, Mask, any_if_all, any_of, in_time
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes

PLAIN: Mapping[str, type[Op]] = {
    "Add": ops.Add,
    "Average": ops.Average,
    "Maximum": ops.Maximum,
    "Minimum": ops.Minimum,
    "Multiply": ops.Multiply,
    "Subtract": ops.Subtract,
}
"""Without settings; what a Maximum, Minimum or Multiply gives depends on the masks its inputs carry."""


@reads(PLAIN, masks=any_if_all)
def read_merge(record: LayerRecord) -> Op:
    """Read a merge without settings."""
    with record.settings():
        return PLAIN[record.class_name]()


@writes(*PLAIN.values())
def write_merge(op: Op) -> WrittenLayer:
    """Write a merge without settings."""
    return WrittenLayer(class_name=op.kind, config={}, takes_list=True)


def concatenated_masks(
    op: Op, name: str, inputs: Sequence[str], masks: Sequence[Mask | None]
) -> Sequence[Mask | None]:
    """Masked inputs side by side: a step is valid where any input is; an unmasked input always is."""
    assert isinstance(op, ops.Concatenate)
    if all(mask is None for mask in masks):
        return (None,)
    if op.axis in (0, -3):
        raise UnsupportedError(op.kind, "axis", op.axis, "other axes than the batch where inputs carry masks")
    full = [Full(value) if mask is None else mask for value, mask in zip(inputs, masks, strict=True)]
    if op.axis in (1, -2):
        return (in_time(full, f"{name}_mask"),)
    return (any_of(full, f"{name}_mask"),)


@reads("Concatenate", masks=concatenated_masks)
def read_concatenate(record: LayerRecord) -> ops.Concatenate:
    """Read a Concatenate; ``axis`` counts the batch."""
    with record.settings() as config:
        axis = config.take("axis", int, default=-1)
    return ops.Concatenate(axis=axis)


@writes(ops.Concatenate)
def write_concatenate(op: ops.Concatenate) -> WrittenLayer:
    """Write a Concatenate."""
    return WrittenLayer(class_name="Concatenate", config={"axis": op.axis}, takes_list=True)


@reads("Dot")
def read_dot(record: LayerRecord) -> ops.Dot:
    """Read a Dot; one axis stands for the same one in both inputs. It ends the masks."""
    with record.settings() as config:
        axes = config.take("axes", (int, list, tuple))
        normalize = config.take("normalize", bool, default=False)
    both = [axes, axes] if isinstance(axes, int) else list(axes)
    if len(both) != 2:
        raise FileError(f"{record.owner}: axes should be an integer or two, found {axes!r}")
    return ops.Dot(axes=(both[0], both[1]), normalize=normalize)


@writes(ops.Dot)
def write_dot(op: ops.Dot) -> WrittenLayer:
    """Write a Dot."""
    return WrittenLayer(
        class_name="Dot", config={"axes": list(op.axes), "normalize": op.normalize}, takes_list=True
    )


@reads("LearnedAverage", masks=any_if_all)
def read_learned_average(record: LayerRecord) -> ops.LearnedAverage:
    """Read the ``biport>LearnedAverage`` of `keras_side.layers`; the weight has its shape of itself."""
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
