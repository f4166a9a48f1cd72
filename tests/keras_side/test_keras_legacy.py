"""Files of Keras 2 as ``tf_keras`` writes them, read without it and held against what it computes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_side
from biport import reference
from biport.errors import UnsupportedError, UnsupportedModelError

tf_keras: Any = importlib.import_module("tf_keras")
tf: Any = importlib.import_module("tensorflow")
layers: Any = tf_keras.layers

V, E, T = 11, 4, 7
Case = tuple[Any, Sequence[np.ndarray]]
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")


@pytest.fixture(autouse=True)
def _one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers as a CPU computes them: to trace them for a GPU too takes a second a layer."""
    never = property(lambda layer: False, lambda layer, could: None)
    for layer in (layers.LSTM, layers.GRU):
        monkeypatch.setattr(layer, "_could_use_gpu_kernel", never, raising=False)


def ids(seed: int = 0) -> np.ndarray:
    """Rows without padding, padded right, left, with holes, all padding, one valid step: ``(6, T)``."""
    rows = np.random.default_rng(seed).integers(1, V, (6, T)).astype("int32")
    rows[1, 4:] = 0
    rows[2, :3] = 0
    rows[3, [0, 2, 5]] = 0
    rows[4] = 0
    rows[5, 1:] = 0
    return rows


X, Y = ids(0), ids(1)[:, ::-1].copy()
FEATURES = np.random.default_rng(2).normal(size=(6, T, 3)).astype("float32")
STATE = np.random.default_rng(3).normal(size=(6, 3)).astype("float32")


def tokens() -> Any:
    return tf_keras.Input((None,), dtype="int32")


def features() -> Any:
    return tf_keras.Input((None, 3))


def embedded(x: Any, size: int = E) -> Any:
    return layers.Embedding(V, size, mask_zero=True)(x)


def stack(*following: Any, length: int | None = None, masked: bool = True) -> Case:
    """A Sequential model that begins with an Embedding and has no InputLayer."""
    shape = {"input_shape": (None,)} if length is None else {"input_length": length}
    return tf_keras.Sequential([layers.Embedding(V, 5, mask_zero=masked, **shape), *following]), [X]


def functional(inputs: Any, outputs: Any, *arrays: np.ndarray) -> Case:
    return tf_keras.Model(inputs, outputs), arrays


def of_two(merge: Any) -> Case:
    i, j = tokens(), tokens()
    merged = merge([embedded(i), embedded(j)])
    return functional([i, j], layers.SimpleRNN(3, return_sequences=True)(merged), X, Y)


def of_features(merge: Any) -> Case:
    i, f = tokens(), features()
    return functional(
        [i, f], layers.SimpleRNN(3, return_sequences=True)(merge([embedded(i, 3), f])), X, FEATURES
    )


def sentiment() -> Case:
    return stack(
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.Bidirectional(layers.LSTM(4), merge_mode="sum"),
        layers.Dropout(0.3),
        layers.Dense(1, activation="sigmoid"),
        length=T,
    )


def trained() -> Case:
    """With the state of an optimizer beside the weights."""
    model, arrays = stack(layers.Bidirectional(layers.SimpleRNN(3)), layers.Dense(1, activation="sigmoid"))
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(X, np.arange(6) % 2, verbose=0)
    return model, arrays


def hard_sigmoids() -> Case:
    return stack(
        layers.LSTM(3, recurrent_activation="hard_sigmoid", return_sequences=True),
        layers.Bidirectional(layers.SimpleRNN(3, go_backwards=True, return_sequences=True)),
        layers.Bidirectional(layers.GRU(3, recurrent_activation="hard_sigmoid", reset_after=False)),
        layers.Dense(2, activation="hard_sigmoid"),
        layers.Activation("hard_sigmoid"),
    )


