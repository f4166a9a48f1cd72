"""Recurrent layers as fused nodes inside of what tf2onnx converts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx_ir as ir
import pytest
import tensorflow as tf
from keras import layers

import export
import keras_side
from biport.errors import UnsupportedError
from export.tf2onnx.placeholders import with_placeholders
from testing.models import randomize

FUSED = {"LSTM", "GRU", "RNN"}
CELLS = {
    "LSTM": layers.LSTM,
    "GRU": layers.GRU,
    "GRU before": lambda size, **options: layers.GRU(size, reset_after=False, **options),
    "SimpleRNN": layers.SimpleRNN,
    "stacked": lambda size, **options: layers.RNN(
        layers.StackedRNNCells([layers.LSTMCell(size), layers.GRUCell(size)]), **options
    ),
}


@keras.saving.register_keras_serializable("test_placeholders")
class Swing(layers.Layer):
    """A layer nobody but its author knows."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def call(self, x: Any) -> Any:
        # How many numbers are large, by a list of where they are: TensorFlow and ONNX have it, no graph has.
        count = tf.cast(tf.shape(tf.where(x > 2.0))[0], x.dtype)
        return tf.sin(x) + tf.square(x) + 0.0 * count


def ids() -> np.ndarray:
    rows = np.random.default_rng(0).integers(1, 13, (6, 7)).astype("int32")
    rows[0, 4:] = rows[1, :3] = rows[2, [0, 3, 5]] = rows[3] = 0
    return rows


def check(model: keras.Model, path: Path, inputs: np.ndarray, loops: int = 0, fused: int = 1) -> None:
    expected = keras.tree.flatten(model(inputs))
    written = export.write_tf2onnx(model, path, op_of=keras_side.recurrent_op)
    found = [node for node in ir.load(path).graph.all_nodes() if node.op_type == "Loop"]
    # One over groups of rows is no loop over steps.
    assert loops == sum(
        "SequenceInsert" not in {n.op_type for n in node.attributes["body"].as_graph()} for node in found
    )
    assert sum(written.nodes.get(kind, 0) for kind in FUSED) >= fused
    session = export.Session(path, "cpu")
    for batch in (inputs, inputs[:1]):
        for output, truth in zip(session.run([batch]), expected, strict=True):
            np.testing.assert_allclose(output, np.asarray(truth)[: len(batch)], atol=2e-6)
    # The model is what it was.
    for one, two in zip(keras.tree.flatten(model(inputs)), expected, strict=True):
        assert np.array_equal(one, two)
    assert not [layer for layer in model._flatten_layers() if "call" in vars(layer)]


@pytest.mark.cover(1)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_every_kind_around_an_unknown_layer(cell: str, masked: bool, tmp_path: Path) -> None:
    x = layers.Input((None,), dtype="int32", name="ids")
    y = Swing()(layers.Embedding(13, 5, mask_zero=masked)(x))
    y = layers.Bidirectional(CELLS[cell](4, return_sequences=True), merge_mode="sum")(y)
    z, *states = CELLS[cell](3, return_sequences=True, return_state=True, go_backwards=True)(Swing()(y))
    swung = keras.tree.map_structure(lambda state: Swing()(state), states)
    last = CELLS[cell](3)(y, initial_state=swung)
    model = randomize(keras.Model(x, [z, last, states[-1]]))
    with pytest.raises(UnsupportedError):
        keras_side.read(model)
    check(model, tmp_path / "model.onnx", ids(), fused=3)


def test_layers_called_twice_and_in_models_inside(tmp_path: Path) -> None:
    x = layers.Input((None,), dtype="int32", name="ids")
    inner_x = layers.Input((None, 5))
    shared = layers.LSTM(5, return_sequences=True, name="shared")
    inner = keras.Model(inner_x, layers.Bidirectional(layers.GRU(2, return_sequences=True))(shared(inner_x)))
    y = layers.Embedding(13, 5)(x)
    model = randomize(keras.Model(x, [inner(y), shared(Swing()(shared(y)))]))
    check(model, tmp_path / "model.onnx", ids(), fused=4)


def test_what_is_not_known_is_left_to_tf2onnx(tmp_path: Path) -> None:
    """A cell with an activation of one's own stays a loop."""
    x = layers.Input((None,), dtype="int32", name="ids")
    y = layers.Embedding(13, 5, mask_zero=True)(x)
    own = layers.LSTM(3, return_sequences=True, activation=keras.ops.sin)(y)  # pyright: ignore[reportArgumentType]
    model = randomize(keras.Model(x, layers.GRU(2)(own)))
    names = {layer.name: keras_side.recurrent_op(layer) for layer in model.layers}
    assert [name for name, op in names.items() if op is not None] == [model.layers[-1].name]
    check(model, tmp_path / "model.onnx", ids(), loops=1)


def test_what_reads_a_placeholder_knows_its_shape(tmp_path: Path) -> None:
    """Axes counted from the end, convolutions and attention ask tf2onnx for a rank."""
    x = layers.Input((None,), dtype="int32", name="ids")
    y = Swing()(layers.Embedding(13, 5)(x))
    steps, h, c = layers.LSTM(4, return_sequences=True, return_state=True)(y)
    wider = layers.Conv1DTranspose(3, 3, strides=2)(steps)
    selected = layers.Attention()([layers.GRU(4, return_sequences=True)(y, initial_state=h), steps])
    joined = layers.Concatenate()([h, c, layers.GlobalMaxPooling1D()(selected), steps[:, -1]])
    model = randomize(keras.Model(x, [joined, wider]))
    check(model, tmp_path / "model.onnx", ids(), fused=2)


def test_layers_in_float16_are_left_to_tf2onnx(tmp_path: Path) -> None:
    x = layers.Input((5, 4), name="x")
    model = randomize(keras.Model(x, layers.Dense(2)(layers.LSTM(3, dtype="float16")(Swing()(x)))))
    values = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    with with_placeholders(model, keras_side.recurrent_op):
        assert not [layer for layer in model.layers if "call" in vars(layer)]
    export.write_tf2onnx(model, tmp_path / "model.onnx", op_of=keras_side.recurrent_op)
    (output,) = export.Session(tmp_path / "model.onnx", "cpu").run([values])
    np.testing.assert_allclose(output, np.asarray(model(values)), atol=5e-3)


@keras.saving.register_keras_serializable("test_placeholders")
class OwnLSTM(layers.LSTM):
    """A subclass may compute anything."""

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        return keras.ops.multiply(super().call(sequences, initial_state, mask, training), 2)


@keras.saving.register_keras_serializable("test_placeholders")
class OwnCell(layers.GRUCell):
    """So may a cell."""


@pytest.mark.parametrize(
    "layer",
    [
        lambda: OwnLSTM(3),
        lambda: layers.LSTM(3, stateful=True),
        lambda: layers.Bidirectional(OwnLSTM(3)),
        lambda: layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), OwnCell(2)])),
        lambda: layers.Dense(3),
    ],
)
def test_only_what_is_computed_as_it_says_is_marked(layer: Any) -> None:
    built = layer()
    keras.Sequential([keras.Input((4, 5), batch_size=2), built])
    assert keras_side.recurrent_op(built) is None
