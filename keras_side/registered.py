"""Functions that Keras 3 no longer has and layers it lacks, registered with it.

Models with them are saved and loaded: Keras looks what is registered up by its name with the package in
front, once `keras_side.require.register` has been called.
"""

from __future__ import annotations

from typing import Any

PACKAGE = "biport"


def hard_sigmoid_keras2(x: Any) -> Any:
    """A line of slope 1/5 through (0, 1/2), cut at 0 and 1: the ``hard_sigmoid`` of Keras 1 and 2."""
    import keras

    return keras.ops.clip(0.2 * x + 0.5, 0, 1)


FUNCTIONS = (hard_sigmoid_keras2,)
NAMES = {f"{PACKAGE}>{function.__name__}": function.__name__ for function in FUNCTIONS}
"""The name in a configuration to that of `biport.ops.ACTIVATIONS`."""

LAYERS = {f"{PACKAGE}>LearnedAverage": "LearnedAverage"}
"""The registered name in a configuration to that of the class in `keras_side.layers`."""
