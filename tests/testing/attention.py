"""Models and graphs of one attention, for tests."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import export
import torch_side
from biport import ops, reference, verify
from biport.dims import bound
from biport.graph import Graph, Node, Value
from testing.masks import valid_steps

layers: Any = keras.layers  # Keras annotates fewer types than it takes.

N, S, T, I, O = 5, 4, 6, 3, 2


def embedded(masked: bool = True, steps: tuple = (None, T), sizes: tuple = (I, I)) -> tuple[list, list]:
    """Ids of two sequences of unequal lengths, and their vectors."""
    ids = [keras.Input((n,), dtype="int32", name=name) for n, name in zip(steps, ("q", "v"), strict=True)]
    tables = [layers.Embedding(9, size, mask_zero=masked) for size in sizes]
    return ids, [table(x) for table, x in zip(tables, ids, strict=True)]


def check_empty(graph: Graph, folder: Path) -> None:
    """Without rows or without steps ONNX and torch give what the reference gives."""
    export.write(graph, folder / "empty.onnx", overwrite=True, vectors=False)
    session, module = export.Session(folder / "empty.onnx", device="cpu"), torch_side.write(graph)
    for empty in ("N", "S", "T", "ST", "NST"):
        sizes = {letter: 0 if letter in empty else size for letter, size in (("N", N), ("S", S), ("T", T))}
        shapes = [bound(value.shape, sizes) for value in graph.inputs]
        arrays = [np.ones(shape, value.dtype) for shape, value in zip(shapes, graph.inputs, strict=True)]
        exact = reference.run(graph, arrays)
        for found in (session.run(arrays), torch_side.run(module, arrays)):
            for one, two in zip(exact, found, strict=True):
                assert one.shape == two.shape
                np.testing.assert_allclose(two, one, atol=1e-6)


def looking(op: ops.Op, masks: tuple = ("queries", "values", None), width: int = I, values: int = O) -> Graph:
    """A graph of one attention whose masks are inputs."""
    inputs = (
        Value("q", ("N", "S", width), "float32"),
        Value("v", ("N", "T", values if len(masks) == 3 else width), "float32"),
        *([Value("k", ("N", "T", width), "float32")] if len(masks) == 3 else []),
        Value("queries", ("N", "S"), "bool"),
        Value("values", ("N", "T"), "bool"),
    )
    names = tuple(value.name for value in inputs if value.dtype != "bool")
    made = tuple(f"y:{n}" for n in range(op.output_count)) if op.output_count > 1 else ("y",)
    return Graph(inputs, (Node("y", op, names, made, masks),), made)


def arrays_of(graph: Graph, pattern: str, dtype: str = "float64") -> list[np.ndarray]:
    """Random inputs with masks of a pattern."""
    rng, sizes = np.random.default_rng(5), {"N": N, "S": S, "T": T}
    shapes = [bound(value.shape, sizes) for value in graph.inputs]
    return [
        valid_steps(pattern, shape[0], shape[1], rng)
        if value.dtype == "bool"
        else rng.normal(size=shape).astype(dtype)
        for value, shape in zip(graph.inputs, shapes, strict=True)
    ]


FAULTS: dict[str, Callable[[Node], Node]] = {
    "no mask of the values": lambda node: dataclasses.replace(node, masks=(node.masks[0], None, None)),
    "no mask of the queries": lambda node: dataclasses.replace(node, masks=(None, *node.masks[1:])),
    "not causal": lambda node: dataclasses.replace(node, op=dataclasses.replace(node.op, causal=False)),  # type: ignore[type-var]
    "values and keys exchanged": lambda node: dataclasses.replace(
        node, inputs=(node.inputs[0], node.inputs[2], node.inputs[1])
    ),
    "another scale": lambda node: dataclasses.replace(
        node, op=node.op.build(node.op.settings(), doubled(node.op))
    ),
}


def doubled(op: ops.Op) -> dict[str, np.ndarray]:
    """The op's weights, all of them twice as large."""
    return {path: np.asarray(2 * array) for path, array in op.weights().items()}


def check_fault(graph: Graph, fault: str, tmp_path: Path) -> None:
    """Every form of the graph with the fault is found to be the one at fault."""
    wrong = Graph(graph.inputs, (FAULTS[fault](graph.nodes[0]),), graph.outputs)
    export.write(wrong, tmp_path / "wrong.onnx", vectors=False)
    arrays = arrays_of(graph, "holes", "float32")
    report = verify(graph, torch_side.write(wrong), tmp_path / "wrong.onnx", inputs=arrays)
    assert len(report.at_fault) == 2


def written_by(path: Path, version: str) -> None:
    """Have a file say that another Keras wrote it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["metadata.json"] = json.dumps({"keras_version": version}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
