"""The numpy forward pass of every op, in any float dtype: the oracle.

`run` in float64 is what every other form of a model is measured against. It is written for reading
and for being right, one short file an op, and owes nothing to any framework.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from biport.graph import Graph, Node
from biport.inputs import check_arrays, check_inputs, id_bounds, letters
from biport.ops import Embedding, Op
from biport.reference.nodes import computed
from biport.reference.registry import REFERENCES
from biport.registry import discover

discover(sys.modules[__name__])

__all__ = ["REFERENCES", "InDtype", "rerun", "run", "run_cases", "trace"]


def trace(graph: Graph, inputs: Sequence[np.ndarray], dtype: str = "float64") -> dict[str, np.ndarray]:
    """Every value of ``graph``, by name, computed in ``dtype``.

    Raises:
        InputError: the inputs do not suit the graph; see `biport.inputs.check_inputs`.
    """
    return InDtype(graph, dtype).trace(check_inputs(graph, inputs))


class InDtype:
    """A graph that is computed in a float dtype, its inputs too.

    A table is left as it is: it may have millions of rows, and those are cast that are looked up.
    """

    def __init__(self, graph: Graph, dtype: str = "float64") -> None:
        self._graph, self._dtype, self.outputs = graph, dtype, graph.outputs
        self._inputs = [
            replace(value, dtype=dtype) if value.dtype.startswith("float") else value
            for value in graph.inputs
        ]
        self._ops = {id(node.op): node.op for node in graph.nodes}
        self._ops |= {key: _in_dtype(op, dtype) for key, op in self._ops.items()}

    def trace(self, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Every value of the graph, by name.

        Raises:
            InputError: the inputs do not suit the graph; see `biport.inputs.check_arrays`.
        """
        checked = check_arrays(self._inputs, id_bounds(self._graph), inputs)
        values = {value.name: array for value, array in zip(self._inputs, checked, strict=True)}
        sizes = letters(self._inputs, checked)
        for node in self._graph.nodes:
            values |= _computed(node, self._ops[id(node.op)], values, sizes, self._dtype)
        return values


def _in_dtype(op: Op, dtype: str) -> Op:
    return op if isinstance(op, Embedding) or op.dtype in (None, dtype) else op.astype(dtype)


def _computed(
    node: Node, op: Op, values: Mapping[str, np.ndarray], sizes: Mapping[str, int], dtype: str
) -> dict[str, np.ndarray]:
    outputs = computed(node, op, values, sizes)
    table = isinstance(op, Embedding)
    return {name: _cast(array, dtype) for name, array in outputs.items()} if table else outputs


def rerun(
    graph: Graph,
    values: Mapping[str, np.ndarray],
    ops: Mapping[int, Op],
    changed: Mapping[str, np.ndarray],
) -> list[np.ndarray]:
    """The outputs of ``graph`` where some of its ops or inputs are others; only what follows is computed.

    Args:
        graph: the model, in the dtype of ``values``.
        values: of the model as it is; see `trace`.
        ops: the other ops, by the identity of those they stand for.
        changed: the other inputs, by name.
    """
    fresh = dict(changed)
    sizes = letters(graph.inputs, [fresh.get(value.name, values[value.name]) for value in graph.inputs])
    for node in graph.nodes:
        if id(node.op) in ops or any(name in fresh for name in (*node.inputs, *node.masks)):
            fresh |= computed(node, ops.get(id(node.op), node.op), {**values, **fresh}, sizes)
    return [fresh.get(name, values[name]) for name in graph.outputs]


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


def run_cases(
    graph: Graph, cases: Mapping[str, Sequence[np.ndarray]], dtype: str = "float64"
) -> dict[str, list[np.ndarray]]:
    """`run` for several inputs, by case; no more than one op's weights are there a second time.

    Args:
        graph: the model.
        cases: one array for each graph input, in order.
        dtype: of the computation.

    Raises:
        InputError: as `run`.
    """
    values: dict[str, dict[str, np.ndarray]] = {}
    sizes: dict[str, Mapping[str, int]] = {}
    for case, arrays in cases.items():
        checked = check_inputs(graph, arrays)
        sizes[case] = letters(graph.inputs, checked)
        values[case] = {
            value.name: _cast(array, dtype) for value, array in zip(graph.inputs, checked, strict=True)
        }
    for node in graph.nodes:
        op = _in_dtype(node.op, dtype)
        for case, known in values.items():
            known |= _computed(node, op, known, sizes[case], dtype)
    return {case: [known[name] for name in graph.outputs] for case, known in values.items()}


def _cast(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype) if array.dtype.kind == "f" else array
