"""Keras' pooling layers <-> `ops.AveragePooling1D`, `ops.GlobalMaxPooling2D` and the others.

All end the mask. `GlobalAveragePooling1D` averages over the valid steps; of the others Keras takes no
notice of a mask.
"""

from __future__ import annotations

from collections.abc import Mapping

from biport.errors import UnsupportedError
from biport.ops import GlobalPooling, Pooling
from biport.ops.pooling import GLOBAL_MAXIMA, GLOBAL_MEANS, MAXIMA, MEANS
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes
from keras_side.shared.sizes import take_sizes, written_sizes

WINDOWS: Mapping[str, type[Pooling]] = {
    f"{name}{dimensions}D": kind
    for names, kinds in ((("AveragePooling", "AvgPool"), MEANS), (("MaxPooling", "MaxPool"), MAXIMA))
    for dimensions, kind in kinds.items()
    for name in names
}
"""Over a few elements each."""

GLOBAL: Mapping[str, type[GlobalPooling]] = {
    f"Global{name}{dimensions}D": kind
    for names, kinds in (
        (("AveragePooling", "AvgPool"), GLOBAL_MEANS),
        (("MaxPooling", "MaxPool"), GLOBAL_MAXIMA),
    )
    for dimensions, kind in kinds.items()
    for name in names
}
"""Over all of them."""


@reads(WINDOWS)
def read_pooling(record: LayerRecord) -> Pooling:
    """Read a pooling over windows; masked steps count."""
    kind = WINDOWS[record.class_name]
    with record.settings() as config:
        pool_size = take_sizes(config, "pool_size", kind.dimensions)
        strides = take_sizes(config, "strides", kind.dimensions)
        padding = config.choose("padding", ("valid", "same"), default="valid")
        config.require(data_format="channels_last")
    return kind(pool_size=pool_size, strides=strides, padding=padding)


@reads(GLOBAL)
def read_global_pooling(record: LayerRecord) -> GlobalPooling:
    """Read a pooling over everything between batch and features."""
    with record.settings() as config:
        keepdims = config.take("keepdims", bool, default=False)
        config.require(data_format="channels_last")
    return GLOBAL[record.class_name](keepdims=keepdims)


@writes(*MAXIMA.values(), *MEANS.values())
def write_pooling(op: Pooling) -> WrittenLayer:
    """Write a pooling over windows.

    Raises:
        UnsupportedError: its padding is in numbers, for which `biport.rewrite.explicit_padding` has ops of
            their own.
    """
    if not isinstance(op.padding, str):
        raise UnsupportedError(op.kind, "padding", op.padding, "valid or same")
    config = {
        "pool_size": written_sizes(op.pool_size),
        "strides": written_sizes(op.strides),
        "padding": op.padding,
        "data_format": "channels_last",
    }
    return WrittenLayer(op.kind, config)


@writes(*GLOBAL_MAXIMA.values(), *GLOBAL_MEANS.values())
def write_global_pooling(op: GlobalPooling) -> WrittenLayer:
    """Write a pooling over everything."""
    return WrittenLayer(op.kind, {"keepdims": op.keepdims, "data_format": "channels_last"})
