"""The gradient of a Keras model at inference, under the names of its graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.errors import UnsupportedError
from biport.graph import trained
from biport.inputs import check_inputs
from keras_side.inference import call
from keras_side.ops.normalization import STATISTICS
from keras_side.read import read, read_live

if TYPE_CHECKING:
    import keras

    from biport.compare.gradients import Gradient


def gradients(
    model: keras.Model, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None]
) -> Gradient:
    """The loss ``Σ <output, cotangent>``, and how it changes with every weight and every float input.

    Frozen layers have their gradient too; statistics, such as those of `BatchNormalization`, have none.

    Args:
        model: a live model; it is left as it is.
        inputs: one array for each of its inputs.
        cotangents: an array of the shape of each output; ``None`` for an output that does not count.

    Returns:
        The loss; ``{node.path: array}`` in the layout of `Graph` weights, inputs under their own names.

    Raises:
        InputError: the inputs do not suit the model.
        UnsupportedError: the model cannot be read, or Keras runs with another backend than TensorFlow.
        WeightError: a gradient holds NaN or infinite numbers.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UnsupportedError(f"model {model.name!r}", "backend", keras.backend.backend(), ["tensorflow"])
    import tensorflow as tf

    graph = read(model)
    variables = [v for v in model.variables if "float" in str(v.dtype) and v.name not in STATISTICS]
    # A model without weights does not say in which dtype it computes; its inputs do.
    wide = any(str(x.dtype) == "float64" for x in model.inputs)
    tensors = [
        tf.constant(array) for array in check_inputs(graph.astype("float64") if wide else graph, inputs)
    ]
    floats = {value.name: x for value, x in zip(graph.inputs, tensors, strict=True) if x.dtype.is_floating}
    sources = [*(variable.value for variable in variables), *floats.values()]
    with tf.device("cpu:0"), tf.GradientTape(watch_accessed_variables=False) as tape:
        for source in sources:
            tape.watch(source)
        loss = _loss(call(model, tensors), cotangents)
    slopes: Any = tape.gradient(loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    arrays = [_array(slope) for slope in slopes]
    instead = dict(zip(map(id, variables), arrays, strict=False))
    # Reading is linear: what is read in place of the weights are the gradients, in the layouts of these.
    weights = trained(read_live(model, instead))
    return float(loss), weights | dict(zip(floats, arrays[len(variables) :], strict=True))


def _loss(outputs: Sequence[Any], cotangents: Sequence[np.ndarray | None]) -> Any:
    import tensorflow as tf

    return tf.add_n(
        [
            tf.reduce_sum(output * tf.constant(cotangent, output.dtype))
            for output, cotangent in zip(outputs, cotangents, strict=True)
            if cotangent is not None
        ]
    )


def _array(slope: Any) -> np.ndarray:
    """A gradient as an array; that of an embedding comes as the rows that were looked up."""
    import tensorflow as tf

    return tf.convert_to_tensor(slope).numpy()
