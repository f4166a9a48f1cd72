"""Keras ``BatchNormalization`` <-> `ops.BatchNormalization`."""

from __future__ import annotations

import numpy as np

from biport import ops
from biport.config import Config
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes

STATISTICS = ("moving_mean", "moving_variance")


def ignore_training(config: Config) -> None:
    """Account for what says how gamma and beta begin and are trained."""
    kinds = ("initializer", "regularizer", "constraint")
    config.ignore(*(f"{name}_{kind}" for name in ("gamma", "beta") for kind in kinds))


def affine_names(scale: bool, center: bool) -> list[str]:
    """The weights there are, in Keras' order."""
    return [name for name, there in (("gamma", scale), ("beta", center)) if there]


@reads("BatchNormalization", masks=pass_mask)
def read_batch_normalization(record: LayerRecord) -> ops.BatchNormalization:
    """Read a BatchNormalization; masks matter to it in training only."""
    with record.settings() as config:
        axis = config.take("axis", int, default=-1)
        momentum = config.take("momentum", (int, float), default=0.99)
        epsilon = config.take("epsilon", (int, float), default=1e-3)
        names = affine_names(config.take("scale", bool), config.take("center", bool))
        config.require(renorm=False)
        config.ignore("synchronized", "renorm_clipping", "renorm_momentum")
        config.ignore(*(f"{name}_initializer" for name in STATISTICS))
        ignore_training(config)
    found = record.variables.take([*names, *STATISTICS])
    return ops.BatchNormalization(
        size=len(found["moving_mean"]),
        axis=axis,
        epsilon=float(epsilon),
        momentum=float(momentum),
        weight=found.get("gamma"),
        bias=found.get("beta"),
        mean=found["moving_mean"],
        variance=found["moving_variance"],
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
        weights=[*present(op.weight, op.bias), op.mean, op.variance],
    )


def present(*arrays: np.ndarray | None) -> list[np.ndarray]:
    """Those that are there."""
    return [array for array in arrays if array is not None]
