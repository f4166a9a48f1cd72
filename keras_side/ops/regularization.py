"""Keras' layers that act in training alone <-> `ops.Dropout`, `ops.GaussianNoise` and the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.ops import Op
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes

SPATIAL = {1: ops.SpatialDropout1D, 2: ops.SpatialDropout2D, 3: ops.SpatialDropout3D}
"""By the number of axes; all but the first are asked which axis has the features."""

NOISES: Mapping[str, tuple[type[Op], str]] = {
    "AlphaDropout": (ops.AlphaDropout, "rate"),
    "Dropout": (ops.Dropout, "rate"),
    "GaussianDropout": (ops.GaussianDropout, "rate"),
    "GaussianNoise": (ops.GaussianNoise, "stddev"),
    **{f"SpatialDropout{dimensions}D": (kind, "rate") for dimensions, kind in SPATIAL.items()},
}
"""Layers with one number, which Keras and the graph call the same."""

SHAPED = ("AlphaDropout", "Dropout")
"""Those with a ``noise_shape``."""


@reads({name: kind for name, (kind, _) in NOISES.items()}, masks=pass_mask)
def read_noise(record: LayerRecord) -> Op:
    """Read a dropout or noise; a ``noise_shape`` of its own is refused, torch has none."""
    kind, setting = NOISES[record.class_name]
    with record.settings() as config:
        strength = config.take(setting, (int, float))
        if record.class_name in SHAPED:
            shape = config.take("noise_shape", (list, tuple, type(None)), default=None)
            if shape is not None and any(size is not None for size in shape):
                config.refuse("noise_shape", shape, "None")
        if kind in SPATIAL.values():
            config.require(data_format="channels_last")
        config.ignore("seed")
    settings: dict[str, Any] = {setting: float(strength)}
    return kind(**settings)


@reads("Identity", masks=pass_mask)
def read_identity(record: LayerRecord) -> ops.Identity:
    """Read an Identity."""
    with record.settings():
        return ops.Identity()


@reads("ActivityRegularization", masks=pass_mask)
def read_activity_regularization(record: LayerRecord) -> ops.ActivityRegularization:
    """Read an ActivityRegularization."""
    with record.settings() as config:
        l1 = config.take("l1", (int, float), default=0.0)
        l2 = config.take("l2", (int, float), default=0.0)
    return ops.ActivityRegularization(l1=float(l1), l2=float(l2))


@writes(ops.ActivityRegularization, ops.Identity, *(kind for kind, _ in NOISES.values()))
def write_regularization(op: Op) -> WrittenLayer:
    """Write any of them: Keras and the graph call their settings the same."""
    asked = isinstance(op, ops.SpatialDropout2D | ops.SpatialDropout3D)
    data_format = {"data_format": "channels_last"} if asked else {}
    return WrittenLayer(class_name=op.kind, config=op.settings() | data_format)
