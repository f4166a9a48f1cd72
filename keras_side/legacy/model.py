"""A whole model of Keras 1 or 2, or of an HDF5 file of Keras 3, as Keras 3 would write it into ``.keras``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biport.errors import FileError, UnsupportedError
from keras_side.legacy import messages, operations
from keras_side.legacy.nodes import calls, count_containers, history
from keras_side.legacy.settings import Settings, layer_settings, order_of_axes
from keras_side.records import MODELS, check_parts
from keras_side.registered import LAYERS
from keras_side.release import Release

OWN_MODULES = ("keras", "tf_keras", "tensorflow", "tensorflow_core")
OPERATIONS = {
    "SlicingOpLambda": operations.modern_function,
    "TFOpLambda": operations.modern_function,
    "TensorFlowOpLayer": messages.modern_message,
}
"""Layers that stand for operations of TensorFlow."""

MERGES_1 = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
"""``mode`` of the ``Merge`` of Keras 1 (keras/legacy/layers.py of 2.2.4)."""


def named(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same model with a name for every layer.

    Before 2.2.3 a Sequential model is the list of its layers, and one inside another has no name.
    """
    config = data.get("config")
    layers = config.get("layers") if isinstance(config, Mapping) else config
    if not isinstance(layers, list):
        return data
    settings = dict(config) if isinstance(config, Mapping) else {}
    with_names = [_named(layer, number) for number, layer in enumerate(layers)]
    return dict(data) | {"config": settings | {"layers": with_names}}


def _named(layer: object, number: int) -> object:
    if isinstance(layer, Mapping) and layer.get("class_name") == "TimeDistributed":
        config = layer.get("config")
        if isinstance(config, Mapping):
            return dict(layer) | {"config": dict(config) | {"layer": _named(config.get("layer"), number)}}
    if not isinstance(layer, Mapping) or layer.get("class_name") not in MODELS:
        return layer
    inner = named(layer)
    config = inner.get("config")
    if not isinstance(config, Mapping):
        return layer
    name = config.get("name") or layer.get("name") or f"{str(layer['class_name']).lower()}_{number}"
    return dict(inner) | {"config": dict(config) | {"name": name}}


def modernised(data: Mapping[str, Any], origin: Release, owner: str) -> dict[str, Any]:
    """The configuration of a model in the words of Keras 3.

    Args:
        data: ``{"class_name": ..., "config": ...}``.
        origin: the Keras that wrote it.
        owner: the model, for errors.

    Raises:
        FileError: it is not written the way Keras writes one.
    """
    order = order_of_axes(data) if origin.generation == 1 else None
    return _Modern(origin, owner, order).layer(data)


