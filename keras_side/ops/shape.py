"""Keras' layers that only move numbers <-> `ops.Reshape` and the others of the family; the mask ends here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.ops import Op
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes

LISTS: Mapping[str, tuple[type[Op], str]] = {
    "Cropping1D": (ops.Cropping1D, "cropping"),
    "Permute": (ops.Permute, "dims"),
    "Reshape": (ops.Reshape, "target_shape"),
    "ZeroPadding1D": (ops.ZeroPadding1D, "padding"),
}
"""Layers with one list of integers, which Keras and the graph call the same."""

COUNTS: Mapping[str, tuple[type[Op], str]] = {
    "RepeatVector": (ops.RepeatVector, "n"),
    "UpSampling1D": (ops.UpSampling1D, "size"),
}
"""Layers with one integer."""

WITH_FORMAT = (ops.Flatten, ops.ZeroPadding1D)
"""Layers that Keras asks which axis has the features."""


@reads({name: kind for name, (kind, _) in LISTS.items()})
def read_list(record: LayerRecord) -> Op:
    """Read a layer with a list; the mask ends even where a Permute or Reshape changes nothing."""
    kind, setting = LISTS[record.class_name]
    with record.settings() as config:
        sizes = config.take(setting, (list, tuple))
        if kind in WITH_FORMAT:
            config.require(data_format="channels_last")
    settings: dict[str, Any] = {setting: tuple(sizes)}
    return kind(**settings)


@reads({name: kind for name, (kind, _) in COUNTS.items()})
def read_count(record: LayerRecord) -> Op:
    """Read a layer that repeats each vector or step."""
    kind, setting = COUNTS[record.class_name]
    with record.settings() as config:
        count = config.take(setting, int)
    return kind(**{setting: count})


@reads("Flatten")
def read_flatten(record: LayerRecord) -> ops.Flatten:
    """Read a Flatten."""
    with record.settings() as config:
        config.require(data_format="channels_last")
    return ops.Flatten()


@writes(ops.Flatten, *(kind for kind, _ in (*LISTS.values(), *COUNTS.values())))
def write_shape(op: Op) -> WrittenLayer:
    """Write any of the layers."""
    data_format = {"data_format": "channels_last"} if isinstance(op, WITH_FORMAT) else {}
    return WrittenLayer(class_name=op.kind, config=op.settings() | data_format)
