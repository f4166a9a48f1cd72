"""A layer applied to every step: every kind of layer inside, and what becomes of the mask."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from keras import layers
from torch import nn

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.compare.tolerance import Verdict
from biport.errors import UnsupportedError
from biport.graph import Graph, Value
from testing.models import check_everywhere, quiet_model
from torch_side.layers import TimeDistributed

INSIDE = {
    "Dense": lambda: layers.Dense(4, activation="softmax"),
    "BatchNormalization": lambda: layers.BatchNormalization(scale=False),
    "LayerNormalization": lambda: layers.LayerNormalization(),
    "Conv1D": lambda: layers.Conv1D(4, 2, padding="same", activation="relu"),
    "MaxPooling1D": lambda: layers.MaxPooling1D(2),
    "AveragePooling1D": lambda: layers.AveragePooling1D(3, 2, "same"),
    "GlobalMaxPooling1D": lambda: layers.GlobalMaxPooling1D(),
    "GlobalAveragePooling1D": lambda: layers.GlobalAveragePooling1D(keepdims=True),
    "LSTM": lambda: layers.LSTM(3, return_sequences=True),
    "last LSTM": lambda: layers.LSTM(3, go_backwards=True),
    "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(2)),
    "Dropout": lambda: layers.Dropout(0.3),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(2)),
}


@pytest.mark.parametrize("kind", INSIDE)
def test_layers_inside(kind: str, tmp_path: Path) -> None:
    x = keras.Input((None, 5, 3), name="x")
    model = quiet_model(x, layers.TimeDistributed(INSIDE[kind](), name="steps")(x))
    graph = check_everywhere(model, tmp_path)
    session = export.Session(tmp_path / "fused.onnx")
    for N, T in ((0, 4), (3, 0), (0, 0)):
        empty = np.zeros((N, T, 5, 3), "float32")
        assert session.run([empty])[0].shape == reference.run(graph, [empty])[0].shape


@pytest.mark.parametrize("kind", ["Dense", "BatchNormalization", "LayerNormalization", "Dropout"])
def test_the_mask_goes_through(kind: str, tmp_path: Path) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 3, mask_zero=True)(ids)
    x = layers.TimeDistributed(INSIDE[kind]())(layers.LSTM(4, return_sequences=True)(x))
    graph = check_everywhere(quiet_model(ids, [x, layers.LSTM(2, name="behind")(x)]), tmp_path)
    assert graph["behind"].masks[0] is not None


def test_a_layer_called_twice_shares_its_weights(tmp_path: Path) -> None:
    x = keras.Input((6, 3), name="x")
    layer = layers.TimeDistributed(layers.Dense(3, activation="tanh"))
    graph = check_everywhere(quiet_model(x, layer(layer(x))), tmp_path)
    assert graph.nodes[0].op is graph.nodes[1].op


def test_a_planted_fault_is_found() -> None:
    x = keras.Input((None, 3), name="x")
    model = quiet_model(x, layers.TimeDistributed(layers.Dense(3))(x))
    graph = keras_side.read(model)
    (node,) = graph.nodes
    assert isinstance(node.op, ops.TimeDistributed)
    assert isinstance(node.op.layer, ops.Dense)
    inner = dataclasses.replace(node.op.layer, weight=node.op.layer.weight.T.copy())
    wrong = dataclasses.replace(node, op=ops.TimeDistributed(layer=inner))
    report = verify(model, torch_side.write(Graph(graph.inputs, (wrong,), graph.outputs)))
    assert report.verdict is Verdict.DIFFERENT


def test_a_plain_module_inside_is_read() -> None:
    module = nn.Sequential(TimeDistributed(nn.Linear(3, 2))).eval()
    graph = torch_side.read(module, [Value("input", ("N", "T", 3), "float32")])
    assert graph.nodes[0].op.kind == "TimeDistributed"
    assert verify(torch_side.write(graph), keras_side.write(graph), float64=True).ok
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(module(x), torch_side.write(graph)(x))
    two = nn.Sequential(TimeDistributed(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))))
    with pytest.raises(UnsupportedError, match="reads as one op"):
        torch_side.read(two, [Value("input", ("N", "T", 3), "float32")])


def test_refusals() -> None:
    x = keras.Input((4, 5, 3), name="x")
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(2)])
    with pytest.raises(UnsupportedError, match="not a model"):
        keras_side.read(keras.Model(x, layers.TimeDistributed(model)(x)))
    ids = keras.Input((4, 5), dtype="int32", name="ids")
    with pytest.raises(UnsupportedError, match="Embedding"):
        keras_side.read(keras.Model(ids, layers.TimeDistributed(layers.Embedding(7, 3))(ids)))
    mask = keras.Input((4,), dtype="bool", name="mask")
    masked = layers.TimeDistributed(layers.LSTM(2))(x, mask=mask)
    with pytest.raises(UnsupportedError, match="without a mask around LSTM"):
        keras_side.read(keras.Model([x, mask], masked))
