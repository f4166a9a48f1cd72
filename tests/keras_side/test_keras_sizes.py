"""Sizes that a graph knows and Keras does not infer."""

import numpy as np

import keras_side
from biport import ops, reference
from biport.dims import letter
from biport.graph import Graph, Node, Value
from testing.torch_graphs import lstm

H = 3


def test_one_step_is_squeezed_behind_a_recurrent_layer() -> None:
    nodes = (
        Node("y", lstm(2, H, dtype="float32", return_sequences=True), ("x",)),
        Node("step", ops.Squeeze(axes=(1,)), ("y",)),
    )
    graph = Graph((Value("x", (letter("N"), 1, 2), "float32"),), nodes, ("step",))
    x = np.random.default_rng(0).normal(size=(4, 1, 2)).astype("float32")
    (y,) = keras_side.run(keras_side.write(graph), [x], graph)
    np.testing.assert_allclose(y, reference.run(graph, [x])[0], atol=1e-6)