def convolution() -> Case:
    return stack(
        layers.SpatialDropout1D(0.2),
        layers.Conv1D(4, 3, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling1D(2),
        layers.LSTM(3, return_sequences=True),
        layers.GlobalMaxPooling1D(),
        layers.Dense(2),
        length=T,
        masked=False,
    )


def shapes() -> Case:
    return stack(
        *(layers.Permute((2, 1)), layers.Cropping1D(1), layers.ZeroPadding1D(2), layers.UpSampling1D(2)),
        *(layers.GRU(2), layers.RepeatVector(3), layers.GaussianNoise(0.1), layers.AveragePooling1D(2)),
        layers.GlobalAveragePooling1D(),
        length=T,
        masked=False,
    )


def advanced_activations() -> Case:
    return stack(
        layers.LSTM(4, return_sequences=True),
        layers.LayerNormalization(axis=[2, 1]),  # weights of (4, 7), laid over steps and features as (7, 4)
        *(layers.Flatten(), layers.Reshape((4, 7)), layers.LSTM(2), layers.LeakyReLU()),
        layers.Dense(3, activation=layers.LeakyReLU(alpha=0.35)),
        *(layers.ELU(0.5), layers.PReLU(), layers.ReLU(2.0, 0.1, 0.2), layers.ThresholdedReLU(0.1)),
        *(layers.LayerNormalization(), layers.Softmax()),
        length=T,
        masked=False,
    )


def sequence_to_sequence() -> Case:
    i, j = tokens(), tokens()
    _, h, c = layers.LSTM(3, return_state=True)(embedded(i))
    out, _, _ = layers.LSTM(3, return_sequences=True, return_state=True)(embedded(j), initial_state=[h, c])
    return functional([i, j], layers.Dense(5, activation="softmax")(out), X, Y)


def decoder() -> Case:
    """One step with its states as inputs and outputs."""
    i, h, c = tokens(), tf_keras.Input((3,)), tf_keras.Input((3,))
    out, *states = layers.LSTM(3, return_sequences=True, return_state=True)(embedded(i), initial_state=[h, c])
    return functional([i, h, c], [layers.Dense(5)(out), *states], X[:, :1], STATE, STATE[::-1].copy())


def shared_models() -> Case:
    """A model with statistics and a frozen layer, called twice."""
    i, j = tokens(), tokens()
    inner = tf_keras.Sequential(
        [
            tf_keras.Input((None, E)),
            layers.Dense(E, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dense(E, trainable=False),
        ]
    )
    one, two = inner(embedded(i)), inner(embedded(j))
    return functional([i, j], [layers.LSTM(3)(layers.Add()([one, two])), two], X, Y)


def frozen_model() -> Case:
    i, x = tokens(), tf_keras.Input((None, E))
    gru = layers.Bidirectional(layers.GRU(3, return_sequences=True))
    inner = tf_keras.Model(x, gru(layers.BatchNormalization()(x)), name="inner")
    inner.trainable = False
    return functional(i, [inner(embedded(i)), layers.LSTM(2)(inner(embedded(i)))], X)


def nested_sequential() -> Case:
    inner = tf_keras.Sequential([layers.Embedding(V, 3, mask_zero=True, input_length=T), layers.Dense(3)])
    return tf_keras.Sequential([inner, layers.LSTM(2)]), [X]


def built_later() -> Case:
    model = tf_keras.Sequential([layers.Embedding(V, 3), layers.LSTM(2)])
    model.build((None, T))
    return model, [X]


def called_twice() -> Case:
    i, j, shared = tokens(), tokens(), layers.LSTM(3, return_sequences=True)
    return functional([i, j], layers.Concatenate()([shared(embedded(i)), shared(embedded(j))]), X, Y)


def given_mask() -> Case:
    i = tokens()
    gru = layers.GRU(3, return_sequences=True)(layers.Embedding(V, E)(i), mask=tf.not_equal(i, 3))
    return functional(i, [gru, layers.GlobalAveragePooling1D()(gru)], X)


def masks_joined_by_operations() -> Case:
    i, j = tokens(), tokens()
    mask = tf.math.logical_and(tf.not_equal(i, 0), tf.not_equal(j, 0))
    return functional([i, j], layers.LSTM(3)(layers.Embedding(V, E)(i), mask=mask), X, Y)


def masking() -> Case:
    f = features()
    padded = np.where((X != 0)[..., None], FEATURES, np.float32(0.5))
    return functional(f, layers.LSTM(3, return_sequences=True)(layers.Masking(0.5)(f)), padded)


def initial_states() -> Case:
    i, h = tokens(), tf_keras.Input((3,))
    lstm = layers.LSTM(3, return_sequences=True)(embedded(i), initial_state=[h, h])
    both = layers.Bidirectional(layers.GRU(3, return_sequences=True))(embedded(i), initial_state=[h, h])
    return functional([i, h], [lstm, both], X, STATE)


def states_out() -> Case:
    i = tokens()
    lstm = layers.LSTM(3, return_state=True, return_sequences=True)(embedded(i))
    both = layers.Bidirectional(layers.LSTM(3, return_state=True, return_sequences=True))(embedded(i))
    return functional(i, [*lstm, *both], X)


def operations() -> Case:
    f = features()
    x = layers.Dense(4)(f)
    result = tf.nn.relu(x + x * x) - tf.tanh(x)
    return functional(f, [result, tf.concat([tf.nn.softmax(x), x], -1)], FEATURES)


def attention() -> Case:
    """Each kind under masks; those of many heads leave the masks where they are."""
    i = tokens()
    x = embedded(i)
    y = layers.MultiHeadAttention(2, 3, value_dim=2)(x, x, use_causal_mask=True)
    y = layers.AdditiveAttention()([y, x])
    y = layers.Attention(use_scale=True, score_mode="concat")([y, x, x])
    y = layers.MultiHeadAttention(1, 2, use_bias=False)(y, x)
    return functional(i, [layers.GRU(3)(y), layers.Attention()([x, y], use_causal_mask=True)], ids())


def cells() -> Case:
    return stack(
        layers.RNN([layers.LSTMCell(3), layers.GRUCell(2), layers.LSTMCell(4)], return_sequences=True),
        layers.RNN(layers.SimpleRNNCell(3)),
    )


def own_backward_layer() -> Case:
    backward = layers.GRU(2, return_sequences=True, go_backwards=True)
    return stack(layers.Bidirectional(layers.LSTM(3, return_sequences=True), backward_layer=backward))


def tagger(kind: str) -> Case:
    recurrent = getattr(layers, kind)(3, return_sequences=True)
    return stack(recurrent, layers.TimeDistributed(layers.Dense(4, activation="softmax")))


def both_ways(kind: str, merge: str) -> Case:
    direction = getattr(layers, kind)(3, return_sequences=True)
    return stack(layers.Bidirectional(direction, merge_mode=merge), layers.Dense(2))


def normalized() -> Case:
    """Neither of the first two passes a mask on, as it does in Keras 3."""
    i = tokens()
    norm = layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[0.5, 1.0, 0.7, 0.1])
    groups = layers.GroupNormalization(2)(layers.Embedding(V, 4)(i))
    ends = [layers.LSTM(3)(norm(embedded(i))), layers.GRU(2)(layers.Rescaling(0.1, 0.3)(embedded(i)))]
    return functional(i, [*ends, groups], X)


STEPS = np.random.default_rng(9).integers(0, V, (3, 4, 5)).astype("int32")
STEPS[0, 1] = STEPS[1, 2:] = STEPS[2, :, 0] = 0
"""Sentences, some of padding alone."""


def hierarchical() -> Case:
    """A model at every step, whose mask goes on where there is one: to the next one of its words."""
    words = layers.Input((5,), dtype="int32")
    sequences = tf_keras.Model(words, layers.GRU(2, return_sequences=True)(embedded(words)))
    last = tf_keras.Model(words, layers.Bidirectional(layers.LSTM(2))(embedded(words)))
    text = layers.Input((4, 5), dtype="int32")
    ends = [
        layers.GRU(2)(layers.TimeDistributed(layers.LSTM(3))(layers.TimeDistributed(sequences)(text))),
        layers.GRU(2)(layers.TimeDistributed(last)(text)),
    ]
    return functional(text, ends, STEPS)


def words_masked() -> Case:
    """The mask of words becomes one of sentences where a layer at every step ends it."""
    text = layers.Input((4, 5), dtype="int32")
    x = layers.Embedding(V, E, mask_zero=True)(text)
    each = layers.TimeDistributed(layers.Dense(3))(x)
    looked_up = layers.TimeDistributed(layers.Embedding(V, E, mask_zero=True))(text)
    ends = [
        layers.GRU(2)(layers.TimeDistributed(layers.LSTM(3))(each)),
        layers.GRU(2)(layers.TimeDistributed(tf_keras.Sequential([layers.Dense(3), layers.LSTM(2)]))(x)),
        layers.GRU(2)(layers.TimeDistributed(layers.LSTM(3))(looked_up)),
    ]
    return functional(text, ends, STEPS)


def features_masked() -> Case:
    features = np.random.default_rng(2).normal(size=(3, 4, 5, 2)).astype("float32") * (STEPS != 0)[..., None]
    text = layers.Input((4, 5, 2))
    masked = layers.TimeDistributed(layers.Masking())(text)
    ends = [
        layers.GRU(2)(layers.TimeDistributed(layers.LSTM(3))(masked)),
        layers.GRU(2)(layers.TimeDistributed(layers.LSTM(3))(layers.Masking()(text))),
        layers.TimeDistributed(layers.LSTM(2))(
            layers.TimeDistributed(layers.TimeDistributed(layers.Dense(2)))(masked)
        ),
    ]
    return functional(text, ends, features)


KINDS = ("GRU", "LSTM", "SimpleRNN")
MERGES = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
MODELS: dict[str, Callable[[], Case]] = {
    **{f"tagger {kind}": lambda kind=kind: tagger(kind) for kind in KINDS},
    **{
        f"both ways {kind} {merge}": lambda kind=kind, merge=merge: both_ways(kind, merge)
        for kind, merge in zip(KINDS * 2, ("concat", "sum", "mul", "ave", "concat", "sum"), strict=True)
    },
    **{f"two masks {name}": lambda name=name: of_two(getattr(layers, name)()) for name in MERGES},
    "two masks in time": lambda: of_two(layers.Concatenate(axis=1)),
    **{f"one mask {name}": lambda name=name: of_features(getattr(layers, name)()) for name in MERGES},
    "sentiment": sentiment,
    "trained": trained,
    "hard sigmoids": hard_sigmoids,
    "convolution": convolution,
    "shapes": shapes,
    "advanced activations": advanced_activations,
    "sequence to sequence": sequence_to_sequence,
    "decoder": decoder,
    "shared models": shared_models,
    "frozen model": frozen_model,
    "nested sequential": nested_sequential,
    "built later": built_later,
    "called twice": called_twice,
    "given mask": given_mask,
    "masks joined by operations": masks_joined_by_operations,
    "masking": masking,
    "initial states": initial_states,
    "states out": states_out,
    "operations": operations,
    "attention": attention,
    "normalized": normalized,
    "cells": cells,
    "hierarchical": hierarchical,
    "words masked": words_masked,
    "features masked": features_masked,
    "own backward layer": own_backward_layer,
    "backwards": lambda: stack(
        layers.LSTM(3, go_backwards=True, return_sequences=True), layers.GRU(3, use_bias=False)
    ),
}


def randomized(model: Any, seed: int = 0) -> Any:
    """Every weight random and not zero, variances positive."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(0, 0.5, weight.shape)
        weight.assign(np.abs(values) + 0.2 if "variance" in weight.name else values)
    return model


def outputs_of(model: Any, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    outputs = model(list(arrays) if len(arrays) > 1 else arrays[0], training=False)
    return [part.numpy() for part in (outputs if isinstance(outputs, list) else [outputs])]


def assert_read(
    path: Path, arrays: Sequence[np.ndarray], wanted: Sequence[np.ndarray], config: Any = None
) -> None:
    graph = keras_side.read(path, config)
    wide = [array.astype("float64") if array.dtype.kind == "f" else array for array in arrays]
    for one, two in zip(reference.run(graph.astype("float64"), wide), wanted, strict=True):
        np.testing.assert_allclose(one, two, rtol=3e-6, atol=3e-6)


SWEPT = {
    "frozen model",
    "trained",
    "states out",
    "both ways GRU concat",
    "both ways GRU ave",
    "both ways LSTM sum",
    "tagger GRU",
    "called twice",
    "hierarchical",
    "words masked",
    "features masked",
    *(
        f"{masks} {name}"
        for masks in ("one mask", "two masks")
        for name in {*MERGES} - {"Add", "Concatenate"}
    ),
}
"""Whose parts other models have, and which take a second or more."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.sweep) if name in SWEPT else name for name in MODELS]
)
def test_a_file_means_what_it_meant(name: str, tmp_path: Path) -> None:
    model, arrays = MODELS[name]()
    wanted = outputs_of(randomized(model), arrays)
    for suffix in (".h5", ".keras"):
        path = tmp_path / f"model{suffix}"
        model.save(path)
        assert_read(path, arrays, wanted)


