"""Keras' activations in a layer's configuration, by the names of `biport.ops.ACTIVATIONS`.

Keras writes one as a name, as ``{"class_name": "function", ...}``, or, where a layer was given in place of a
function, as that layer. Those of `keras_side.registered` it writes under their registered names.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biport.compare.tolerance import L1_ALLOWED
from biport.config import Config
from biport.graph import Graph
from biport.ops import ACTIVATIONS
from biport.ops.activation import OVER_FEATURES
from keras_side import registered
from keras_side.policies import dtype_name
from keras_side.records import LayerRecord, serialized

ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}
"""keras/src/activations/__init__.py, ``ALL_OBJECTS_DICT``."""

LAYERS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "ELU": [({"alpha": 1.0}, "elu")],
    "LeakyReLU": [({"negative_slope": 0.2}, "leaky_relu")],
    "ReLU": [
        ({"max_value": None, "negative_slope": 0.0, "threshold": 0.0}, "relu"),
        ({"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}, "relu6"),
    ],
    "Softmax": [({"axis": -1}, "softmax")],
}
"""Layers that compute what an activation does, with the settings that make it so."""


FOLLOWED = re.compile(r"Activation|Dense|(Depthwise|Separable)?Conv(olution)?[123]D(Transpose)?")
"""Layers that end in their activation."""

ROUNDED = ("max_value", "negative_slope", "threshold")
"""Settings of layers that TensorFlow rounds to float32 too; an alpha it does not."""

INEXACT = ("gelu", "leaky_relu")
"""TensorFlow rounds √2 and the slope to float32, whatever the dtype: 5e-9 and 1.5e-8 (TensorFlow 2.21)."""

RESAMPLED = ("bilinear",)
"""Ways of up-sampling that TensorFlow computes in float32, whatever the dtype (``tf.image.resize``)."""


def float64_allowed(graph: Graph) -> float:
    """How far a right Keras model may be from the oracle in float64: 1e-12, 1e-6 behind what it rounds."""
    return 1e-6 if any(_inexact(node.op.settings()) for node in graph.nodes) else L1_ALLOWED


def _inexact(settings: Mapping[str, Any]) -> bool:
    """Whether a layer, or one inside it, has an activation that TensorFlow rounds."""
    values = [part for value in settings.values() for part in (value if isinstance(value, list) else [value])]
    inner = [value for value in values if isinstance(value, Mapping)]
    named = any(isinstance(value, str) and value in (*INEXACT, *RESAMPLED) for value in values)
    numbers = [settings.get(name) or 0.0 for name in ROUNDED]
    if "num_heads" in settings:
        # The products of a head are divided by this.
        numbers.append(1 / math.sqrt(settings["key_size"]))
    rounded = any(float(np.float32(number)) != number for number in numbers)
    return named or rounded or any(_inexact(part) for part in inner)


def read_activation(config: Config, key: str = "activation", default: str = "linear") -> str:
    """The activation under ``key``, by its Keras name; any other is refused, such as the user's own."""
    value = config.take(key, default=default)
    name = _name(value)
    if name not in ACTIVATIONS:
        config.refuse(key, _own_name(value), [repr(choice) for choice in ACTIVATIONS])
        return default
    return name


def _own_name(value: Any) -> Any:
    """What a function of somebody's own is called; whatever else stands there as it is."""
    match value:
        case {"class_name": "function", "config": str(name)}:
            registered_name = str(value.get("registered_name"))
            return registered_name if ">" in registered_name else name
    return value


def split_activation(record: LayerRecord) -> tuple[LayerRecord, LayerRecord] | None:
    """A layer whose activation is another layer, as both: the first one linear.

    ``None`` where the activation is one of `biport.ops.ACTIVATIONS`, or of a layer that steps with it or
    has weights of its own.
    """
    data = record.config.get("activation")
    if record.config.get("data_format") == "channels_first" and _name(data) in OVER_FEATURES:
        # Over the last axis, which there has the steps.
        owner = f"{record.owner}: activation"
        config = {"activation": data, **_activity(record)}
        return _linear(record), LayerRecord("Activation", "activation", config, record.variables, owner)
    followed = FOLLOWED.fullmatch(record.class_name)
    if not followed or not isinstance(data, Mapping) or _name(data) in ACTIVATIONS:
        return None
    if data.get("class_name") not in LAYERS or data.get("module") != "keras.layers":
        return None
    class_name, config = serialized(record.owner, data)
    linear = _linear(record)
    owner = f"{record.owner}: activation ({class_name})"
    return linear, LayerRecord(
        class_name, "activation", {**config, **_activity(record)}, record.variables, owner
    )