class _Modern:
    """The traversal of one model and the models inside it."""

    def __init__(self, origin: Release, owner: str, order: str | None) -> None:
        self.origin = origin
        self.owner = owner
        self.order = order
        """Of the axes, which Keras 1 does not say of every layer."""
        self._parts = 0
        self._trained = True
        """Whether the layers around the one that is read are trained."""

    def layer(self, data: object) -> dict[str, Any]:
        """A layer or a model, without its calls."""
        if not isinstance(data, Mapping) or not isinstance(data.get("class_name"), str):
            raise FileError(f"{self.owner}: expected a serialised layer, found {str(data)[:80]!r}")
        self._count(1)
        class_name, config = data["class_name"], data.get("config")
        around = self._trained
        if self.origin.generation < 3 and isinstance(config, Mapping):
            # Up to Keras 2 a layer inside another is trained only where both are.
            self._trained = around and config.get("trainable") is not False
            config = {**config, "trainable": False} if not around else config
        try:
            return self._layer(data, class_name, config)
        finally:
            self._trained = around

    def _layer(self, data: Mapping[str, Any], class_name: str, config: Any) -> dict[str, Any]:
        if class_name in MODELS:
            modern, settings = self._model(class_name, config)
        elif not isinstance(config, Mapping):
            raise FileError(f"{self.owner}: {class_name} has no configuration")
        elif self.origin.generation < 3:
            modern, settings = layer_settings(class_name, config, self.origin, self.order)
        else:
            modern, settings = class_name, dict(config)
        settings = self._inner(modern, settings)
        module = str(data.get("module") or "keras.layers")
        own = module.split(".")[0] in OWN_MODULES
        # HDF5 has the registered name of a layer in place of its class.
        registered_name = class_name if class_name in LAYERS else data.get("registered_name")
        somebodys = ">" in str(registered_name)
        return {
            "class_name": LAYERS.get(modern, modern),
            "config": settings,
            "module": "keras.layers" if own else module,
            "registered_name": registered_name if somebodys or not own else None,
            "stored_class": class_name,
        } | ({"name": data["name"]} if "name" in data else {})

    def _count(self, parts: int) -> None:
        self._parts += parts
        check_parts(self.owner, self._parts)

    def _inner(self, class_name: str, settings: Settings) -> Settings:
        """Settings with the layers inside a wrapper, or in place of an activation, in modern words too."""
        activation = settings.get("activation")
        if isinstance(activation, Mapping) and isinstance(activation.get("config"), Mapping):
            settings["activation"] = self.layer(activation)
        for key in ("layer", "backward_layer", "cell", "body"):
            if isinstance(settings.get(key), Mapping):
                settings[key] = self.layer(settings[key])
        if isinstance(settings.get("cells"), list):
            settings["cells"] = [self.layer(cell) for cell in settings["cells"]]
        if class_name == "Bidirectional" and self.origin.generation < 3:
            _take_directions(settings)
        return settings

    def _model(self, class_name: str, config: object) -> tuple[str, Settings]:
        settings = dict(config) if isinstance(config, Mapping) else {}
        entries = settings.get("layers")
        if not isinstance(entries, list):
            # A subclassed model; told by whoever reads the model.
            return class_name, settings
        if class_name == "Sequential":
            settings["layers"] = self._sequential(entries, settings.get("build_input_shape"))
            return class_name, settings
        if self.origin.generation == 3:
            settings["layers"] = [self._entry_3(entry) for entry in entries]
            return class_name, settings
        mappings = [entry if isinstance(entry, Mapping) else {} for entry in entries]
        known = calls(self.owner, mappings, settings.get("output_layers"))
        settings["layers"] = [self._entry(entry, known) for entry in entries]
        for key in ("input_layers", "output_layers"):
            if key in settings:
                settings[key] = history(self.owner, known, settings[key])
        return "Functional", settings

    def _sequential(self, entries: Sequence, build_shape: object) -> list[dict[str, Any]]:
        """The layers; the first one's ``batch_input_shape`` becomes an InputLayer, named as Keras would."""
        layers = [self.layer(entry) for entry in entries]
        if not entries or layers[0]["class_name"] == "InputLayer":
            return layers
        shape, dtype, name = _first_input(entries[0])
        shape = shape if isinstance(shape, list) else build_shape
        if not isinstance(shape, list):
            return layers
        config = {"batch_shape": shape, "dtype": dtype, "name": f"{name}_input"}
        return [{"class_name": "InputLayer", "module": "keras.layers", "config": config}, *layers]

    def _entry_3(self, entry: object) -> dict[str, Any]:
        """An entry of a functional model of Keras 3 in an HDF5 file, which names no modules."""
        modern = self.layer(entry)
        assert isinstance(entry, Mapping)
        if operations.is_operation(modern["class_name"], modern["config"]):
            modern["module"] = "keras.ops"
        return modern | {"inbound_nodes": entry.get("inbound_nodes", [])}

    def _entry(self, entry: object, known: Any) -> dict[str, Any]:
        """An entry of a functional model of Keras 1 or 2."""
        modern = self.layer(entry)
        assert isinstance(entry, Mapping)
        class_name, config = entry["class_name"], entry["config"]
        nodes = entry.get("inbound_nodes") or []
        if not isinstance(nodes, list):
            raise FileError(f"{self.owner}: inbound_nodes are not written the way Keras 2 writes them")
        self._count(count_containers(nodes))
        modern_nodes = [known.node(class_name, config, node) for node in nodes]
        modern["inbound_nodes"] = modern_nodes
        if class_name in OPERATIONS:
            owner = f"{self.owner}: layer {entry.get('name')!r} ({class_name})"
            try:
                name, settings, modern_nodes = OPERATIONS[class_name](owner, config, modern_nodes)
            except UnsupportedError:
                return modern
            settings["name"] = str(entry.get("name"))
            operation = {"class_name": name, "config": settings, "module": "keras.ops"}
            return modern | operation | {"inbound_nodes": modern_nodes}
        if class_name == "Merge":
            return modern | _merge(modern)
        return modern


def _first_input(entry: Mapping[str, Any]) -> tuple[object, str, str]:
    """Shape, dtype and layer name of the input of a Sequential model that has no InputLayer."""
    config = entry.get("config")
    settings = config if isinstance(config, Mapping) else {}
    if entry.get("class_name") in MODELS:
        layers = settings.get("layers")
        if isinstance(layers, list) and layers and isinstance(layers[0], Mapping):
            shape, dtype, _ = _first_input(layers[0])
            return shape, dtype, str(settings.get("name"))
        return None, "float32", str(settings.get("name"))
    dtype = settings.get("input_dtype") or settings.get("dtype")
    whole = dtype if isinstance(dtype, str) else "float32"
    return settings.get("batch_input_shape"), whole, str(settings.get("name"))


def _take_directions(settings: Settings) -> None:
    """Both directions of a Bidirectional, which Keras 1 and 2 describe once.

    They put zeros at masked steps of their sequences (``force_zero_output_for_mask`` in
    tensorflow/python/keras/layers/wrappers.py of TensorFlow 2.3); for the standalone Keras see
    `keras_side.legacy.directions`.
    """
    forward = settings.get("layer")
    if not isinstance(forward, Mapping) or not isinstance(forward.get("config"), Mapping):
        return
    if settings.get("backward_layer") is None:
        config = forward["config"]
        turned = {
            "name": f"backward_{config.get('name', '')}",
            "go_backwards": not config.get("go_backwards", False),
        }
        settings["backward_layer"] = dict(forward) | {"config": dict(config) | turned}
    for key in ("layer", "backward_layer"):
        layer = settings[key]
        if isinstance(layer, Mapping) and isinstance(layer.get("config"), Mapping):
            zero = {"zero_output_for_mask": bool(layer["config"].get("return_sequences"))}
            settings[key] = dict(layer) | {"config": dict(layer["config"]) | zero}


def _merge(modern: dict[str, Any]) -> dict[str, Any]:
    """The ``Merge`` of Keras 1 as the layer that does the same; other modes stay, to be refused."""
    config = modern["config"]
    mode = config.get("mode")
    if config.get("mode_type") != "raw" or mode not in MERGES_1:
        return {}
    settings = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    if mode == "concat":
        settings["axis"] = config.get("concat_axis", -1)
    return {"class_name": MERGES_1[mode], "config": settings}
