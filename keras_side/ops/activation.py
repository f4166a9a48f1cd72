"""Keras' layers that are an activation <-> `ops.Activation`, `ops.ReLU` and the others of the family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.ops import Op
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes
from keras_side.shared import activations

SLOPES: Mapping[str, tuple[type[Op], str]] = {
    "ELU": (ops.ELU, "alpha"),
    "LeakyReLU": (ops.LeakyReLU, "negative_slope"),
}
"""Layers with one number, which Keras and the graph call the same."""


@reads("Activation", masks=pass_mask)
def read_activation(record: LayerRecord) -> ops.Activation:
    """Read an Activation."""
    with record.settings() as config:
        function = activations.read_activation(config)
    return ops.Activation(function=function)


@writes(ops.Activation)
def write_activation(op: ops.Activation) -> WrittenLayer:
    """Write an Activation."""
    return WrittenLayer(
        class_name="Activation", config={"activation": activations.write_activation(op.function)}
    )


@reads({name: kind for name, (kind, _) in SLOPES.items()}, masks=pass_mask)
def read_slope(record: LayerRecord) -> Op:
    """Read an ELU or LeakyReLU."""
    kind, setting = SLOPES[record.class_name]
    with record.settings() as config:
        settings: dict[str, Any] = {setting: float(config.take(setting, (int, float)))}
    return kind(**settings)


@reads("ReLU", masks=pass_mask)
def read_relu(record: LayerRecord) -> ops.ReLU:
    """Read a ReLU."""
    with record.settings() as config:
        max_value = config.take("max_value", (int, float, type(None)), default=None)
        negative_slope = config.take("negative_slope", (int, float), default=0.0)
        threshold = config.take("threshold", (int, float), default=0.0)
    return ops.ReLU(
        max_value=max_value if max_value is None else float(max_value),
        negative_slope=float(negative_slope),
        threshold=float(threshold),
    )


@reads("PReLU", masks=pass_mask)
def read_prelu(record: LayerRecord) -> ops.PReLU:
    """Read a PReLU; its slopes are ``(...)``, 1 along shared axes."""
    with record.settings() as config:
        config.take("shared_axes", (list, tuple, type(None)), default=None)
    return ops.PReLU(alpha=record.variables.take(["alpha"])["alpha"])


@writes(ops.PReLU)
def write_prelu(op: ops.PReLU) -> WrittenLayer:
    """Write a PReLU."""
    shared = [axis for axis, size in enumerate(op.alpha.shape, start=1) if size == 1]
    return WrittenLayer(class_name="PReLU", config={"shared_axes": shared or None}, weights=[op.alpha])


@reads("Softmax", masks=pass_mask)
def read_softmax(record: LayerRecord) -> ops.Softmax:
    """Read a Softmax; scores under a mask give 0 there, see `ops.Softmax`."""
    with record.settings() as config:
        axis = config.take("axis", (int, list, tuple), default=-1)
    return ops.Softmax(axis=axis if isinstance(axis, int) else tuple(axis))


@writes(ops.ELU, ops.LeakyReLU, ops.ReLU, ops.Softmax)
def write_settings(op: Op) -> WrittenLayer:
    """Write a layer whose settings Keras and the graph call the same."""
    return WrittenLayer(class_name=op.kind, config=op.settings())
