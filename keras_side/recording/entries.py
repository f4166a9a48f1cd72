"""What was called, as an entry of a configuration: an operation, a layer, or a wrapper of custom layers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from keras_side.reading.live_model import LiveVariables
from keras_side.recording.custom import is_plain, keras_class
from keras_side.recording.recorder import Recorder, serialised_layer


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
    if not recorder.knows(called) and type(called) is not keras_class(called) and is_plain(called):
        owner = f"{recorder.owner}: layer {name!r}"
        data = serialised_layer(owner, called, keras_class(called))
        recorder.described(name, called, data, LiveVariables(called, owner, recorder.instead))
    return recorder.layer(name, called, arguments, options)
