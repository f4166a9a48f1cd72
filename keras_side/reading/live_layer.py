"""A single layer of a live Keras model, whatever else the model holds."""

from __future__ import annotations

import json
import sys
from typing import Any

from biport.errors import BiportError
from biport.ops import Bidirectional, Op, Recurrent
from keras_side.reading.live_model import LiveVariables, check_live
from keras_side.records import LayerRecord, serialized
from keras_side.registry import READERS


def recurrent_op(layer: Any) -> Op | None:
    """The op of a built recurrent layer, or ``None`` where it is none that biport knows.

    What it computes has to be exactly what the layer does at inference: a subclass, a function of somebody's
    own for an activation, a stateful layer and whatever `keras_side.read` refuses give ``None``.
    """
    keras = sys.modules["keras"]
    owner = f"layer {layer.name!r} ({type(layer).__name__})"
    try:
        for part in (layer, *layer._flatten_layers(include_self=False)):
            if not type(part).__module__.startswith("keras.src."):
                return None
            check_live(f"{owner}: {part.name}", part)
        data = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
        class_name, config = serialized(owner, data)
        if class_name not in READERS:
            return None
        record = LayerRecord(class_name, layer.name, config, LiveVariables(layer, owner), owner)
        op = READERS.lookup(class_name, owner).read(record)
    except (BiportError, NotImplementedError, TypeError, ValueError):
        return None
    return op if isinstance(op, Recurrent | Bidirectional) else None
