"""Layers that Keras lacks, registered with it so that models with them are saved and loaded.

Importing this imports keras; `keras_side.require` does it when a model is written or a file is loaded.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import keras

from keras_side.registered import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class LearnedAverage(keras.layers.Layer):
    """``w a + (1 - w) b`` of two inputs of one shape, ``(N, T, H)`` or ``(N, H)``, with ``w = σ(weight)``.

    Where both inputs have masks, a step is valid where either says so, as in Keras' own merges.

    Args:
        per_unit: whether each of the H units has a share of its own.
        options: of every layer, such as ``name`` and ``dtype``.
    """

    def __init__(self, per_unit: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.per_unit = per_unit
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the weight, of zeros: at first both inputs count alike."""
        shape = (input_shape[0][-1],) if self.per_unit else ()
        self.weight = self.add_weight(name="weight", shape=shape, initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """A list of two tensors to one."""
        one, two = inputs
        share: Any = keras.ops.sigmoid(self.weight)
        return share * one + (1 - share) * two

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """``(N, T)``, or ``None`` where an input has no mask."""
        if previous_mask is None or any(mask is None for mask in previous_mask):
            return None
        return reduce(keras.ops.logical_or, previous_mask)

    def get_config(self) -> dict[str, Any]:
        """The settings."""
        return {**super().get_config(), "per_unit": self.per_unit}
