"""Keras models run at inference."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.analysis.rows import where_rows_meet
from biport.errors import InputError
from biport.graph import Graph
from biport.inputs import check_inputs
from keras_side.read import read

if TYPE_CHECKING:
    import keras


def run(
    model: keras.Model,
    inputs: Sequence[np.ndarray],
    graph: Graph | None = None,
    *,
    compiled: bool = False,
) -> list[np.ndarray]:
    """The outputs of a Keras model, in inference mode, on the CPU.

    An empty batch gives empty outputs, which Keras itself cannot compute; where rows meet there are none.

    Args:
        model: a live model.
        inputs: one array for each of its inputs.
        graph: the model's graph, to check the inputs against; read from the model when not given.
        compiled: run it by ``predict_on_batch``, which pays where a model is run many times.

    Raises:
        InputError: the inputs do not suit the model, or have no time steps (T = 0), which Keras cannot run,
            nor can it a model in which rows meet over no rows.
    """
    import keras

    graph = read(model) if graph is None else graph
    arrays = check_inputs(graph, inputs)
    if any(0 in array.shape[1:] for array in arrays):
        raise InputError("Keras cannot run a model over no time steps (T = 0)")
    empty = len(arrays[0]) == 0
    if empty and (node := where_rows_meet(graph)) is not None:
        raise InputError(
            f"Keras cannot run a model over no rows (N = 0) in which they meet, in {node.name!r}"
        )
    if empty:
        arrays = [np.zeros((1, *array.shape[1:]), array.dtype) for array in arrays]
    outputs = [np.asarray(keras.ops.convert_to_numpy(output)) for output in call(model, arrays)]
    if not empty:
        return outputs
    of_rows = [graph.tensors[name].shape[:1] == graph.inputs[0].tensor.shape[:1] for name in graph.outputs]
    return [output[:0] if rows else output for output, rows in zip(outputs, of_rows, strict=True)]


def call(model: keras.Model, tensors: Sequence[Any]) -> list[Any]:
    """The outputs of a Keras model as tensors, in inference mode, on the CPU; a tensor for each input."""
    import keras

    # On a GPU, cuDNN refuses all masks but right padding, and TF32 changes results by about 1e-3.
    with warnings.catch_warnings(), keras.device("cpu:0"):
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        # A softmax over one step is 1, as it should be.
        warnings.filterwarnings("ignore", message=".*using a softmax over axis.*")
        # A model may take and give mappings; the graph has their values in the order of the keys.
        sequential = type(model) is keras.Sequential
        packed = tensors[0] if sequential else keras.tree.pack_sequence_as(model.input, list(tensors))
        return keras.tree.flatten(model(packed, training=False))
