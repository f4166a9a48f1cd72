"""The numpy forward pass of every op, in any float dtype: the oracle.

`run` in float64 is what every other form of a model is measured against. It is written for reading
and for being right, one short file an op, and owes nothing to any framework.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from biport.graph import Graph
from biport.inputs import check_inputs
from biport.reference.registry import REFERENCES
from biport.registry import discover

discover(sys.modules[__name__])

__all__ = ["REFERENCES", "run", "trace"]


def trace(graph: Graph, inputs: Sequence[np.ndarray], dtype: str = "float64") -> dict[str, np.ndarray]:
    """Every value of ``graph``, by name, computed in ``dtype``.

    Raises:
        InputError: the inputs do not suit the graph; see `biport.inputs.check_inputs`.
    """
    checked = check_inputs(graph, inputs)
    graph = graph.astype(dtype)
    values: dict[str, np.ndarray] = {
        value.name: array.astype(value.dtype) for value, array in zip(graph.inputs, checked, strict=True)
    }
    for node in graph.nodes:
        compute = REFERENCES.lookup(type(node.op), f"node {node.name!r}")
        masks = [None if mask is None else values[mask] for mask in node.masks]
        made = compute(node.op, [values[name] for name in node.inputs], masks)
        values |= zip(node.outputs, made, strict=True)
    return values


def run(graph: Graph, inputs: Sequence[np.ndarray], dtype: str = "float64") -> list[np.ndarray]:
    """The outputs of ``graph`` for ``inputs``, in order, computed in ``dtype``.

    Args:
        graph: the model.
        inputs: one array for each graph input, in order.
        dtype: ``"float64"`` for the oracle, ``"float32"`` to see what rounding alone does.

    Raises:
        InputError: the inputs do not suit the graph; see `biport.inputs.check_inputs`.
    """
    values = trace(graph, inputs, dtype)
    return [values[name] for name in graph.outputs]
