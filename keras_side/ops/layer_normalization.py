"""Keras ``LayerNormalization`` <-> `ops.LayerNormalization`."""

from __future__ import annotations

from biport import ops
from biport.errors import UnsupportedError
from keras_side.masks import pass_mask
from keras_side.ops.batch_normalization import affine_names, ignore_training, present
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("LayerNormalization", masks=pass_mask)
def read_layer_normalization(record: LayerRecord) -> ops.LayerNormalization:
    """Read a LayerNormalization; ``rms_scaling``, which divides by the variance alone, is refused."""
    with record.settings() as config:
        axes = config.take("axis", (int, list, tuple), default=-1)
        epsilon = config.take("epsilon", (int, float), default=1e-3)
        names = affine_names(config.take("scale", bool), config.take("center", bool))
        config.require(rms_scaling=False)
        ignore_training(config)
    found = record.variables.take(names)
    try:
        return ops.LayerNormalization(
            # Keras sorts the axes it is given.
            axes=tuple(sorted([axes] if isinstance(axes, int) else axes)),
            epsilon=float(epsilon),
            weight=found.get("gamma"),
            bias=found.get("beta"),
        )
    except UnsupportedError as problem:
        raise UnsupportedError(record.owner, "axis", axes, problem.supported) from problem


@writes(ops.LayerNormalization)
def write_layer_normalization(op: ops.LayerNormalization) -> WrittenLayer:
    """Write a LayerNormalization."""
    return WrittenLayer(
        class_name="LayerNormalization",
        config={
            "axis": list(op.axes),
            "epsilon": op.epsilon,
            "scale": op.weight is not None,
            "center": op.bias is not None,
        },
        weights=present(op.weight, op.bias),
    )
