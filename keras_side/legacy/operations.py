"""Operations of TensorFlow as nodes of a model, as the operations of Keras 3 that do the same.

``tf.keras`` records a call of TensorFlow as a layer: since 2.4 a ``TFOpLambda`` with the name of a function
(keras/layers/core/tf_op_layer.py of 2.15), before as a ``TensorFlowOpLayer`` with the operation as a message
(tensorflow/python/keras/engine/base_layer.py of TensorFlow 2.1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from biport.errors import UnsupportedError
from keras_side.records import MODELS

CLASSES = ("TFOpLambda", "TensorFlowOpLayer")

UNTRAINABLE = (*MODELS, "InputLayer", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
"""Layers that do not say whether they are trainable, as all others do (keras/src/layers of 3.15)."""

FUNCTIONS = {
    "__operators__.add": "Add",
    "__operators__.ne": "NotEqual",
    "__operators__.mul": "Multiply",
    "__operators__.sub": "Subtract",
    "add": "Add",
    "concat": "Concatenate",
    "logical_and": "LogicalAnd",
    "logical_or": "LogicalOr",
    "math.add": "Add",
    "math.logical_and": "LogicalAnd",
    "math.logical_or": "LogicalOr",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.multiply": "Multiply",
    "math.not_equal": "NotEqual",
    "math.sigmoid": "Sigmoid",
    "math.reduce_any": "Any",
    "math.subtract": "Subtract",
    "math.tanh": "Tanh",
    "multiply": "Multiply",
    "nn.relu": "Relu",
    "nn.sigmoid": "Sigmoid",
    "nn.softmax": "Softmax",
    "nn.tanh": "Tanh",
    "not_equal": "NotEqual",
    "reduce_any": "Any",
    "subtract": "Subtract",
    "tanh": "Tanh",
}
"""By the name of the function."""

MESSAGES = {
    "AddV2": "Add",
    "LogicalAnd": "LogicalAnd",
    "LogicalOr": "LogicalOr",
    "Maximum": "Maximum",
    "Minimum": "Minimum",
    "Mul": "Multiply",
    "NotEqual": "NotEqual",
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Softmax": "Softmax",
    "Sub": "Subtract",
    "Tanh": "Tanh",
}
"""By the operation of the message."""


def is_operation(class_name: str, config: Mapping[str, Any]) -> bool:
    """Whether an entry of a functional model in an HDF5 file of Keras 3, which names no module, is no layer.

    Many a layer and an operation have one name: ``Reshape``, ``Softmax``, ``Add``.
    """
    return "trainable" not in config and class_name not in UNTRAINABLE


def modern_operation(
    owner: str, class_name: str, config: Mapping[str, Any], nodes: list[dict[str, Any]]
) -> tuple[str, list[dict[str, Any]]]:
    """The operation of Keras 3 and its calls.

    Raises:
        UnsupportedError: it is none that biport knows.
    """
    if class_name == "TFOpLambda":
        function = config.get("function")
        name = FUNCTIONS.get(function) if isinstance(function, str) else None
        supported = FUNCTIONS
    else:
        function, name = _message(config)
        supported = MESSAGES
    if name is None:
        raise UnsupportedError(owner, "function", function, sorted(supported))
    return name, [_call(name, node, config) for node in nodes]


def _message(config: Mapping[str, Any]) -> tuple[object, str | None]:
    """The operation of a ``TensorFlowOpLayer``, whose message is JSON in text."""
    text = config.get("node_def")
    try:
        message = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        message = None
    operation = message.get("op") if isinstance(message, dict) else None
    return operation, MESSAGES.get(operation) if isinstance(operation, str) else None


def _call(name: str, node: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A call with its arguments in place; a name for the operation says nothing."""
    arguments = {key: value for key, value in node["kwargs"].items() if key != "name"}
    (first,) = node["args"]
    if name == "Concatenate":
        return {"args": [first], "kwargs": arguments}
    inputs = list(first) if isinstance(first, list) else [first]
    if "y" in arguments:
        inputs.append(arguments.pop("y"))
    constants = config.get("constants")
    for position, constant in sorted(constants.items() if isinstance(constants, Mapping) else ()):
        inputs.insert(int(position), constant)
    return {"args": inputs, "kwargs": arguments}
