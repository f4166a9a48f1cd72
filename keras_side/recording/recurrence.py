"""Wrappers that call custom code once a step: recurrent layers around custom cells, and TimeDistributed.

They stay whole. What is inside is recorded by itself, over the rows of one step, and stands in the
configuration where Keras has the layer or the cell: as a functional model, that of a cell as the body of a
``BodyCell`` (`keras_side.layers`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport.errors import UnsupportedError
from keras_side.reading.live_model import LiveVariables
from keras_side.recording.custom import is_custom, is_foreign, keras_class
from keras_side.recording.recorder import RecordedVariables, Recorder, serialised_layer
from keras_side.records import Variables
from keras_side.registered import PACKAGE

Described = tuple[dict[str, Any], Variables]
"""The configuration of a layer, and where its weights are."""
SCANS = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask")
"""Settings of recurrent layers that are no business of their cells."""
STATES: Mapping[int, Sequence[str]] = {1: ("h",), 2: ("h", "c")}
"""What one state is called, and two."""


@dataclass(frozen=True)
class Inside(RecordedVariables):
    """The weights of a layer that has others inside, by the attributes that these are."""

    def child(self, attribute: str) -> Variables:
        """Those of an attribute."""
        return self.of[attribute]


def described(
    recorder: Recorder, owner: str, layer: Any, shape: Sequence[int | None] | None = None
) -> Described:
    """A layer that stays whole as a configuration has it, and where its weights are.

    Args:
        recorder: of the model that it is in.
        owner: how errors call it.
        layer: live.
        shape: what it is called with, where that is known.

    Raises:
        UnsupportedError: what is inside cannot be recorded, or is no step of a recurrence.
    """
    inside = layer._flatten_layers(include_self=False)
    if not any(is_custom(one) or is_foreign(one) for one in inside):
        kind = keras_class(layer) if is_foreign(layer) else None
        return serialised_layer(owner, layer, kind), LiveVariables(layer, owner, recorder.instead)
    match keras_class(layer).__name__:
        case "TimeDistributed":
            return _time_distributed(recorder, owner, layer, shape or _built_shape(layer))
        case "Bidirectional":
            return _bidirectional(recorder, owner, layer)
    return _recurrent(recorder, owner, layer)


def _bidirectional(recorder: Recorder, owner: str, layer: Any) -> Described:
    names = ("forward_layer", "backward_layer")
    parts = {name: described(recorder, f"{owner}: {name}", getattr(layer, name)) for name in names}
    forward, backward = (data for data, _ in parts.values())
    config = {**_config(layer), "merge_mode": layer.merge_mode, "layer": forward, "backward_layer": backward}
    return _layer("Bidirectional", config), Inside(owner, {name: own for name, (_, own) in parts.items()})


def _recurrent(recorder: Recorder, owner: str, layer: Any) -> Described:
    cell = layer.cell
    _check_initial_state(owner, cell)
    body, variables, count = _body(recorder.inside(f"{owner}: cell"), cell)
    config = {**_config(layer), **{name: bool(getattr(layer, name)) for name in SCANS}}
    config["cell"] = {
        "module": "keras.layers",
        "class_name": "BodyCell",
        "config": {"name": cell.name, "body": body, "state_count": count},
        "registered_name": f"{PACKAGE}>BodyCell",
    }
    return _layer("RNN", config), Inside(owner, {"cell": Inside(owner, {"body": variables})})


def _body(recorder: Recorder, cell: Any) -> tuple[dict[str, Any], Variables, int]:
    """One step of a cell as a functional model, its weights, and how many states it has."""
    keras = sys.modules["keras"]
    sizes = keras.tree.flatten(cell.state_size)
    if not all(isinstance(size, int) for size in sizes):
        raise UnsupportedError(recorder.owner, "state_size", cell.state_size, "states (N, size)")
    names = iter(STATES.get(len(sizes), [f"state_{number}" for number in range(1, 1 + len(sizes))]))
    dtype = cell.compute_dtype
    x = recorder.symbolic_input("x", (None, _input_size(recorder.owner, cell)), dtype)
    states = keras.tree.map_structure(
        lambda size: recorder.symbolic_input(next(names), (None, size), dtype),
        [cell.state_size] if isinstance(cell.state_size, int) else list(cell.state_size),
    )
    outputs = recorder.record(cell, recorder, [x, states])
    if len(outputs) != 1 + len(sizes):
        supported = f"the output and {len(sizes)} states"
        raise UnsupportedError(recorder.owner, "call", f"{len(outputs)} tensors", supported)
    return recorder.model(outputs), recorder.variables, len(sizes)


def _time_distributed(
    recorder: Recorder, owner: str, layer: Any, shape: Sequence[int | None] | None
) -> Described:
    if shape is None or len(shape) < 3:
        raise UnsupportedError(owner, "input", shape, "three or more dimensions")
    inner = recorder.inside(f"{owner}: layer")
    rows = inner.symbolic_input("rows", (None, *shape[2:]), layer.layer.compute_dtype)
    config = {**_config(layer), "layer": inner.model(inner.record(layer.layer, inner, [rows]))}
    return _layer("TimeDistributed", config), Inside(owner, {"layer": inner.variables})


def _config(layer: Any) -> dict[str, Any]:
    return {"name": layer.name, "trainable": layer.trainable, "dtype": layer.dtype_policy.name}


def _layer(class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


def _built_shape(layer: Any) -> Sequence[int | None] | None:
    shapes = getattr(layer, "_build_shapes_dict", None) or {}
    first = next(iter(shapes.values()), None)
    return first if first is None or isinstance(first[0], int | None) else first[0]


def _input_size(owner: str, cell: Any) -> int:
    """I of a cell, from the shape that it was built for."""
    shape = _built_shape(cell)
    if shape is None or not isinstance(shape[-1], int):
        supported = "a cell that Keras has built for its input, (N, I)"
        raise UnsupportedError(owner, "input", shape, supported)
    return shape[-1]


def _check_initial_state(owner: str, cell: Any) -> None:
    """Refuse a cell that begins with other states than zeros.

    Raises:
        UnsupportedError: it does.
    """
    keras = sys.modules["keras"]
    if not hasattr(cell, "get_initial_state"):
        return
    states = keras.tree.flatten(cell.get_initial_state(batch_size=2))
    if any(np.any(keras.ops.convert_to_numpy(state)) for state in states):
        supported = "cells that begin with zeros; others given to the layer as its initial_state"
        raise UnsupportedError(owner, "get_initial_state", "other numbers than 0", supported)
