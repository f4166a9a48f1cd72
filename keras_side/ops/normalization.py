"""Keras' normalization layers <-> `ops.BatchNormalization` and the others of the family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biport import ops
from biport.config import Config
from biport.errors import UnsupportedError
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer, present
from keras_side.registry import reads, writes

STATISTICS = ("moving_mean", "moving_variance")
"""Variables of keras/src/layers/normalization/batch_normalization.py that training averages, in its order."""


def _ignore_training(config: Config) -> None:
    """Account for what says how gamma and beta begin and are trained."""
    kinds = ("initializer", "regularizer", "constraint")
    config.ignore(*(f"{name}_{kind}" for name in ("gamma", "beta") for kind in kinds))


def _affine_names(config: Config) -> list[str]:
    """The weights there are, in Keras' order."""
    scale, center = config.take("scale", bool), config.take("center", bool)
    return [name for name, there in (("gamma", scale), ("beta", center)) if there]


def _axes(config: Config) -> tuple[int, ...]:
    """One axis or several, in the order that Keras 3.15 sorts them into."""
    return tuple(sorted(_listed_axes(config)))


def _listed_axes(config: Config) -> tuple[int, ...]:
    axes = config.take("axis", (int, list, tuple), default=-1)
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _sorted_sizes(array: np.ndarray | None, axes: Sequence[int]) -> np.ndarray | None:
    """A weight whose sizes are those of ``axes`` as listed, as Keras before 3.15 lays it over the input.

    It is reshaped, not transposed, to the sizes in the order of the axes (keras/src/ops/nn.py and
    tf_keras/src/layers/normalization/layer_normalization.py, ``_broadcast``).
    """
    if array is None or array.ndim != len(axes):
        return array
    return array.reshape([size for _, size in sorted(zip(axes, array.shape, strict=True))])


@reads("BatchNormalization", masks=pass_mask)
def read_batch_normalization(record: LayerRecord) -> ops.BatchNormalization:
    """Read a BatchNormalization; masks matter to it in training only."""
    with record.settings() as config:
        axis = config.take("axis", int, default=-1)
        momentum = config.take("momentum", (int, float), default=0.99)
        epsilon = config.take("epsilon", (int, float), default=1e-3)
        names = _affine_names(config)
        config.require(renorm=False)
        config.ignore("synchronized", "renorm_clipping", "renorm_momentum")
        config.ignore(*(f"{name}_initializer" for name in STATISTICS))
        _ignore_training(config)
    arrays = record.variables.take([*names, *STATISTICS])
    return ops.BatchNormalization(
        size=len(arrays["moving_mean"]),
        axis=axis,
        epsilon=float(epsilon),
        momentum=float(momentum),
        weight=arrays.get("gamma"),
        bias=arrays.get("beta"),
        mean=arrays["moving_mean"],
        variance=arrays["moving_variance"],
    )


@writes(ops.BatchNormalization)
def write_batch_normalization(op: ops.BatchNormalization) -> WrittenLayer:
    """Write a BatchNormalization."""
    return WrittenLayer(
        class_name="BatchNormalization",
        config={
            "axis": op.axis,
            "momentum": op.momentum,
            "epsilon": op.epsilon,
            "scale": op.weight is not None,
            "center": op.bias is not None,
        },
        weights=present(op.weight, op.bias, op.mean, op.variance),
    )


@reads("LayerNormalization", masks=pass_mask)
def read_layer_normalization(record: LayerRecord) -> ops.LayerNormalization:
    """Read a LayerNormalization; with ``rms_scaling`` it has a gamma alone, whatever it says of both."""
    with record.settings() as config:
        axes = _listed_axes(config)
        epsilon = config.take("epsilon", (int, float), default=1e-3)
        names = _affine_names(config)
        rms_scaling = config.take("rms_scaling", bool, default=False)
        _ignore_training(config)
    arrays = record.variables.take(["gamma"] if rms_scaling else names)
    try:
        return ops.LayerNormalization(
            axes=tuple(sorted(axes)),
            epsilon=float(epsilon),
            rms_scaling=rms_scaling,
            weight=_sorted_sizes(arrays.get("gamma"), axes),
            bias=_sorted_sizes(arrays.get("beta"), axes),
        )
    except UnsupportedError as problem:
        raise UnsupportedError(record.owner, "axis", sorted(axes), problem.supported) from problem


@writes(ops.LayerNormalization)
def write_layer_normalization(op: ops.LayerNormalization) -> WrittenLayer:
    """Write a LayerNormalization."""
    return WrittenLayer(
        class_name="LayerNormalization",
        config={
            "axis": list(op.axes),
            "epsilon": op.epsilon,
            "rms_scaling": op.rms_scaling,
            "scale": op.weight is not None,
            "center": op.bias is not None,
        },
        weights=present(op.weight, op.bias),
    )


@reads("UnitNormalization", masks=pass_mask)
def read_unit_normalization(record: LayerRecord) -> ops.UnitNormalization:
    """Read a UnitNormalization."""
    with record.settings() as config:
        axes = _axes(config)
    try:
        return ops.UnitNormalization(axes=axes)
    except UnsupportedError as problem:
        raise UnsupportedError(record.owner, "axis", list(axes), problem.supported) from problem


@writes(ops.UnitNormalization)
def write_unit_normalization(op: ops.UnitNormalization) -> WrittenLayer:
    """Write a UnitNormalization."""
    return WrittenLayer("UnitNormalization", {"axis": list(op.axes)})
