"""Many tensor operations side by side in one graph, which every form computes like the reference."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch

import export
import keras_side
import torch_side
from biport import ops, reference
from biport.graph import Graph, Node, Value

Arrays = Sequence[np.ndarray]
Run = Callable[[Arrays], list[np.ndarray]]

EXACT, ROUNDED = 1e-12, 3e-6
"""How far a form may be off, in float64 and in float32, of numbers of the size of one."""


def side_by_side(inputs: Sequence[Value], calls: Iterable[tuple[ops.Op, Sequence[str]]]) -> Graph:
    """Each op by itself, all of what they give an output."""
    nodes = []
    for number, (op, names) in enumerate(calls):
        name = f"{op.kind}_{getattr(op, 'function', '')}_{number}"
        outputs = (name,) if op.output_count == 1 else tuple(f"{name}_{n}" for n in range(op.output_count))
        nodes.append(Node(name, op, tuple(names), outputs))
    return Graph(tuple(inputs), tuple(nodes), tuple(name for node in nodes for name in node.outputs))


def drawn(graph: Graph, sizes: Mapping[str, int], seed: int = 0, bound: int = 3) -> list[np.ndarray]:
    """Inputs of these sizes; floats in quarters, so that some are equal, and integers below ``bound``."""
    rng = np.random.default_rng(seed)
    arrays = []
    for value in graph.inputs:
        shape = [dim if isinstance(dim, int) else sizes[str(dim)] for dim in value.tensor.shape]
        if value.dtype in ops.FLOATS:
            # Without negative zeros, which Keras orders.
            array = np.round(4 * rng.normal(size=shape)) / 4 + 0.0
        else:
            array = rng.integers(0, 2, shape) if value.dtype == "bool" else rng.integers(-bound, bound, shape)
        arrays.append(array.astype(value.dtype))
    return arrays


def forms(graph: Graph, folder: Path) -> dict[str, tuple[Run, float]]:
    """How each form runs, and how exact it is; the Keras model is one that was saved and loaded."""
    wide = graph.astype("float64")
    torch_module, double = torch_side.write(graph), torch_side.write(wide)
    export.write(graph, folder / "operations.onnx", overwrite=True, vectors=False)
    session = export.Session(folder / "operations.onnx", device="cpu")
    model = keras.saving.load_model(keras_side.save(wide, folder / "operations.keras", overwrite=True))
    return {
        "torch float64": (lambda arrays: _torch(double, arrays), EXACT),
        "torch float32": (lambda arrays: torch_side.run(torch_module, arrays), ROUNDED),
        "onnx": (session.run, ROUNDED),
        "keras float64": (lambda arrays: _keras(model, arrays), EXACT),
    }


def check_forms(graph: Graph, cases: Iterable[Arrays], runs: Mapping[str, tuple[Run, float]]) -> None:
    """Every form against the reference: values, shapes and dtypes; Keras where nothing is empty."""
    for arrays in cases:
        exact = reference.run(graph, arrays, "float64")
        for form, (run, allowed) in runs.items():
            if form.startswith("keras") and any(array.size == 0 for array in arrays):
                continue
            for name, given, wanted in zip(graph.outputs, run(arrays), exact, strict=True):
                told = f"{form}: {name} of {[array.shape for array in arrays]}"
                assert given.shape == wanted.shape, told
                assert given.dtype.kind == wanted.dtype.kind == "f" or given.dtype == wanted.dtype, told
                np.testing.assert_allclose(given, wanted, rtol=allowed, atol=allowed, err_msg=told)


def _wide(arrays: Arrays) -> list[np.ndarray]:
    return [array.astype("float64") if array.dtype.kind == "f" else array for array in arrays]


def _torch(module: torch.nn.Module, arrays: Arrays) -> list[np.ndarray]:
    outputs = module(*(torch.tensor(array) for array in _wide(arrays)))
    return [output.detach().numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _keras(model: Any, arrays: Arrays) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*using a softmax over axis.*")
        given = _wide(arrays)
        return [
            np.asarray(output) for output in keras.tree.flatten(model(given if len(given) > 1 else given[0]))
        ]
