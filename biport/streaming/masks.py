"""Which steps of a chunk are valid, computed beside the model: a small graph, and the same as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from biport.bundle import graph_of
from biport.errors import UnsupportedError
from biport.graph import Graph, structure, weights_by_path

MOST_NUMBERS = 64
"""Of all constants that a mask is made with."""


def mask_graph(graph: Graph, mask: str) -> Graph:
    """The part of a graph that makes a mask of its inputs.

    Raises:
        UnsupportedError: it takes weights.
    """
    wanted, nodes = {mask}, []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted |= {name for name in (*node.inputs, *node.masks) if name is not None}
            nodes.append(node)
    inputs = tuple(value for value in graph.inputs if value.name in wanted)
    part = Graph(inputs, tuple(reversed(nodes)), (mask,))
    if sum(array.size for array in weights_by_path(part).values()) > MOST_NUMBERS:
        supported = "masks that are made of the inputs alone"
        raise UnsupportedError("streaming", "mask", f"{mask}, of layers with weights", supported)
    return part


def graph_data(graph: Graph) -> dict[str, Any]:
    """A graph of few numbers as plain data."""
    arrays = {
        f"{node.name}/{path}": {
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "values": array.tolist(),
        }
        for node in graph.nodes
        for path, array in node.op.weights().items()
    }
    return structure(graph) | {"arrays": arrays}


def graph_from(data: Mapping[str, Any]) -> Graph:
    """Back from `graph_data`; raises as `biport.bundle.graph_of`."""
    arrays = {
        str(key): np.asarray(entry["values"], entry["dtype"]).reshape(entry["shape"])
        for key, entry in data["arrays"].items()
    }
    return graph_of({**data, "origin": {}}, arrays)
