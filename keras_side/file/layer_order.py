"""The layers of a serialised model in the order in which Keras pairs them with weights.

A weights file knows layers by their number alone. Keras counts them as its rebuilt model lists them: by their
depth above the outputs, and among equals as a search from the outputs meets them; in which order the
configuration lists them says nothing (keras/src/ops/function.py of 3.15, ``map_graph``, which
keras/src/models/functional.py lists its layers by; keras/engine/functional.py of 2.15,
``_map_graph_network``). Keras writes them in that very order, so only a file that something else has
rearranged changes here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biport.errors import BiportError
from keras_side.legacy.nodes import calls, count_containers
from keras_side.legacy.weights import layer_name
from keras_side.reading.call_order import Key, layer_order
from keras_side.reading.config_entries import histories, read_calls
from keras_side.records import MODELS, check_parts
from keras_side.release import Release

Entry = Mapping[str, Any]


def in_keras_order(data: Entry, origin: Release, owner: str) -> Entry:
    """The same model, in the words of its Keras, its layers and those of the models inside it in order.

    Raises:
        FileError: ``owner``, the file, has a model of too many inputs or outputs.
    """
    config = data.get("config")
    if not isinstance(config, Mapping):
        return data
    settings = dict(config)
    layers = settings.get("layers")
    if data.get("class_name") in MODELS and isinstance(layers, list):
        check_parts(owner, count_containers([settings.get("input_layers"), settings.get("output_layers")]))
        inner = [
            in_keras_order(layer, origin, owner) if isinstance(layer, Mapping) else layer for layer in layers
        ]
        settings["layers"] = inner if data["class_name"] == "Sequential" else _sorted(settings, inner, origin)
    inside = settings.get("layer")
    if data.get("class_name") == "TimeDistributed" and isinstance(inside, Mapping):
        settings["layer"] = in_keras_order(inside, origin, owner)
    return dict(data) | {"config": settings}


def _sorted(config: Entry, layers: list, origin: Release) -> list:
    """The layers of a functional model; as they are where they describe none."""
    entries = {layer_name(layer): layer for layer in layers if isinstance(layer, Mapping)}
    try:
        parents, outputs = (_calls_3 if origin.generation == 3 else _calls_1_2)(config, entries)
    except (BiportError, AttributeError, LookupError, TypeError, ValueError):
        return layers
    read = {call for above in parents.values() for call in above} | set(outputs)
    if len(entries) != len(layers) or not read <= parents.keys():
        return layers
    return [entries[name] for name in layer_order(parents, outputs)]


Calls = tuple[dict[Key, Sequence[Key]], list[Key]]
"""For each call those it reads, and those that give the outputs."""


def _calls_3(config: Entry, entries: Mapping[str, Entry]) -> Calls:
    parents: dict[Key, Sequence[Key]] = {
        (name, index): read_calls((node["args"], node["kwargs"]))
        for name, entry in entries.items()
        for index, node in _nodes(entry)
    }
    outputs = [
        # There alone the call that built a model inside counts; see `config_entries.own_call`.
        (name, call - (entries[name]["class_name"] in ("Functional", "Model")))
        for name, call, _ in histories("", config["output_layers"])
    ]
    return _with_inputs(parents, entries), outputs


def _calls_1_2(config: Entry, entries: Mapping[str, Entry]) -> Calls:
    known = calls("", list(entries.values()), config["output_layers"])
    parents: dict[Key, Sequence[Key]] = {}
    for name, entry in entries.items():
        for index, node in _nodes(entry):
            modern = known.node(entry["class_name"], entry["config"], node)
            parents[name, index] = read_calls((modern["args"], modern["kwargs"]))
    outputs = [
        (name, call - known.first.get(name, 0)) for name, call, _ in histories("", config["output_layers"])
    ]
    return _with_inputs(parents, entries), outputs


def _nodes(entry: Entry) -> Sequence[tuple[int, Any]]:
    return list(enumerate(entry.get("inbound_nodes") or ()))


def _with_inputs(parents: dict[Key, Sequence[Key]], entries: Mapping[str, Entry]) -> dict[Key, Sequence[Key]]:
    inputs = [name for name, entry in entries.items() if entry.get("class_name") == "InputLayer"]
    return {(name, 0): () for name in inputs} | parents
