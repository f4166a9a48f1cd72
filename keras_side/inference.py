"""A Keras model called at inference."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_side.recording.calling import packed

if TYPE_CHECKING:
    import keras


def call(model: keras.Model, tensors: Sequence[Any]) -> list[Any]:
    """The outputs of a Keras model as tensors, in inference mode, on the CPU; a tensor for each input."""
    import keras

    # On a GPU, cuDNN refuses all masks but right padding, and TF32 changes results by about 1e-3.
    with warnings.catch_warnings(), keras.device("cpu:0"):
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        # A softmax over one step is 1, as it should be.
        warnings.filterwarnings("ignore", message=".*using a softmax over axis.*")
        # A model may take and give mappings; the graph has their values in the order of the keys.
        outputs = keras.tree.flatten(model(*packed(model, tensors), training=False))
        return [output for output in outputs if output is not None]
