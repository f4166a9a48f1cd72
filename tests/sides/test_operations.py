"""Operations between layers, and the two halves that an old Bidirectional becomes, on every side."""

from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers, ops
from test_small_layers import same_everywhere, scaled

import export
import keras_side
import torch_side
from biport import bundle, reference
from biport import ops as nodes
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from keras_side.legacy.directions import repeating, side_by_side
from testing.models import check_same

V, E, H = 11, 4, 3


def of_features(function) -> keras.Model:
    x = keras.Input((None, E), name="x")
    return scaled(keras.Model(x, function(layers.Dense(E)(x))))


OPERATIONS = {
    "sum": (lambda x: x + ops.flip(x, axis=1), nodes.Elementwise),
    "a number": (lambda x: 1.0 - x / 3, nodes.Elementwise),
    "larger": (lambda x: ops.maximum(x, ops.relu(x)), nodes.Elementwise),
    "features turned round": (lambda x: ops.flip(x, axis=-1), nodes.Flip),
    "joined": (lambda x: ops.concatenate([x, ops.softmax(x)], axis=-1), nodes.Concatenate),
    "flip": (lambda x: ops.flip(x, axis=1), nodes.Flip),
    "softmax over time": (lambda x: ops.softmax(x, axis=1), nodes.Softmax),
    "relu with settings": (lambda x: keras.activations.relu(x, 0.1, max_value=1.0), nodes.ReLU),
    "elu": (lambda x: ops.elu(x, alpha=0.7), nodes.ELU),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_between_layers(name, tmp_path) -> None:
    function, kind = OPERATIONS[name]
    graph = same_everywhere(of_features(function), tmp_path)
    assert kind in {type(node.op) for node in graph.nodes}


UNSUPPORTED = {
    "a dtype of few bits": (lambda x: ops.cast(x, "float16"), "float16"),
    "unknown": (lambda x: ops.cumprod(ops.exp(x), axis=1), "Cumprod"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_no_op_does_is_refused(name) -> None:
    function, operation = UNSUPPORTED[name]
    with pytest.raises(UnsupportedError, match=f"{operation}.* is not supported"):
        keras_side.read(of_features(function))


@pytest.mark.parametrize("shape", [(0, 3, E), (2, 0, E), (2, 1, E), (3, 5, E)])
def test_flip_of_any_length(shape, tmp_path) -> None:
    graph = Graph((Value("x", ("N", "T", E), "float32"),), (Node("y", nodes.Flip(), ("x",)),), ("y",))
    export.write(graph, tmp_path / "m.onnx", vectors=False)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    for found in (
        reference.run(graph, [x], "float32"),
        export.Session(tmp_path / "m.onnx").run([x]),
        torch_side.run(torch_side.write(graph), [x]),
    ):
        np.testing.assert_array_equal(found[0], x[:, ::-1])


def random_half(kind: type[nodes.LSTM | nodes.GRU | nodes.RNN], reverse: bool, rng: np.random.Generator):
    def drawn(*shape: int) -> dict[str, np.ndarray]:
        gates = {nodes.LSTM: "iofc", nodes.GRU: "zrh", nodes.RNN: "h"}[kind]
        return {gate: rng.normal(0, 0.6, shape).astype("float32") for gate in gates}

    settings: dict[str, Any] = {"return_sequences": True, "zero_output_for_mask": True, "reverse": reverse}
    if kind is not nodes.RNN:
        settings |= {"recurrent_activation": "hard_sigmoid_keras2"}
    if kind is nodes.GRU:
        settings |= {"reset_after": False}
    weights = {"weight_ih": drawn(H, E), "weight_hh": drawn(H, H), "bias_ih": drawn(H), "bias_hh": None}
    return kind(input_size=E, hidden_size=H, **weights, **settings)


@pytest.mark.cover(1)
@pytest.mark.parametrize(
    "merge", ["concat", "mul", None, *(pytest.param(m, marks=pytest.mark.sweep) for m in ("sum", "ave"))]
)
@pytest.mark.parametrize("kind", [nodes.LSTM, nodes.GRU, nodes.RNN])
def test_halves_that_repeat(kind, merge, tmp_path) -> None:
    """Each step under the mask repeats the one before it, in the order its half walks."""
    rng = np.random.default_rng(1)
    op = nodes.Bidirectional(
        forward=random_half(kind, False, rng), backward=random_half(kind, True, rng), merge=merge
    )
    made, values = side_by_side("both", repeating(op), merge, "x", "mask", ())
    inputs = (Value("x", ("N", "T", E), "float32"), Value("mask", ("N", "T"), "bool"))
    graph = Graph(inputs, tuple(made), tuple(values))
    bundle.write(graph, tmp_path / "bundle")
    export.write(graph, tmp_path / "m.onnx", vectors=False)
    module = torch_side.write(graph)
    assert torch_side.read(module) == graph
    check_same(graph, [keras_side.write(graph)], [graph, module, tmp_path / "m.onnx"])

    x, mask = rng.normal(size=(4, 6, E)), rng.random((4, 6)) < 0.6
    outputs = ("b",) if merge else ("b:0", "b:1")
    zeroed = Graph(inputs, (Node("b", op, ("x",), outputs, ("mask",)),), outputs).astype("float64")
    zeros, found = (reference.run(each, [x, mask]) for each in (zeroed, graph.astype("float64")))
    if merge == "concat":
        one, two = found[0][..., :H], found[0][..., H:]
        np.testing.assert_allclose(found[0][mask], zeros[0][mask])
        for row in range(4):
            for step in range(6):
                if not mask[row, step]:
                    before = one[row, step - 1] if step else np.zeros(H)
                    after = two[row, step + 1] if step < 5 else np.zeros(H)
                    np.testing.assert_array_equal(one[row, step], before)
                    np.testing.assert_array_equal(two[row, step], after)


def test_torch_flips_any_axis() -> None:
    class Turned(torch.nn.Module):
        def forward(self, ids):
            return torch.nn.functional.one_hot(ids, V).float().flip(2)

    graph = torch_side.read(Turned(), Value("ids", ("N", "T"), "int64"))
    ids = torch.arange(6).reshape(2, 3) % V
    assert torch.equal(torch_side.write(graph)(ids), Turned()(ids))
