"""Keras' ``RNN`` around a cell of somebody's own that a function says the ops of -> `ops.Scan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biport import ops
from biport.errors import UnsupportedError
from biport.extend import named_errors
from biport.graph import scan_over
from keras_side.mapped import ClassReader
from keras_side.records import LayerRecord, RecordedVariables, described


def read_mapped_cell(
    record: LayerRecord, data: Mapping[str, Any], reader: ClassReader, settings: Mapping[str, Any]
) -> ops.Scan:
    """An RNN around a cell, one step of which is a model of that cell alone.

    Raises:
        UnsupportedError: nobody says what states it has, or for which input it was built.
    """
    class_name, config = described(record.owner, data)
    owner = f"{record.owner}: cell ({class_name})"
    if reader.states is None:
        supported = "reads_class(..., states=lambda config: [config['units']]), which says their sizes"
        raise UnsupportedError(owner, "states", None, supported)
    if not record.input_shape or record.input_shape[-1] is None or record.reads_model is None:
        supported = "an RNN by itself in a model, whose input's last size is known"
        raise UnsupportedError(owner, "input", list(record.input_shape), supported)
    with named_errors(owner, reader.states):
        sizes = list(reader.states(config))
    name = str(config.get("name") or "cell")
    body = _body({**data, "config": {**config, "name": name}}, int(record.input_shape[-1]), sizes)
    variables = RecordedVariables(owner, {name: record.variables.child("cell")})
    graph = record.reads_model(body, variables, owner)
    return scan_over(graph, len(sizes), **settings)


def _body(cell: Mapping[str, Any], size: int, states: Sequence[int]) -> dict[str, Any]:
    """One step as the configuration of a functional model: a call of the cell."""
    inputs = {"x": size, **{f"state_{number}": one for number, one in enumerate(states, 1)}}
    layers: list[dict[str, Any]] = [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {"batch_shape": [None, one], "dtype": "float32", "name": own},
            "inbound_nodes": [],
        }
        for own, one in inputs.items()
    ]
    x, *given = (_history(own) for own in inputs)
    layers.append({**cell, "inbound_nodes": [{"args": [x, given], "kwargs": {}}]})
    outputs = [[cell["config"]["name"], 0, position] for position in range(1 + len(states))]
    model = {"name": "step", "layers": layers, "input_layers": [[own, 0, 0] for own in inputs]}
    return {
        "module": "keras",
        "class_name": "Functional",
        "config": {**model, "output_layers": outputs},
        "registered_name": None,
    }


def _history(name: str) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
