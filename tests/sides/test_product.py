"""Matrix products and Einstein's notation on every side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx_ir
import pytest

import export
import keras_side
import torch_side
from biport import ops
from biport.graph import Graph, Node, Value
from biport.reference import run

RNG = np.random.default_rng(8)
SIZES = {"N": 2, "T": 5, "S": 3}

EQUATIONS = {
    "nth,nsh->nts": "scores",
    "nts,nsh->nth": "weighted",
    "nth,hk->ntk": "a Dense",
    "nth,hk->nkt": "turned round",
    "nth,nth->nt": "row by row",
    "nth,nth->nth": "nothing summed",
    "nth->nh": "one input, summed",
    "nth->htn": "one input, turned round",
    "nth->": "everything summed",
    "nth,nsk->ntshk": "outer",
    "nth,nsk->n": "axes of one input alone",
    "nth,hk,nsk->nts": "three inputs",
    "nth,h,->nt": "a vector and a number",
    "nth,nth->": "everything summed, of two",
    "nth,nth,nt->nh": "the same axes three times",
    "ht,hk->tk": "first axes",
    "nthk,nshk->ntsk": "heads",
    "nthk,nsqk,kh->nsq": "several axes at a time",
}
"""By what is special."""

FIXED: dict[str, Any] = {"h": 4, "k": 6, "q": 3, "s": "S", "t": "T", "n": "N"}


def of_equations(*equations: str) -> Graph:
    """A node an equation; what has no rows is a parameter."""
    inputs: dict[str, Value] = {}
    nodes: list[Node] = []
    for position, equation in enumerate(equations):
        names = []
        for number, term in enumerate(ops.Einsum(equation=equation).terms):
            shape = [FIXED[axis] for axis in term]
            if term.startswith("n"):
                name = term
                inputs.setdefault(name, Value(name, shape, "float64"))
            else:
                name = f"w{position}.{number}"
                sizes: Any = [SIZES.get(str(size), size) for size in shape]
                nodes.append(Node(name, ops.Parameter(value=np.asarray(RNG.normal(size=sizes))), ()))
            names.append(name)
        nodes.append(Node(f"e{position}", ops.Einsum(equation=equation), tuple(names)))
    return Graph(tuple(inputs.values()), tuple(nodes), tuple(f"e{at}" for at in range(len(equations))))


MATRICES: Sequence[Sequence[Any]] = (
    (("N", "T", 4), ("N", 4, "T")),
    (("N", 1, "T", 4), ("N", 3, 4, 2)),
    (("N", "T", 4), (4,)),
    ((4,), ("N", 4, 3)),
    ((5,), (5,)),
    ((3, 5), (5,)),
    (("N", 4), (4, 2)),
    (("N", "T", 4), (1, 4, 6)),
)
"""Shapes of either side; those without rows are parameters."""


def of_matrices() -> Graph:
    inputs: list[Value] = []
    nodes: list[Node] = []
    for position, shapes in enumerate(MATRICES):
        names = [f"{side}{position}" for side in "ab"]
        for name, shape in zip(names, shapes, strict=True):
            if shape[0] == "N":
                inputs.append(Value(name, shape, "float64"))
            else:
                nodes.append(Node(name, ops.Parameter(value=np.asarray(RNG.normal(size=shape))), ()))
        nodes.append(Node(f"m{position}", ops.MatMul(), tuple(names)))
    return Graph(tuple(inputs), tuple(nodes), tuple(f"m{at}" for at in range(len(MATRICES))))


GRAPHS = {"einsum": of_equations(*EQUATIONS), "matmul": of_matrices()}


def batch(graph: Graph, dtype: str = "float64", **sizes: int) -> list[np.ndarray]:
    known = SIZES | sizes
    shapes: Any = [[known.get(str(dim), dim) for dim in value.shape] for value in graph.inputs]
    return [np.random.default_rng(1).normal(size=shape).astype(dtype) for shape in shapes]


def compared(found: Sequence[np.ndarray], graph: Graph, arrays: Sequence[np.ndarray], allowed: float) -> None:
    for name, mine, yours in zip(graph.outputs, found, run(graph, arrays), strict=True):
        assert mine.shape == yours.shape, name
        np.testing.assert_allclose(mine, yours, rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("which", GRAPHS)
def test_products(which: str, tmp_path: Path) -> None:
    graph = GRAPHS[which]
    arrays = batch(graph)
    module = torch_side.write(graph)
    compared(torch_side.run(module, arrays), graph, arrays, 1e-12)
    assert torch_side.read(module) == graph
    model = keras_side.write(graph)
    compared(keras_side.run(model, arrays, graph), graph, arrays, 1e-12)
    model.save(tmp_path / "model.keras")
    again: Any = keras.saving.load_model(tmp_path / "model.keras")
    compared(keras_side.run(again, arrays, graph), graph, arrays, 1e-12)
    small = graph.astype("float32")
    export.write(small, tmp_path / "model.onnx")
    session = export.Session(tmp_path / "model.onnx")
    for sizes in ({}, {"N": 0}, {"T": 0}, {"T": 1, "N": 3}, {"N": 1}):
        arrays = batch(small, "float32", **sizes)
        compared(session.run(arrays), small, arrays, 5e-5)
    nodes = list(onnx_ir.load(tmp_path / "model.onnx").graph)
    assert "Einsum" not in {node.op_type for node in nodes}
    # But those that keep a transposition from being fused with a product: to the shape there is.
    for x, shape in (node.inputs for node in nodes if node.op_type == "Reshape"):
        sized = None if shape is None else shape.producer()
        assert sized is not None
        assert (sized.op_type, sized.inputs[0]) == ("Shape", x)


def of_steps() -> Graph:
    """Sums over T of what is transposed on the way, which onnxruntime fuses."""
    inputs = Value("a", ("N", "T", 4), "float32"), Value("b", ("N", "T", 3), "float32")
    nodes = (
        Node("dot", ops.Dot(axes=(1, 1)), ("a", "b")),
        Node("einsum", ops.Einsum(equation="nth,ntk->nhk"), ("a", "b")),
        Node("turned", ops.PermuteDims(axes=(0, 2, 1)), ("a",)),
        Node("matmul", ops.MatMul(), ("turned", "b")),
    )
    return Graph(inputs, nodes, ("dot", "einsum", "matmul"))


def test_sums_over_no_steps_are_zero_whatever_was_in_memory(tmp_path: Path) -> None:
    graph = of_steps()
    export.write(graph, tmp_path / "model.onnx")
    session = export.Session(tmp_path / "model.onnx")
    for steps in (5, 0, 5, 0):
        arrays = batch(graph, "float32", T=steps)
        compared(session.run(arrays), graph, arrays, 1e-5)
        del arrays