@pytest.mark.cover(1)
@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
@pytest.mark.parametrize(
    "name", ["sentiment", "shared models", pytest.param("frozen model", marks=pytest.mark.sweep), "cells"]
)
def test_weights_alone(name: str, suffix: str, tmp_path: Path) -> None:
    model, arrays = MODELS[name]()
    wanted = outputs_of(randomized(model), arrays)
    path, config = tmp_path / f"w{suffix}", tmp_path / "model.json"
    model.save_weights(path)
    config.write_text(model.to_json())
    assert_read(path, arrays, wanted, config)


def test_layers_of_another_session_are_taken_in_order(tmp_path: Path) -> None:
    model, arrays = sentiment()
    other, _ = sentiment()
    assert [layer.name for layer in model.layers] != [layer.name for layer in other.layers]
    wanted = outputs_of(randomized(model), arrays)
    model.save_weights(tmp_path / "w.h5")
    (tmp_path / "model.json").write_text(other.to_json())
    assert_read(tmp_path / "w.h5", arrays, wanted, tmp_path / "model.json")


def cudnn(kind: str) -> tuple[Any, Any]:
    """A model of CuDNN's layers, which need a GPU to run, and the same of Keras' own."""
    module = importlib.import_module(f"tf_keras.src.layers.rnn.cudnn_{kind.lower()}")
    old = getattr(module, f"CuDNN{kind}")
    settings = {"reset_after": True} if kind == "GRU" else {}
    new = getattr(layers, kind)

    def model(layer: Any, **options: Any) -> Any:
        return tf_keras.Sequential(
            [
                layers.Embedding(V, 5, input_length=T, name="embedding"),
                layers.Bidirectional(layer(3, return_sequences=True, **options), name="both"),
                layer(4, name="last", **options),
            ]
        )

    return model(old), model(new, **settings)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_layers_of_cudnn(kind: str, tmp_path: Path) -> None:
    model, plain = cudnn(kind)
    randomized(model).save(tmp_path / "cudnn.h5")
    model.save_weights(tmp_path / "weights.h5")
    plain.load_weights(tmp_path / "weights.h5")
    wanted = outputs_of(plain, [X])
    assert_read(tmp_path / "cudnn.h5", [X], wanted)
    model.save(tmp_path / "cudnn.keras")
    assert_read(tmp_path / "cudnn.keras", [X], wanted)


