"""Keras models run at inference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.analysis.rows import where_rows_meet
from biport.dims import bound
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph
from biport.inputs import batch_axis, check_inputs, letters
from biport.text.inputs import with_ids
from keras_side.inference import call
from keras_side.policies import COARSE
from keras_side.read import read
from keras_side.stateful import stateful_run

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

    An empty batch gives empty outputs, which Keras itself cannot compute; outputs that rows meet in, such as
    a sum over them, it cannot be had for. A stateful model starts from the states among ``inputs``, or from
    zeros, takes any number of rows, and is left in the states that it was in.

    Args:
        model: a live model.
        inputs: one array for each input of its graph; where it takes texts, lists of them.
        graph: the model's graph, to check the inputs against; read from the model when not given.
        compiled: run it by ``predict_on_batch``, which pays where a model is run many times.

    Raises:
        InputError: the inputs do not suit the model, or have an axis of size 0 that is not the batch,
            which Keras cannot run, nor can it a model in which rows meet over no rows.
    """
    graph = read(model) if graph is None else graph
    if takes_texts(model):
        return _run_texts(model, inputs, graph)
    arrays = check_inputs(graph, inputs)
    rows = [batch_axis(value.shape) for value in graph.inputs]
    for value, array, axis in zip(graph.inputs, arrays, rows, strict=True):
        if 0 in np.delete(array.shape, [] if axis is None else axis):
            what = f"of shape {array.shape}, which is empty but for the batch"
            raise InputError(f"input {value.name!r}: Keras cannot run a model over an array {what}")
    empty = any(0 in array.shape for array in arrays)
    filled = [_one_row(array, axis) for array, axis in zip(arrays, rows, strict=True)] if empty else arrays
    kept = stateful_run(model, graph)
    outputs = _outputs(model, filled) if kept is None else kept.run(partial(_outputs, model), filled)
    if not empty:
        return outputs
    sizes = letters(graph.inputs, arrays)
    return [_empty(graph, name, sizes, x) for name, x in zip(graph.outputs, outputs, strict=True)]


def run_float64(model: keras.Model, inputs: Sequence[np.ndarray], graph: Graph) -> list[np.ndarray]:
    """`run` of a model in float64.

    Raises:
        UnsupportedError: TensorFlow has no kernel of float64 for a layer, as on CPUs for `MaxPooling3D`,
            grouped convolutions, and depthwise ones whose strides are unequal.
        InputError: as `run`.
    """
    try:
        return run(model, inputs, graph)
    except Exception as error:
        if type(error).__name__ not in WITHOUT_KERNEL:
            raise
        layer = re.search(r"when calling (\w+)\.call", str(error))
        owner = "a layer" if layer is None else f"a {layer[1]}"
        raise UnsupportedError(owner, "dtype", "float64", "float32, in TensorFlow on this machine") from error


WITHOUT_KERNEL = ("InvalidArgumentError", "NotFoundError", "UnimplementedError")
"""What TensorFlow raises where it has no kernel for a dtype."""


def _outputs(model: keras.Model, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    import keras

    return [_known(keras.ops.convert_to_numpy(output)) for output in call(model, arrays)]


def _known(output: Any) -> np.ndarray:
    """An output, of half precision as float32: NumPy does not compute with every one of these."""
    array = np.asarray(output)
    return array.astype("float32") if array.dtype.name in COARSE else array


def takes_texts(model: keras.Model) -> bool:
    """Whether a model has an input of texts."""
    return any(tensor.dtype == "string" for tensor in getattr(model, "inputs", None) or ())


def _run_texts(model: keras.Model, inputs: Sequence[Any], graph: Graph) -> list[np.ndarray]:
    """See `run`.

    Raises:
        InputError: texts are missing, have no tokens at all, or are none.
    """
    import tensorflow as tf

    names = [value.name for value in graph.inputs]
    if len(inputs) != len(model.inputs):
        raise InputError(f"the model takes {len(model.inputs)} inputs, found {len(inputs)}")
    arrays = check_inputs(graph, with_ids(names, graph.tokenizers, list(inputs)))
    if any(0 in array.shape for array in arrays):
        raise InputError("Keras cannot run a model over no texts, nor over texts without any token")
    checked = dict(zip(names, arrays, strict=True))
    tensors = []
    for tensor, given in zip(model.inputs, inputs, strict=True):
        if tensor.dtype == "string":
            texts = tf.constant(np.asarray(given, object).tolist(), dtype=tf.string)
            shaped = len(tensor.shape) == 2 and len(texts.shape) == 1
            tensors.append(tf.expand_dims(texts, -1) if shaped else texts)
        else:
            # Keras takes arrays alone or tensors alone.
            tensors.append(tf.convert_to_tensor(checked[tensor.name]))
    return _outputs(model, tensors)


def _one_row(array: np.ndarray, rows: int | None) -> np.ndarray:
    """Zeros like an array over no rows, over one."""
    return np.zeros([1 if axis == rows else size for axis, size in enumerate(array.shape)], array.dtype)


def _empty(graph: Graph, name: str, sizes: Mapping[str, int], x: np.ndarray) -> np.ndarray:
    """An output over no rows, given the one over one row.

    Raises:
        InputError: it has elements all the same, and rows meet on the way to it.
    """
    dims = bound(graph.tensors[name].shape, sizes)
    known = [dim if isinstance(dim, int) else size for dim, size in zip(dims, x.shape, strict=True)]
    if 0 in known:
        return np.zeros(known, x.dtype)
    if (node := where_rows_meet(graph)) is not None:
        raise InputError(
            f"Keras cannot run a model over no rows (N = 0) in which they meet, in {node.name!r}"
        )
    return x
