"""A single layer of a live Keras model, whatever else the model holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from biport.errors import BiportError, UnsupportedError
from biport.ops import Bidirectional, Op, Recurrent
from keras_side.reading.config_entries import built_shape
from keras_side.reading.live_model import LiveVariables, check_live, plain_data
from keras_side.records import LayerRecord, serialized
from keras_side.registry import READERS
from keras_side.unsupported import unsupported_class

OWN = ("keras.src.", "keras_side.layers")
"""Modules whose layers compute what their configurations say."""


def recurrent_op(layer: Any) -> Op | None:
    """The op of a built recurrent layer, or ``None`` where it is none that biport knows.

    What it computes has to be exactly what the layer does at inference: a subclass, a function of somebody's
    own for an activation, a stateful layer and whatever `keras_side.read` refuses give ``None``.
    """
    try:
        op = layer_op(layer)
    except BiportError:
        return None
    return op if isinstance(op, Recurrent | Bidirectional) else None


def layer_op(layer: Any, instead: Mapping[int, np.ndarray] | None = None) -> Op:
    """The op of a built layer, whatever its place in a model.

    Args:
        layer: the layer.
        instead: see `keras_side.read.read_live`.

    Raises:
        UnsupportedError: it is a subclass, has functions of somebody's own, or is none that biport reads.
        WeightError: its weights are not what the layer should have.
    """
    owner = f"layer {layer.name!r} ({type(layer).__name__})"
    for part in (layer, *layer._flatten_layers(include_self=False)):
        if not type(part).__module__.startswith(OWN):
            raise UnsupportedError(owner, "class", type(part).__name__, "the layers of Keras itself")
        check_live(f"{owner}: {part.name}", part)
    data = plain_data(owner, layer)
    class_name, config = serialized(owner, data)
    if class_name not in READERS:
        raise unsupported_class(owner, class_name, config)
    variables = LiveVariables(layer, owner, instead or {})
    record = LayerRecord(class_name, layer.name, config, variables, owner, built_shape(data))
    return READERS.lookup(class_name, owner).read(record)