def _linear(record: LayerRecord) -> LayerRecord:
    config = {**record.config, "activation": None, "activity_regularizer": None}
    return dataclasses.replace(record, config=config)


def _activity(record: LayerRecord) -> dict[str, Any]:
    """What regularises the outputs of a layer, which are those of its activation."""
    value = record.config.get("activity_regularizer")
    return {} if value is None else {"activity_regularizer": value}


def write_activation(name: str) -> str | dict[str, Any]:
    """The activation called ``name`` as Keras writes it in a configuration."""
    full = next((full for full, known in registered.NAMES.items() if known == name), None)
    if full is None:
        return name
    return {"module": "builtins", "class_name": "function", "config": full, "registered_name": "function"}


STOCK: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = {
    "hard_sigmoid_keras2": (
        ("Rescaling", {"scale": 0.2, "offset": 0.5}),
        ("ReLU", {"max_value": 1.0, "negative_slope": 0.0, "threshold": 0.0}),
    ),
}
"""What is registered, as layers of Keras one behind the other, which give the same float32 bit for bit."""


def stock_activation(value: Any) -> Any:
    """A serialised activation of float32, the registered ones as a Sequential model of Keras' own layers.

    Any Keras loads that. It is a model of float32, whatever is around it (keras/src/models/sequential.py of
    3.15 takes no dtype): in float64 it would be another function.
    """
    name = _name(value) if isinstance(value, Mapping) else None
    if name is None or name not in STOCK:
        return value
    layers = [
        {
            "module": "keras.layers",
            "class_name": class_name,
            "config": {"name": f"{name}_{class_name.lower()}", "dtype": "float32", **settings},
            "registered_name": None,
        }
        for class_name, settings in STOCK[name]
    ]
    config = {"name": name, "layers": layers}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}


def _of_layers(entries: Sequence[Any]) -> str | None:
    """Which of the registered activations some layers one behind the other are."""
    parts = []
    for entry in entries:
        match entry:
            case {"class_name": "InputLayer"}:
                # Of the size of the first batch; Keras takes any other just as well.
                continue
            case {"class_name": str(name), "module": "keras.layers", "config": Mapping() as settings}:
                if dtype_name(settings.get("dtype")) not in (None, "float32"):
                    return None
                parts.append((name, _said(settings)))
            case _:
                return None
    return next((name for name, layers in STOCK.items() if list(layers) == parts), None)


def _said(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("name", "trainable", "dtype")}


def _name(value: object) -> str | None:
    """The name of a serialised activation; ``None`` where there is none."""
    match value:
        case None:
            return "linear"
        case str():
            return _own(value)
        case {"class_name": "function", "config": str(name)} if name in registered.NAMES:
            return registered.NAMES[name]
        case {"class_name": "function", "module": str(module), "config": str(name)}:
            known = module in ("builtins", "keras.activations") or module.startswith("keras.src.activations")
            return _own(name) if known else None
        case {"class_name": str(name), "module": "keras.layers", "config": Mapping() as settings}:
            return _name(settings.get("activation")) if name == "Activation" else _of_layer(name, settings)
        case {"class_name": "Sequential", "module": "keras", "config": {"layers": list(entries)}}:
            return _of_layers(entries)
    return None


def _own(name: str) -> str | None:
    """An activation of Keras itself; a function of the user's may be called what a registered one is."""
    return None if name in registered.NAMES.values() else ALIASES.get(name, name)


def _of_layer(class_name: str, settings: Mapping[str, Any]) -> str | None:
    return next((name for wanted, name in LAYERS.get(class_name, []) if _said(settings) == wanted), None)