def test_kernels_of_theano_are_turned_round(tmp_path: Path) -> None:
    model, arrays = MODELS["convolution"]()
    wanted = outputs_of(randomized(model), arrays)
    path = tmp_path / "model.h5"
    model.save(path)
    with h5py.File(path, "r+") as file:
        weights: Any = file["model_weights"]
        (name,) = [name for name in weights if name.startswith("conv1d")]
        kernel = weights[f"{name}/{name}/kernel:0"]
        kernel[...] = kernel[...][::-1]
        for group in (file, weights):
            group.attrs["backend"] = "theano"
            group.attrs["keras_version"] = "2.2.4"
    assert_read(path, arrays, wanted)
    with h5py.File(path, "r+") as file:
        for group in (file, file["model_weights"]):
            group.attrs["backend"] = "tensorflow"
    with pytest.raises(AssertionError):
        assert_read(path, arrays, wanted)


def test_scores_of_many_heads_under_masks_are_refused(tmp_path: Path) -> None:
    """They carry a mask there, and a query that is padding weighs all values alike."""
    i = tokens()
    x = embedded(i)
    outputs = layers.MultiHeadAttention(1, 3)(x, x, return_attention_scores=True)
    tf_keras.Model(i, outputs).save(tmp_path / "model.h5")
    with pytest.raises(UnsupportedModelError, match="return_attention_scores=True"):
        keras_side.read(tmp_path / "model.h5")


