"""What Keras takes and means something plain at inference: the same on every side, live and from files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import export
import keras_side
import torch_side
from biport import inputs, ops, reference, verify
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph
from testing.models import check_everywhere, quiet_model

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
layers: Any = keras.layers  # Keras annotates fewer types than it takes.

V, E, H = 11, 4, 3


def tokens() -> Any:
    return keras.Input((None,), dtype="int32", name="ids")


def check(given: Any, outputs: Any, folder: Path, hdf5: bool = True) -> Graph:
    model = quiet_model(given, outputs)
    graph = check_everywhere(model, folder)
    if not hdf5:
        return graph
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*HDF5.*")
        model.save(folder / "model.h5")
    assert keras_side.read(folder / "model.h5") == graph
    return graph


@pytest.mark.parametrize(
    ("kind", "merges"),
    [
        (layers.LSTM, ("concat", None)),
        pytest.param(layers.GRU, ("mul", "mul"), marks=pytest.mark.sweep),
        pytest.param(layers.SimpleRNN, ("ave", "sum"), marks=pytest.mark.sweep),
    ],
)
def test_a_bidirectional_whose_forward_layer_scans_backwards(
    kind: Callable[..., Any], merges: Any, tmp_path: Path
) -> None:
    ids = tokens()
    x = layers.Embedding(V, E, mask_zero=True)(ids)
    outputs: list[Any] = []
    for number, merge in enumerate(merges):
        for settings in ({}, {"return_sequences": True, "return_state": True})[number:]:
            forward = kind(H, go_backwards=True, **settings)
            backward = kind(2 if merge in ("concat", None) and not settings else H, **settings)
            both = layers.Bidirectional(forward, backward_layer=backward, merge_mode=merge)
            outputs += keras.tree.flatten(both(x))
            if len(settings) == 2 and merge:
                # From states of its own, and what comes of its mask.
                count = 4 if kind is layers.LSTM else 2
                again = keras.tree.flatten(both(x, initial_state=outputs[-count:]))
                outputs += [*again, layers.LSTM(2)(again[0])]
    check(ids, outputs, tmp_path)


def test_it_is_refused_where_it_cannot_be_split() -> None:
    both = layers.Bidirectional(layers.LSTM(H, go_backwards=True), backward_layer=layers.LSTM(H))
    x = keras.Input((5, 4, E))
    model = keras.Model(x, layers.TimeDistributed(both)(x))
    assert keras_side.recurrent_op(model.layers[-1].layer) is None


def test_activations_that_are_layers(tmp_path: Path) -> None:
    ids = tokens()
    x = layers.Embedding(V, E, mask_zero=True)(ids)
    x = layers.Dense(E, activation=layers.LeakyReLU(negative_slope=0.35), name="leaky")(x)
    x = layers.Activation(layers.ELU(alpha=0.6))(x)
    scan = layers.LSTM(H, activation=layers.LeakyReLU(negative_slope=0.2), return_sequences=True)(x)
    narrow = layers.Conv1D(2, 2, padding="same", activation=layers.ReLU(0.7, 0.1, 0.2), name="narrow")(scan)
    graph = check(ids, [narrow, scan, layers.Dense(2, layers.Softmax(axis=-1))(scan)], tmp_path)
    assert graph["leaky.activation"].op == ops.LeakyReLU(negative_slope=0.35)
    assert graph["leaky"].op.settings()["activation"] == "linear"
    for layer in (layers.LSTM(2, activation=layers.LeakyReLU(0.35)), layers.Dense(2, layers.PReLU())):
        with pytest.raises(UnsupportedError, match="activation"):
            keras_side.read(keras.Sequential([keras.Input((5, E)), layer]))


def test_what_changes_nothing_between_layers(tmp_path: Path) -> None:
    ids = tokens()
    table = layers.Embedding(V, E, mask_zero=True)
    same = [
        lambda x: keras.ops.stop_gradient(x),
        lambda x: keras.ops.copy(x),
        lambda x: keras.ops.cast(x, "float32"),
        lambda x: keras.ops.convert_to_tensor(x),
        lambda x: keras.ops.real(x),
    ]
    outputs = [layers.LSTM(H, return_sequences=True)(change(table(ids))) for change in same]
    graph = check(ids, outputs, tmp_path)
    masked = [node.masks[0] is not None for node in graph.nodes if isinstance(node.op, ops.LSTM)]
    # TensorFlow gives the very tensor where there is nothing to convert, and the mask that hangs on it.
    assert masked == [False, False, True, True, True]


def test_ids_that_are_cast(tmp_path: Path) -> None:
    x: Any = keras.Input((None,), name="ids")
    y = layers.LSTM(H)(layers.Embedding(V, E, mask_zero=True)(keras.ops.cast(x, "int32")))
    graph = check(x, y, tmp_path)
    assert graph.inputs[0].dtype == "float32"
    graph = keras_side.read(keras.Model(x, keras.ops.cast(keras.ops.exp(x), "int32")))
    np.testing.assert_array_equal(reference.run(graph, [np.log(np.array([[2.5, 3.5]]))])[0], [[2, 3]])
    with pytest.raises(UnsupportedError, match="dtype='float16'"):
        keras_side.read(keras.Model(x, keras.ops.cast(x, "float16")))


def test_floats_that_are_ids_and_numbers_too(tmp_path: Path) -> None:
    x: Any = keras.Input((6,), name="x")
    table = layers.Embedding(V, E, mask_zero=True)
    y = layers.GRU(H)(table(x))
    z = layers.LSTM(H, return_sequences=True)(table(keras.ops.cast(x, "int32")))
    graph = check(x, [y, z, layers.Dense(2)(x)], tmp_path)
    assert [str(node.op) for node in graph.nodes if isinstance(node.op, ops.ToIds)] == ["ToIds()"] * 2
    whole = np.array([[3, 1, 0, 0, 5, 10]], "float32")
    module, session = torch_side.write(graph), export.Session(tmp_path / "fused.onnx")
    written = keras_side.write(graph)
    runs: list[Callable[[Any], Any]] = [
        lambda array: reference.run(graph, [array]),
        lambda array: keras_side.run(written, [array]),
        lambda array: torch_side.run(module, [array]),
        lambda array: session.run([array]),
    ]
    for run in runs:
        np.testing.assert_allclose(run(whole)[0], runs[0](whole)[0], atol=1e-6)
        for wrong, words in (
            (whole + 0.5, "whole numbers"),
            (whole - 1, "found -1"),
            (whole + 1, "found 11"),
        ):
            with pytest.raises(InputError, match=words):
                run(wrong)
    with pytest.raises(ValueError, match="whole numbers"):
        module(torch.from_numpy(whole + 0.5))
    assert verify(written, module, inputs=[whole], gradients=True).ok


def test_floats_that_become_ids_in_another_shape(tmp_path: Path) -> None:
    x: Any = keras.Input((5, 1), name="x")
    flat = layers.Dropout(0.1)(layers.Reshape((5,))(x))
    graph = check(x, layers.LSTM(H)(layers.Embedding(V, E, mask_zero=True)(flat)), tmp_path)
    assert inputs.id_bounds(graph) == {"x": V}
    with pytest.raises(InputError, match="whole numbers"):
        export.Session(tmp_path / "fused.onnx").run([np.full((1, 5, 1), 2.5)])
    scores: Any = keras.ops.sigmoid(layers.Dense(5)(layers.Flatten()(x)))
    made = layers.Embedding(V, E)(scores * (V - 1))
    graph = check(x, made, tmp_path)
    assert graph.nodes[-2].op == ops.Cast(output_dtype="int32")


def test_the_size_of_an_attention_is_its_own(tmp_path: Path) -> None:
    ids = tokens()
    x = layers.Embedding(V, E, mask_zero=True)(ids)
    y = layers.MultiHeadAttention(2, 3, value_dim=2, output_shape=7, name="looks")(x, x)
    z = layers.MultiHeadAttention(2, 3, output_shape=(5,), use_bias=False, flash_attention=False)(y, y)
    graph = check(ids, [y, z], tmp_path)
    assert graph.tensors["looks"].shape == ("N", "T", 7)
    wide = keras.Input((5, 4))
    attended = layers.MultiHeadAttention(2, 3, output_shape=(2, 3))(wide, wide)
    with pytest.raises(UnsupportedError, match="output_shape"):
        keras_side.read(keras.Model(wide, attended))


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`:UserWarning")
def test_scaled_and_not_centred(tmp_path: Path) -> None:
    x = keras.Input((4, E), name="x")
    y = layers.LayerNormalization(rms_scaling=True, epsilon=1e-2)(x)
    y = layers.LayerNormalization(axis=[1, 2], rms_scaling=True, center=False)(layers.Dense(3)(y))
    check(x, layers.LayerNormalization(axis=1, rms_scaling=True, scale=False)(y), tmp_path)


def trained(between: Any) -> Any:
    ids = tokens()
    x = layers.Embedding(V, E, mask_zero=True)(ids)
    return ids, between(x)


def nested(*parts: Any) -> Any:
    """A model inside."""
    return keras.Sequential([keras.Input((None, E)), *parts])


def never_dropping() -> Any:
    x = keras.Input((None, E))
    return keras.Model(x, layers.Dropout(0.5)(x, training=False))


def test_told_to_train_where_that_means_nothing(tmp_path: Path) -> None:
    def between(x: Any) -> Any:
        x = layers.Dropout(0.4)(x, training=False)
        x = layers.BatchNormalization()(x, training=False)
        x = layers.Dropout(0.0)(x, training=True)
        x = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(x, training=True)
        x = layers.MultiHeadAttention(2, 2)(x, x, training=True)
        x = nested(layers.Dense(E), layers.GRU(H, return_sequences=True))(x, training=True)
        x = layers.TimeDistributed(layers.Dense(E))(x, training=True)
        # What the layer inside says counts for more.
        return never_dropping()(x, training=True)

    ids, y = trained(between)
    check(ids, y, tmp_path)


TRAINING: dict[str, Callable[[Any], Any]] = {
    "Dropout": lambda x: layers.Dropout(0.4)(x, training=True),
    "SpatialDropout1D": lambda x: layers.SpatialDropout1D(0.4)(x, training=True),
    "BatchNormalization": lambda x: layers.BatchNormalization(momentum=0.0)(x, training=True),
    "LSTM": lambda x: layers.LSTM(H, recurrent_dropout=0.2)(x, training=True),
    "Bidirectional": lambda x: layers.Bidirectional(layers.GRU(H, dropout=0.2))(x, training=True),
    "RNN": lambda x: layers.RNN(
        layers.StackedRNNCells([layers.LSTMCell(2), layers.LSTMCell(2, dropout=0.1)])
    )(x, training=True),
    "MultiHeadAttention": lambda x: layers.MultiHeadAttention(2, 2, dropout=0.1)(x, x, training=True),
    "Attention": lambda x: layers.Attention(dropout=0.1)([x, x], training=True),
    "TimeDistributed": lambda x: layers.TimeDistributed(layers.Dropout(0.1))(x, training=True),
    "inside": lambda x: nested(layers.Dense(E), layers.Dropout(0.5, name="dropping"))(x, training=True),
}


@pytest.mark.parametrize("name", TRAINING)
def test_told_to_train_where_that_goes_on_at_inference(name: str) -> None:
    model = keras.Model(*trained(TRAINING[name]))
    with pytest.raises(
        UnsupportedError, match="'dropping'.*training=True" if name == "inside" else "training=True"
    ):
        keras_side.read(model)


def described(neutral: bool) -> keras.Model:
    """A model, plain or full of settings that change nothing at inference."""

    def given(**settings: Any) -> dict[str, Any]:
        return settings if neutral else {}

    penalty, limit = keras.regularizers.L1L2(0.1, 0.2), keras.constraints.MaxNorm(9)
    trained = given(
        kernel_regularizer=penalty, kernel_constraint=limit, bias_initializer="ones", trainable=False
    )
    ids = keras.Input((5,), dtype="int32", name="ids")
    x = layers.Embedding(V, E, name="table", **given(embeddings_initializer="zeros", autocast=False))(ids)
    x = layers.Dropout(0.2, name="drop", **given(seed=3, noise_shape=(None, None, None)))(x)
    scanned = given(unroll=True, recurrent_regularizer="l2", seed=4, implementation=1, use_cudnn=False)
    x = layers.LSTM(H, return_sequences=True, name="scan", **trained, **scanned)(x)
    x = layers.Conv1D(H, 2, padding="same", name="narrow", **trained)(x)
    x = layers.BatchNormalization(name="norm", **given(beta_regularizer=penalty, gamma_initializer="zeros"))(
        x
    )
    x = layers.ReLU(name="relu", **given(activity_regularizer=penalty, dtype=keras.DTypePolicy("float32")))(x)
    x = layers.MultiHeadAttention(2, 2, name="looks", **trained, **given(attention_axes=(1,), seed=1))(x, x)
    return quiet_model(ids, layers.Dense(2, name="head", **trained, **given(activity_regularizer="l1"))(x))


@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
def test_what_changes_nothing_at_inference_is_read_past(tmp_path: Path) -> None:
    plain, neutral = described(False), described(True)
    neutral.set_weights(plain.get_weights())
    graph = keras_side.read(neutral)
    assert graph == keras_side.read(plain)
    neutral.save(tmp_path / "neutral.keras")
    assert keras_side.read(tmp_path / "neutral.keras") == graph
    rows = np.random.default_rng(0).integers(0, V, (3, 5)).astype("int32")
    np.testing.assert_allclose(np.asarray(neutral(rows)), reference.run(graph, [rows])[0], atol=1e-5)
