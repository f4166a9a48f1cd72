"""Whole models: live and file give one graph, and the graph computes what Keras computes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport import ops
from biport.compare.tolerance import measure
from keras_side.models.sentiment import sentiment
from testing.keras_models import (
    E,
    H,
    O,
    T,
    V,
    check_model,
    embedding,
    features,
    floats,
    live_outputs,
    randomize,
    tiny,
    token_ids,
    tokens,
)

IDS = [token_ids()]
Built = tuple[keras.Model, Sequence[np.ndarray]]


def sequential_with_input() -> Built:
    model = keras.Sequential(
        [tokens(), embedding(), layers.LSTM(H, return_sequences=True), layers.LSTM(2), layers.Dense(O)]
    )
    return model, IDS


def sequential_without_input() -> Built:
    model = keras.Sequential([embedding(), layers.Dropout(0.3), layers.LSTM(H), layers.Dense(O)])
    model.build((None, T))
    return model, IDS


def sequential_built_by_a_call() -> Built:
    model = keras.Sequential([layers.LSTM(H, use_bias=False), layers.Dense(1, "sigmoid")])
    data = [features(6, T, E)]
    model(data[0])
    return model, data


def sequential_in_functional() -> Built:
    inner = keras.Sequential(
        [keras.Input((None, E)), layers.LSTM(H, return_sequences=True, name="a"), layers.LSTM(2, name="b")],
        name="inner",
    )
    ids = tokens()
    return keras.Model(ids, layers.Dense(O)(inner(embedding()(ids)))), IDS


def embedding_in_nested_functional() -> Built:
    inside = keras.Input((None,), dtype="int32", name="inside")
    inner = keras.Model(inside, layers.LSTM(H, return_sequences=True)(embedding()(inside)), name="inner")
    ids = tokens()
    return keras.Model(ids, layers.LSTM(2)(inner(ids))), IDS


def functional_in_functional() -> Built:
    inside = keras.Input((None, E))
    x = layers.Bidirectional(layers.LSTM(H, return_sequences=True))(inside)
    inner = keras.Model(inside, [x, layers.LSTM(2)(x)], name="inner")
    ids = tokens()
    sequence, last = inner(embedding()(ids))
    return keras.Model(ids, [layers.LSTM(O)(sequence), last]), IDS


def embedding_in_nested_sequential() -> Built:
    inner = keras.Sequential(
        [tokens("inside"), embedding(), layers.LSTM(H, return_sequences=True)], name="inner"
    )
    ids = tokens()
    return keras.Model(ids, layers.LSTM(2)(inner(ids))), IDS


def sequential_in_sequential() -> Built:
    inner = keras.Sequential([layers.LSTM(H, return_sequences=True), layers.LSTM(2)], name="inner")
    return keras.Sequential([tokens(), embedding(), inner, layers.Dense(O)]), IDS


def sequential_in_sequential_with_embedding() -> Built:
    inner = keras.Sequential([tokens("inside"), embedding()], name="inner")
    return keras.Sequential([tokens(), inner, layers.LSTM(H), layers.Dense(O)]), IDS


def functional_in_sequential() -> Built:
    inside = keras.Input((None, E))
    inner = keras.Model(inside, layers.LSTM(H, return_sequences=True)(inside), name="inner")
    return keras.Sequential([tokens(), embedding(), inner, layers.LSTM(2)]), IDS


def nested_integers_under_a_float_input() -> Built:
    """An input is a float where nobody says otherwise; it holds ids all the same."""
    inside = keras.Input((None,), dtype="int32", name="inside")
    inner = keras.Model(inside, layers.LSTM(H)(embedding()(inside)), name="inner")
    return keras.Sequential([keras.Input((None,)), inner, layers.Dense(2)]), IDS


def nested_model_called_twice() -> Built:
    inner = keras.Sequential([keras.Input((None, E)), layers.LSTM(H, name="a")], name="inner")
    one, two = tokens("one"), tokens("two")
    table = embedding()
    joined = layers.Concatenate()([inner(table(one)), inner(table(two))])
    return keras.Model([one, two], layers.Dense(2)(joined)), [token_ids(), token_ids(steps=9, seed=4)]


def shared_layers() -> Built:
    one, two = tokens("one"), tokens("two")
    table, lstm = embedding(), layers.Bidirectional(layers.LSTM(H), name="shared")
    joined = layers.Concatenate(name="joined")([lstm(table(one)), lstm(table(two))])
    return keras.Model([one, two], layers.Dense(2)(joined)), [token_ids(), token_ids(steps=9, seed=4)]


def several_inputs_and_outputs() -> Built:
    ids, wide, flat = tokens(), keras.Input((None, 2), name="wide"), keras.Input((6,), name="flat")
    x = layers.LSTM(H, name="text")(embedding()(ids))
    y = layers.LSTM(O, name="signal")(wide)
    joined = layers.Concatenate()([flat, y, x])
    model = keras.Model([flat, ids, wide], [layers.Dense(2)(joined), x, layers.Dense(1)(y)])
    return model, [features(6, 6), token_ids(), features(6, 10, 2, seed=3)]


def inputs_in_a_mapping() -> Built:
    ids, flat = tokens("zeta"), keras.Input((6,), name="alpha")
    x = layers.Concatenate()([layers.LSTM(H)(embedding()(ids)), flat])
    return keras.Model({"zeta": ids, "alpha": flat}, layers.Dense(2)(x)), []


def every_dense_activation() -> Built:
    x = keras.Input((None, E), name="x")
    dense = [layers.Dense(O, name, name=name) for name in ("linear", "sigmoid", "tanh", "relu", "softmax")]
    return keras.Model(x, [*(layer(x) for layer in dense), layers.Dense(2, use_bias=False)(x)]), [
        features(6, T, E)
    ]


def dropouts_and_masked_dense() -> Built:
    ids = tokens()
    x = layers.SpatialDropout1D(0.3)(embedding()(ids))
    x = layers.Dropout(0.4, seed=1)(layers.Dense(6, "tanh")(x))
    lstm = layers.LSTM(H, dropout=0.2, recurrent_dropout=0.1, unit_forget_bias=False)
    return keras.Model(ids, lstm(x)), IDS


def fixed_length() -> Built:
    ids = tokens(steps=T)
    return keras.Model(ids, layers.LSTM(H, unroll=True)(embedding()(ids))), IDS


def fixed_batch() -> Built:
    ids = keras.Input(batch_shape=(6, None), dtype="int32", name="tokens")
    return keras.Model(ids, layers.LSTM(H)(embedding()(ids))), IDS


def sizes_of_one() -> Built:
    ids = tokens()
    x = layers.Bidirectional(layers.LSTM(1, return_sequences=True))(embedding(size=1)(ids))
    return keras.Model(ids, layers.Dense(1, "sigmoid")(layers.LSTM(1)(x))), IDS


def several_layers_of_one_class() -> Built:
    # From the tenth on, a file's sorted order is not the order of the layers.
    x = keras.Input((E,), name="x")
    y = x
    for units in range(2, 14):
        y = layers.Dense(units, "tanh")(y)
    return keras.Model(x, y), [features(6, E)]


BUILDERS: list[Callable[[], Built]] = [
    sequential_with_input,
    sequential_without_input,
    sequential_built_by_a_call,
    sequential_in_functional,
    embedding_in_nested_functional,
    functional_in_functional,
    embedding_in_nested_sequential,
    sequential_in_sequential,
    sequential_in_sequential_with_embedding,
    functional_in_sequential,
    nested_model_called_twice,
    nested_integers_under_a_float_input,
    shared_layers,
    several_inputs_and_outputs,
    every_dense_activation,
    dropouts_and_masked_dense,
    fixed_length,
    fixed_batch,
    sizes_of_one,
    several_layers_of_one_class,
]


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_float64_models_are_read_to_the_last_digit(build: Callable[[], Built], tmp_path: Path) -> None:
    with floats("float64"):
        model, inputs = build()
    check_model(randomize(model), inputs, tmp_path, "float64")


@pytest.mark.parametrize(
    "merge", ["concat", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("sum", "mul", "ave")), None]
)
def test_sentiment_model(merge: str | None, tmp_path: Path) -> None:
    keras.utils.clear_session()  # See the next test.
    model = randomize(sentiment(V, E, units=(H, 2), merge=merge, classes=O))
    graph = check_model(model, IDS, tmp_path)
    assert graph.parameter_count() == model.count_params()
    assert [value.name for value in graph.inputs] == ["tokens"]
    assert graph.outputs == ("classifier",)


def test_sentiment_models_without_merging_can_be_built_again() -> None:
    keras.utils.clear_session()
    for _ in range(3):
        sentiment(V, E, units=(H, 2), merge=None)


def test_unmasked_sentiment_model_has_no_masks(tmp_path: Path) -> None:
    graph = check_model(randomize(sentiment(V, E, units=(H,), masked=False)), IDS, tmp_path)
    assert all(mask is None for node in graph.nodes for mask in node.masks)


def test_masks_change_the_result() -> None:
    """Without this the tests above could not tell a mask from none."""
    masked = randomize(sentiment(V, E, units=(H,)))
    unmasked = sentiment(V, E, units=(H,), masked=False)
    unmasked.set_weights(masked.get_weights())
    (one,), (two,) = live_outputs(masked, IDS), live_outputs(unmasked, IDS)
    assert measure({"": one}, {"": two}).maximum > 1e-3


def test_mapping_outputs_come_in_the_order_of_their_keys() -> None:
    ids = tokens()
    x = layers.LSTM(H)(embedding()(ids))
    model = randomize(keras.Model(ids, {"z": layers.Dense(1)(x), "a": layers.Dense(2)(x)}))
    expected = model(token_ids(), training=False)
    outputs = keras_side.run(model, IDS)
    np.testing.assert_array_equal(outputs[0], np.array(expected["a"]))
    np.testing.assert_array_equal(outputs[1], np.array(expected["z"]))


def test_mapping_inputs_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    model, _ = inputs_in_a_mapping()
    randomize(model)
    graph = keras_side.read(model)
    assert [value.name for value in graph.inputs] == ["alpha", "zeta"]
    ids, flat = token_ids(), features(6, 6)
    expected = np.array(model({"zeta": ids, "alpha": flat}, training=False))
    (output,) = keras_side.run(model, [flat, ids], graph)
    np.testing.assert_array_equal(output, expected)


def test_reading_copies_the_weights() -> None:
    model = tiny()
    graph = keras_side.read(model)
    before = graph.digest()
    randomize(model, seed=9)
    assert graph.digest() == before
    assert keras_side.read(model).digest() != before


def test_weights_are_the_layers_own_bit_for_bit() -> None:
    model = tiny()
    op = keras_side.read(model)["lstm"].op
    assert isinstance(op, ops.LSTM)
    kernel, recurrent, bias = model.get_layer("lstm").get_weights()
    assert op.bias_ih is not None
    assert op.bias_hh is None
    for position, gate in enumerate("ifco"):
        part = slice(position * H, (position + 1) * H)
        np.testing.assert_array_equal(op.weight_ih[gate], kernel[:, part].T)
        np.testing.assert_array_equal(op.weight_hh[gate], recurrent[:, part].T)
        np.testing.assert_array_equal(op.bias_ih[gate], bias[part])


def test_a_layer_called_twice_is_one_op() -> None:
    graph = keras_side.read(randomize(shared_layers()[0]))
    shared = [node for node in graph.nodes if isinstance(node.op, ops.Bidirectional)]
    assert len(shared) == 2
    assert shared[0].op is shared[1].op


RULE = "input_size=5, hidden_size=3, return_sequences, zero_output_for_mask"
GOLDEN = f"""\
graph(tokens: int32 (N, T)) -> classifier
  embedding       : float32 (N, T, 5) = Embedding(num_embeddings=13, embedding_dim=5, mask_zero)(tokens)
  spatial_dropout : float32 (N, T, 5) = SpatialDropout1D(rate=0.25)(embedding)
  embedding_mask  : bool (N, T)       = NotEqual()(tokens)
  bilstm_1        : float32 (N, T, 6) = Bidirectional(LSTM({RULE}), merge=concat)(spatial_dropout | embedding_mask)
  bilstm_2        : float32 (N, 4)    = Bidirectional(LSTM(input_size=6, hidden_size=2), merge=concat)(bilstm_1 | embedding_mask)
  dropout         : float32 (N, 4)    = Dropout(rate=0.25)(bilstm_2)
  classifier      : float32 (N, 1)    = Dense(input_size=4, output_size=1, activation=sigmoid)(dropout)
"""  # noqa: E501


def test_golden_text() -> None:
    lines = str(keras_side.read(sentiment(V, E, units=(H, 2), dropout=0.25))).splitlines()
    assert lines == GOLDEN.splitlines()


CODE = """
import sys, keras_side
print(*(keras_side.read(path).digest() for path in sys.argv[1:]))
heavy = {"keras", "tensorflow", "torch", "onnx", "onnxruntime", "h5py"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_file_is_read_without_any_framework(tmp_path: Path) -> None:
    model, files = tiny(), [tmp_path / "tiny.keras", tmp_path / "tiny.h5"]
    for file in files:
        model.save(file)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [keras_side.read(model).digest()] * 2