def test_adapted_statistics_are_read(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(1, 2, (7, 4, 3)).astype("float32")
    x = tf_keras.Input((4, 3))
    norms = [layers.Normalization(axis=axis, invert=axis is None) for axis in (-1, (1, 2), None)]
    for norm in norms:
        norm.adapt(data)
    model = tf_keras.Model(x, [layers.Dense(2)(norm(x)) for norm in norms])
    for suffix in (".h5", ".keras"):
        model.save(tmp_path / f"model{suffix}")
        assert_read(tmp_path / f"model{suffix}", [data], outputs_of(model, [data]))


def test_dropout_says_nothing_of_a_row_of_padding_there(tmp_path: Path) -> None:
    """In Keras 3 such a row weighs no value where there is a dropout; before, all of them alike."""
    i = tokens()
    x = embedded(i)
    tf_keras.Model(i, layers.MultiHeadAttention(1, 3, dropout=0.2)(x, x)).save(tmp_path / "model.h5")
    with pytest.raises(UnsupportedModelError, match=r"dropout=0\.2"):
        keras_side.read(tmp_path / "model.h5")


def test_an_attention_mask_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    q, v = tf_keras.Input((4, 3)), tf_keras.Input((5, 3))
    mask = tf_keras.Input((4, 5), dtype="bool")
    model = tf_keras.Model([q, v, mask], layers.MultiHeadAttention(2, 3)(q, v, attention_mask=mask))
    arrays = [rng.normal(size=(3, size, 3)).astype("float32") for size in (4, 5)]
    arrays.append(rng.random((3, 4, 5)) < 0.5)
    arrays[-1][:, 1] = False
    for suffix in (".h5", ".keras"):
        randomized(model).save(tmp_path / f"model{suffix}")
        assert_read(tmp_path / f"model{suffix}", arrays, outputs_of(model, arrays))


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_tokens_and_categories_are_read(suffix: str, tmp_path: Path) -> None:
    x = tf_keras.Input((3,), dtype="int64", name="x")
    one = tf_keras.Input((1,), dtype="int64", name="one")
    lookups = [layers.IntegerLookup(vocabulary=[5, 9, 3], num_oov_indices=n, mask_token=0) for n in (1, 2)]
    if suffix == ".keras":
        # HDF5 takes none that are adapted.
        lookups.append(layers.IntegerLookup())
        lookups[-1].adapt(np.array([5, 5, 3, 9, 9, 9]))
    lookups.append(layers.IntegerLookup(vocabulary=[5, 9], output_mode="count"))
    modes = [layers.CategoryEncoding(4, mode)(x) for mode in ("multi_hot", "count")]
    outputs = [*(lookup(x) for lookup in lookups), *modes, layers.CategoryEncoding(4, "one_hot")(one)]
    model = tf_keras.Model([x, one], outputs)
    model.save(tmp_path / f"model{suffix}")
    arrays = [np.array([[3, 1, 0], [2, 0, 3]]), np.array([[2], [3]])]
    assert_read(tmp_path / f"model{suffix}", arrays, outputs_of(model, arrays))


def test_what_cannot_be_read_is_told_all_at_once(tmp_path: Path) -> None:
    f = tf_keras.Input((T, 3), batch_size=6)
    x = layers.Lambda(lambda x: x * 2, name="double")(f)
    y = layers.GRU(2, name="odd", activation=tf.math.erf, stateful=True)(tf.math.cumprod(x))
    z = layers.Dropout(0.1, noise_shape=(6, 1, 3), name="drop")(x)
    inner = tf_keras.Sequential([layers.EinsumDense("nti,io->nto", (None, 2), name="einsum")], name="inner")
    model = tf_keras.Model(f, [y, layers.GlobalMaxPooling1D()(z), inner(x)])
    for suffix in (".h5", ".keras"):
        model.save(tmp_path / f"model{suffix}")
        with pytest.raises(UnsupportedModelError) as caught:
            keras_side.read(tmp_path / f"model{suffix}")
        reasons = caught.value.reasons()
        assert sorted((r["layer"], r["class"], r["setting"]) for r in reasons) == [
            ("double", "Lambda", "class"),
            ("drop", "Dropout", "noise_shape"),
            ("einsum", "EinsumDense", "class"),
            ("odd", "GRU", "activation"),
            ("odd", "GRU", "stateful"),
            ("tf.math.cumprod", "TFOpLambda", "function"),
        ]
        assert all(reason["supported"] for reason in reasons)
        shown = keras_side.inspect(tmp_path / f"model{suffix}")
        assert shown.graph is None
        refused = {row.name for row in shown.rows if row.reasons}
        assert refused == {"drop", "double", "odd", "inner.einsum", "tf.math.cumprod"}


def functions(x: Any, f: Any, i: Any) -> dict[str, Any]:
    """Functions of TensorFlow that ``tf.keras`` records by name, in the ways people call them."""
    backend = tf_keras.backend
    n, t = tf.shape(x)[0], tf.shape(x)[1]
    return {
        "last step": x[:, -1],
        "slices": f[:, 1:-1:2, None],
        "reflected": 1 - x,
        "scaled": x * 0.5 + 1e-3,
        "divided": x / 2.0,
        "powers": 2.0 ** (x**2),
        "products": x @ tf.ones((4, 3)),
        "remainders": (x // 2.0) - (x % 2.0),
        "compared": tf.cast(x > 0, tf.float32) * abs(-x),
        "sums": tf.reduce_sum(x, axis=1),
        "means": tf.math.reduce_mean(x, 1, keepdims=True),
        "largest": tf.reduce_max(x, [1, 2]),
        "deviations": tf.math.reduce_std(x, 1) + tf.math.reduce_variance(x, 1),
        "logsumexp": tf.math.reduce_logsumexp(x, 1),
        "rows": tf.reshape(f, (-1, 24)),
        "shapes asked for": tf.reshape(x, [n, t * 2, 2]),
        "counted": x[:, :, 0] + tf.cast(tf.range(t), tf.float32),
        "zeros": x[:, 0] + tf.zeros([n, 4]),
        "transposed": tf.transpose(x, [0, 2, 1]),
        "turned round": tf.transpose(x),
        "expanded and squeezed": tf.squeeze(tf.expand_dims(x, -1), -1),
        "matrices": tf.matmul(x, f, transpose_b=True),
        "joined": tf.concat([x, f], 1),
        "stacked": tf.stack([x, x * 2], axis=1),
        "split": tf.split(x, 2, axis=-1)[1] + tf.split(x, [1, 2, 1], -1)[1],
        "unstacked": tf.unstack(f, axis=1)[2],
        "chosen": tf.where(x > 0, x, tf.zeros_like(x)) + tf.where(x > 0, x, 0.5),
        "one-hot": tf.one_hot(i, 5),
        "softmax": tf.nn.softmax(x, axis=1) + tf.exp(tf.nn.log_softmax(x)),
        "differences": tf.math.squared_difference(x, x * 2),
        "bounds": tf.maximum(0.0, tf.minimum(x, 0.5)) + tf.clip_by_value(x, -1.0, 1.0),
        "positions": tf.argmax(x, -1),
        "gathered": tf.gather(x, [0, 2], axis=-1),
        "tiled": tf.tile(x, [1, 2, 1]),
        "padded": tf.pad(x, [[0, 0], [1, 1], [0, 0]]),
        "reversed": tf.reverse(x, [1]),
        "tensordot": tf.tensordot(x, tf.ones((4, 3)), axes=1),
        "normalised": tf.math.l2_normalize(x, axis=-1) / tf.norm(x, axis=-1, keepdims=True),
        "cumsum": tf.math.cumsum(x, axis=1),
        "top": tf.math.top_k(x, 2)[0],
        "activations": tf.nn.leaky_relu(x, 0.1) + tf.nn.elu(x) + tf.nn.softplus(x),
        "added": tf.add_n([x, x, tf.identity(x)]),
        "repeated": tf.repeat(x, 2, axis=1),
        "logical": tf.cast(tf.logical_not((x > 0) & (x < 1)), "float32"),
        "backend dot": backend.dot(x, tf.ones((4, 2))),
        "backend batch_dot": backend.batch_dot(x, f, axes=(2, 2)),
        "backend repeat_elements": backend.repeat_elements(x, 2, 1),
        "backend others": backend.sqrt(backend.square(backend.tanh(backend.abs(x)))),
        "integers": i * 2 // 3 - i % 2,
        "by positions": tf.gather_nd(x, tf.stack([tf.range(n), i[:, 0] % 3], axis=1)),
        "of each row": tf.gather(x, i % 3, axis=1, batch_dims=1),
        "turned rows": tf.reverse_sequence(x, i[:, 0] % 4, seq_axis=1),
        "cut and rolled": tf.roll(tf.slice(x, [0, 1, 0], [-1, t - 1, -1]), 1, axis=1)
        + tf.math.erfc(x[:, 1:]),
        "bands": tf.linalg.band_part(tf.matmul(x, x, transpose_b=True), 1, -1),
        "diagonals": tf.linalg.set_diag(
            tf.linalg.diag(x[:, :, 0]), tf.linalg.diag_part(tf.matmul(x, x, transpose_b=True))
        ),
        "biased": tf.nn.bias_add(x, tf.ones(4)) / tf.cast(tf.size(x), tf.float32),
    }


def operation_inputs() -> tuple[list[Any], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    inputs = [tf_keras.Input((None, 4)), tf_keras.Input((6, 4)), tf_keras.Input((None,), dtype="int32")]
    arrays = [rng.normal(size=(3, steps, 4)).astype("float32") for steps in (5, 6)]
    return inputs, [*arrays, rng.integers(0, 7, (3, 5)).astype("int32")]


def test_functions_of_tensorflow(tmp_path: Path) -> None:
    inputs, arrays = operation_inputs()
    calls = functions(*inputs)
    model = tf_keras.Model(inputs, list(calls.values()))
    wanted = outputs_of(model, arrays)
    for suffix in (".h5", ".keras"):
        model.save(tmp_path / f"model{suffix}")
        computed = reference.run(keras_side.read(tmp_path / f"model{suffix}"), arrays, "float32")
        for name, one, two in zip(calls, computed, wanted, strict=True):
            assert one.dtype == two.dtype, name
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6, err_msg=name)


def recorded(label: str, inputs: Sequence[Any], arrays: Sequence[np.ndarray]) -> Any:
    """What a function gives, each of its operations recorded as a message, as TensorFlow 2.0 to 2.3 did."""
    layer_class = importlib.import_module("tf_keras.src.engine.base_layer").TensorFlowOpLayer
    with tf.Graph().as_default() as graph:
        places = [
            tf.compat.v1.placeholder(array.dtype, [None, *tensor.shape[1:]])
            for array, tensor in zip(arrays, inputs, strict=True)
        ]
        output = MESSAGES[label](*places)
    values = {place.name: tensor for place, tensor in zip(places, inputs, strict=True)}
    for operation in graph.get_operations():
        tensors = [values[tensor.name] for tensor in operation.inputs if tensor.name in values]
        if not tensors:
            continue
        constants = {
            place: tf.get_static_value(tensor)
            for place, tensor in enumerate(operation.inputs)
            if tensor.name not in values
        }
        layer = layer_class(
            operation.node_def.SerializeToString(), f"{label.replace(' ', '_')}/{operation.name}", constants
        )
        results = layer(tensors if len(tensors) > 1 else tensors[0])
        results = results if isinstance(results, list | tuple) else [results]
        values |= dict(zip((tensor.name for tensor in operation.outputs), results, strict=True))
    return values[output.name]


MESSAGES: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda x, f, i: (1.0 - x) * 0.5 + x / f[:, :1] - np.arange(4, dtype="float32"),
    "slices": lambda x, f, i: x[:, 1:-1, ::2] + x[:, None, ..., -1][..., :2],
    "last step": lambda x, f, i: x[:, -1],
    "reductions": lambda x, f, i: tf.reduce_sum(x, 1) + tf.reduce_mean(x, [1, 2], keepdims=True)[:, 0],
    "shapes": lambda x, f, i: tf.reshape(tf.transpose(f, [0, 2, 1]), [-1, 24]),
    "shapes asked for": lambda x, f, i: tf.reshape(x, [tf.shape(x)[0], -1, 2]),
    "axes": lambda x, f, i: tf.squeeze(tf.expand_dims(x, 1), 1),
    "products": lambda x, f, i: tf.matmul(x, f, transpose_b=True) + tf.einsum("nti,nsi->nts", x, f),
    "joined": lambda x, f, i: tf.concat([x, tf.stack([f, f * 2.0], 1)[:, 1]], 1),
    "split": lambda x, f, i: tf.split(x, 2, axis=-1)[1] + tf.split(x, [1, 2, 1], -1)[1],
    "unstacked": lambda x, f, i: tf.unstack(f, axis=1)[2],
    "chosen": lambda x, f, i: (
        tf.where(x > 0.0, x, tf.zeros_like(x)) * tf.cast(tf.not_equal(x, 0.0), tf.float32)
    ),
    "integers": lambda x, f, i: tf.one_hot(i * 2 // 3, 5) + tf.gather(x, [0, 2, 1, 3, 0], axis=-1),
    "moved": lambda x, f, i: tf.tile(tf.reverse(tf.pad(x, [[0, 0], [1, 1], [0, 0]]), [1]), [1, 2, 1]),
    "others": lambda x, f, i: tf.nn.softmax(
        tf.nn.leaky_relu(tf.clip_by_value(tf.cumsum(x, 1), -1.0, 1.0), 0.1)
    ),
    "positions": lambda x, f, i: tf.argmax(x, -1),
    "sums from the end": lambda x, f, i: tf.cumsum(x, 1, exclusive=True, reverse=True) + tf.math.erfc(x),
    "of each row": lambda x, f, i: tf.gather(x, i % 3, axis=1, batch_dims=1),
    "mirrored": lambda x, f, i: tf.roll(tf.pad(x, [[0, 0], [0, 0], [1, 1]], "REFLECT"), 1, axis=1),
    "bands": lambda x, f, i: tf.linalg.band_part(tf.matmul(x, x, transpose_b=True), 1, -1),
}


def test_messages_of_tensorflow(tmp_path: Path) -> None:
    inputs, arrays = operation_inputs()
    model = tf_keras.Model(inputs, [recorded(label, inputs, arrays) for label in MESSAGES])
    wanted = outputs_of(model, arrays)
    model.save(tmp_path / "model.h5")
    computed = reference.run(keras_side.read(tmp_path / "model.h5"), arrays, "float32")
    for name, one, two in zip(MESSAGES, computed, wanted, strict=True):
        assert one.dtype == two.dtype, name
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6, err_msg=name)


def test_functions_end_masks_and_make_them(tmp_path: Path) -> None:
    i = tokens()
    h = embedded(i)
    valid = tf.not_equal(i, 0)
    outputs = [
        layers.GlobalAveragePooling1D()(h * 2.0),
        layers.GlobalAveragePooling1D()(h, mask=tf.less(tf.cumsum(tf.ones_like(i), axis=1), 4)),
        layers.GlobalAveragePooling1D()(tf.tanh(h), mask=valid),
        tf.reduce_sum(h * tf.cast(valid, tf.float32)[:, :, None], 1),
    ]
    model = tf_keras.Model(i, outputs)
    wanted = outputs_of(randomized(model), [ids()])
    model.save(tmp_path / "model.h5")
    assert_read(tmp_path / "model.h5", [ids()], wanted)


@pytest.mark.sweep
def test_masks_of_words_become_masks_of_sentences(tmp_path: Path) -> None:
    model, arrays = words_masked()
    randomized(model).save(tmp_path / "model.h5")
    assert_read(tmp_path / "model.h5", arrays, outputs_of(model, arrays))


def test_steps_of_batches_of_one_size_are_masked_otherwise(tmp_path: Path) -> None:
    text = layers.Input((4, 5), batch_size=3, dtype="int32")
    x = layers.Embedding(V, E, mask_zero=True)(text)
    tf_keras.Model(text, layers.TimeDistributed(layers.LSTM(3))(x)).save(tmp_path / "model.h5")
    with pytest.raises(UnsupportedError, match=r"batch size='fixed'.*a batch of any size"):
        keras_side.read(tmp_path / "model.h5")
