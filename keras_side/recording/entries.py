"""What was called, as an entry of a configuration: an operation, or a layer."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from keras_side.reading.live_model import LiveVariables
from keras_side.recording.custom import has_custom
from keras_side.recording.recorder import Recorder, serialised_layer
from keras_side.recording.recurrence import described


def add_entry(
    recorder: Recorder, name: str, called: Any, arguments: Sequence[Any], options: Mapping[str, Any]
) -> tuple[str, int]:
    """The entry of a call, and which of the calls of it this is.

    Raises:
        UnsupportedError: what was called cannot be read.
    """
    keras = sys.modules["keras"]
    if not isinstance(called, keras.layers.Layer):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(called)["config"]))
        return recorder.operation(name, type(called).__name__, arguments, options, config), 0
    if not recorder.knows(called) and has_custom(called):
        owner = f"{recorder.owner}: layer {name!r}"
        recorder.described(name, called, *described(recorder, owner, called, _shape(arguments)))
    return recorder.layer(name, called, arguments, options)


def add_inherited(
    recorder: Recorder,
    name: str,
    layer: Any,
    kind: type,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
) -> tuple[str, int]:
    """The entry of a layer's call of what it inherits from a class of Keras' own; raises like `add_entry`."""
    if not recorder.knows(layer):
        owner = f"{recorder.owner}: layer {name!r}"
        data = serialised_layer(owner, layer, kind)
        recorder.described(name, layer, data, LiveVariables(layer, owner, recorder.instead))
    return recorder.call(recorder.name_of(layer), arguments, options)


def _shape(arguments: Sequence[Any]) -> list[int | None] | None:
    """That of the first argument, where it is known."""
    match arguments:
        case [{"config": {"shape": [*shape]}}, *_]:
            return shape
    return None
