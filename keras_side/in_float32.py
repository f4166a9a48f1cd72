"""A Keras model of half precision as the same model of float32."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.errors import UnsupportedError
from keras_side.policies import COARSE, with_float32

if TYPE_CHECKING:
    import keras


def in_float32(model: keras.Model) -> keras.Model:
    """The model built again with float32 in place of half precision, with the very numbers of its weights.

    What the two differ by is what half precision costs the model.

    Args:
        model: a live Sequential or functional model with dtype policies of half precision, such as
            ``mixed_float16``.

    Raises:
        UnsupportedError: Keras cannot build it again from its configuration.
    """
    import keras

    own: dict[str, Any] = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    try:
        data = with_float32(json.loads(model.to_json()))
        twin = keras.saving.deserialize_keras_object(data, custom_objects=own)
        twin.set_weights([_as_float32(keras.ops.convert_to_numpy(variable)) for variable in model.weights])
    except Exception as error:  # Layers of the user's own fail in any way.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        supported = "a model that Keras builds again from its configuration"
        raise UnsupportedError(f"model {model.name!r}", "float32", reason, supported) from error
    return twin


def _as_float32(numbers: Any) -> np.ndarray:
    array = np.asarray(numbers)
    return array.astype("float32") if array.dtype.name in COARSE else array
