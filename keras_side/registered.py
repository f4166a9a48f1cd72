"""Functions that Keras 3 no longer has and layers it lacks, registered with it.

Models with them are saved and loaded: Keras looks what is registered up by its name with the package in
front, once `keras_side.require.register` has been called.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from biport.ops import EVERY_DTYPE

PACKAGE = "biport"


def hard_sigmoid_keras2(x: Any) -> Any:
    """A line of slope 1/5 through (0, 1/2), cut at 0 and 1: the ``hard_sigmoid`` of Keras 1 and 2."""
    import keras

    return keras.ops.clip(0.2 * x + 0.5, 0, 1)


FUNCTIONS = (hard_sigmoid_keras2,)
NAMES = {f"{PACKAGE}>{function.__name__}": function.__name__ for function in FUNCTIONS}
"""The name in a configuration to that of `biport.ops.ACTIVATIONS`."""

WEIGHTS: dict[str, tuple[str, ...]] = {
    "BodyCell": (),
    "LearnedAverage": ("weight",),
    "Parameter": ("value",),
    "Recurrence": (),
    "TensorOperation": (),
}
"""The weights of each class in `keras_side.layers`, in order."""

LAYERS = {f"{PACKAGE}>{name}": name for name in WEIGHTS}
"""The registered name in a configuration to that of the class in `keras_side.layers`."""


def encoded(array: np.ndarray) -> dict[str, Any]:
    """An array as a configuration holds it: its bytes, the lower ones first.

    Example:
        >>> encoded(np.array([1, -2], "int32"))
        {'dtype': 'int32', 'shape': [2], 'data': 'AQAAAP7///8='}
        >>> decoded(encoded(np.array([1, -2], "int32")))
        array([ 1, -2], dtype=int32)
    """
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(data).decode("ascii"),
    }


def decoded(data: Any) -> np.ndarray:
    """The array that is `encoded`.

    Raises:
        ValueError: it is none.
    """
    dtype, shape, text = data["dtype"], data["shape"], data["data"]
    if dtype not in EVERY_DTYPE or not isinstance(shape, list) or not all(type(dim) is int for dim in shape):
        raise ValueError(f"an array of dtype {dtype!r} and shape {shape!r}")
    stored = np.frombuffer(base64.b64decode(text, validate=True), np.dtype(dtype).newbyteorder("<"))
    return stored.reshape(shape).astype(dtype)
