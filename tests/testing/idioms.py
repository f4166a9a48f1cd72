"""Functional Keras models the way people write them: layers joined by operations on tensors.

Each stands for a habit seen in published models and tutorials; none has anything to do with how biport works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

ops: Any = keras.ops
STEPS, FEATURES, ROWS = 6, 3, 11
"""Of models whose length is fixed, of inputs that are no ids, and of tables."""

IDIOMS: dict[str, Callable[[], Any]] = {}


def idiom(make: Callable[[], Any]) -> Callable[[], Any]:
    """Put a model into the list."""
    IDIOMS[make.__name__] = make
    return make


def series(steps: int | None = None, features: int = FEATURES) -> Any:
    return keras.Input((steps, features), name="series")


def ids(name: str = "ids", steps: int | None = None) -> Any:
    return keras.Input((steps,), dtype="int32", name=name)


def words(x: Any, masked: bool = False, width: int = 4) -> Any:
    return layers.Embedding(ROWS, width, mask_zero=masked)(x)


def lstm(x: Any, units: int = 4, **options: Any) -> Any:
    return layers.LSTM(units, return_sequences=True, **options)(x)


def bilstm(x: Any, units: int = 3) -> Any:
    return layers.Bidirectional(layers.LSTM(units, return_sequences=True))(x)


@idiom
def last_step() -> Any:
    x = series()
    return keras.Model(x, layers.Dense(2)(lstm(x)[:, -1, :]))


@idiom
def last_step_of_both_directions() -> Any:
    x = ids()
    return keras.Model(x, layers.Dense(2)(bilstm(words(x, masked=True))[:, -1]))


@idiom
def first_and_last_step() -> Any:
    x = series()
    h = bilstm(x)
    return keras.Model(
        x, layers.Dense(1, activation="sigmoid")(ops.concatenate([h[:, 0], h[:, -1]], axis=-1))
    )


@idiom
def three_poolings() -> Any:
    x = ids()
    h = lstm(words(x))
    pooled = [ops.mean(h, axis=1), ops.max(h, axis=1), ops.std(h, axis=1), h[:, -1]]
    return keras.Model(x, layers.Dense(3, activation="softmax")(ops.concatenate(pooled, axis=-1)))


@idiom
def scaled_residual() -> Any:
    x = series()
    h = layers.Dense(4)(x)
    return keras.Model(x, layers.Dense(1)((h + 0.5 * lstm(h)) / 2 - 0.1))


@idiom
def attention_of_a_tutorial() -> Any:
    x = ids()
    h = bilstm(words(x))
    scores = layers.Dense(1, activation="tanh")(h)
    weights = ops.softmax(scores, axis=1)
    return keras.Model(x, [layers.Dense(2)(ops.sum(weights * h, axis=1)), weights])


@idiom
def attention_by_squeeze_and_expand() -> Any:
    x = ids()
    h = lstm(words(x, masked=True))
    scores = ops.squeeze(layers.Dense(1, use_bias=False)(ops.tanh(layers.Dense(5)(h))), axis=-1)
    weights = ops.expand_dims(ops.softmax(scores), -1)
    return keras.Model(x, layers.Dense(2)(ops.sum(ops.multiply(h, weights), axis=-2)))


@idiom
def attention_with_a_mask_by_hand() -> Any:
    x = ids()
    h = lstm(words(x))
    scores = layers.Dense(1)(h)[..., 0]
    scores = ops.where(ops.equal(x, 0), -1e9, scores)
    weights = ops.softmax(scores, axis=-1)
    return keras.Model(x, layers.Dense(2)(ops.sum(weights[:, :, None] * h, axis=1)))


@idiom
def attention_with_a_large_number() -> Any:
    x = ids()
    h = bilstm(words(x, masked=True))
    valid = ops.cast(ops.not_equal(x, 0), "float32")
    scores = ops.squeeze(layers.Dense(1)(h), -1) + (1.0 - valid) * -10000.0
    return keras.Model(x, ops.matmul(ops.softmax(scores)[:, None, :], h)[:, 0])


@idiom
def attention_after_luong() -> Any:
    source, target = ids("source"), ids("target")
    values = lstm(words(source))
    queries = lstm(words(target))
    scores = ops.matmul(queries, ops.transpose(values, (0, 2, 1)))
    context = ops.matmul(ops.softmax(scores, axis=-1), values)
    joined = ops.concatenate([queries, context], axis=-1)
    return keras.Model([source, target], layers.Dense(ROWS, activation="softmax")(ops.tanh(joined)))


@idiom
def attention_by_einsum() -> Any:
    x = series()
    h = lstm(x)
    scores = ops.einsum("bth,bsh->bts", layers.Dense(4)(h), h) / 2.0
    return keras.Model(x, ops.einsum("bts,bsh->bth", ops.softmax(scores), h))


@idiom
def heads_by_hand() -> Any:
    x = series(STEPS)
    h = layers.Dense(6)(x)

    def split(y: Any) -> Any:
        return ops.transpose(ops.reshape(y, (-1, STEPS, 2, 3)), (0, 2, 1, 3))

    q, k, v = (split(layers.Dense(6)(h)) for _ in range(3))
    weights = ops.softmax(q @ ops.transpose(k, (0, 1, 3, 2)) * 3**-0.5)
    y = ops.reshape(ops.transpose(weights @ v, (0, 2, 1, 3)), (-1, STEPS, 6))
    return keras.Model(x, layers.Dense(2)(ops.mean(h + y, axis=1)))


@idiom
def heads_by_hand_over_any_length() -> Any:
    x = series()
    h = layers.Dense(6)(x)
    parts = ops.split(h, 2, axis=-1)
    outs = [ops.softmax(p @ ops.swapaxes(p, 1, 2)) @ p for p in parts]
    return keras.Model(x, layers.LayerNormalization()(h + ops.concatenate(outs, axis=-1)))


@idiom
def mean_of_the_words() -> Any:
    x = ids()
    valid = ops.cast(ops.not_equal(x, 0), "float32")[:, :, None]
    h = lstm(words(x))
    mean = ops.sum(h * valid, axis=1) / ops.maximum(ops.sum(valid, axis=1), 1.0)
    return keras.Model(x, layers.Dense(1, activation="sigmoid")(mean))


@idiom
def average_of_the_directions() -> Any:
    x = ids()
    forwards, backwards = ops.split(bilstm(words(x, masked=True)), 2, axis=-1)
    return keras.Model(x, layers.Dense(2)(0.7 * forwards + 0.3 * backwards))


@idiom
def gated() -> Any:
    x = series()
    h = lstm(x)
    gate = ops.sigmoid(layers.Dense(4)(h))
    return keras.Model(x, gate * h + (1 - gate) * layers.Dense(4)(x))


@idiom
def gated_linear_unit() -> Any:
    x = series()
    a, b = ops.split(layers.Dense(8)(x), 2, axis=-1)
    return keras.Model(x, layers.GRU(3)(a * ops.sigmoid(b)))


@idiom
def siamese_manhattan() -> Any:
    left, right = ids("left"), ids("right")
    embed, encode = layers.Embedding(ROWS, 4, mask_zero=True), layers.LSTM(5)
    a, b = encode(embed(left)), encode(embed(right))
    return keras.Model([left, right], ops.exp(-ops.sum(ops.abs(a - b), axis=1, keepdims=True)))


@idiom
def siamese_cosine() -> Any:
    left, right = ids("left"), ids("right")
    embed, encode = layers.Embedding(ROWS, 4), layers.Bidirectional(layers.GRU(3))
    a, b = encode(embed(left)), encode(embed(right))
    product = ops.sum(a * b, axis=-1)
    return keras.Model([left, right], product / (ops.norm(a, axis=-1) * ops.norm(b, axis=-1) + 1e-8))


@idiom
def siamese_features() -> Any:
    left, right = ids("left"), ids("right")
    embed, encode = layers.Embedding(ROWS, 4), layers.LSTM(3)
    a, b = encode(embed(left)), encode(embed(right))
    both = ops.concatenate([a, b, ops.abs(ops.subtract(a, b)), a * b, ops.square(a - b)], axis=1)
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid")(both))


@idiom
def time_to_vector() -> Any:
    x = series(features=1)
    linear = layers.Dense(1)(x)
    periodic = ops.sin(layers.Dense(4)(x))
    return keras.Model(x, layers.Dense(1)(layers.LSTM(4)(ops.concatenate([x, linear, periodic], -1))))


@idiom
def sinusoids_added() -> Any:
    x = ids(steps=STEPS)
    angles = np.arange(STEPS)[:, None] / 10000 ** (np.arange(4)[None] / 4)
    encoding = np.where(np.arange(4) % 2, np.cos(angles), np.sin(angles)).astype("float32")
    return keras.Model(x, layers.GRU(3)(words(x) * 2.0 + encoding))


@idiom
def learned_positions() -> Any:
    x = ids()
    positions = ops.cumsum(ops.ones_like(x), axis=1) - 1
    return keras.Model(x, bilstm(words(x) + layers.Embedding(20, 4)(positions)))


@idiom
def branches_by_feature() -> Any:
    x = series()
    price, others = x[..., :1], x[..., 1:]
    h = ops.concatenate([lstm(price, 3), layers.Conv1D(2, 3, padding="causal")(others)], axis=2)
    return keras.Model(x, layers.Dense(1)(h[:, -1]))


@idiom
def parts_of_a_row() -> Any:
    x = series(STEPS, 4)
    a, b, c = x[:, :2], x[:, 2:4, ::2], x[:, -2:]
    encoded = [layers.LSTM(2)(part) for part in (a, b, c)]
    return keras.Model(x, ops.stack(encoded, axis=1))


@idiom
def standardised_by_hand() -> Any:
    x = series()
    mean, variance = ops.mean(x, axis=1, keepdims=True), ops.var(x, axis=1, keepdims=True)
    h = lstm((x - mean) / ops.sqrt(variance + 1e-5))
    return keras.Model(x, layers.Dense(FEATURES)(h[:, -1]) * ops.sqrt(variance + 1e-5)[:, 0] + mean[:, 0])


@idiom
def forecast_beside_the_last_value() -> Any:
    x = series()
    last = x[:, -1:, :]
    return keras.Model(x, last[:, 0] + layers.Dense(FEATURES)(layers.GRU(4)(x - last)))


@idiom
def differences() -> Any:
    x = series()
    return keras.Model(x, layers.LSTM(3)(x[:, 1:] - x[:, :-1]))


@idiom
def every_second_step() -> Any:
    x = series()
    return keras.Model(x, layers.Dense(2)(lstm(lstm(x)[:, ::2])))


@idiom
def pyramid() -> Any:
    x = series(STEPS, 2)
    h = ops.reshape(lstm(x), (-1, STEPS // 2, 8))
    return keras.Model(x, bilstm(h))


@idiom
def backwards_by_hand() -> Any:
    x = series()
    backwards = ops.flip(lstm(ops.flip(x, axis=1)), axis=1)
    return keras.Model(x, layers.Dense(2)(ops.concatenate([lstm(x), backwards], axis=-1)))


@idiom
def shifted_right() -> Any:
    x = series()
    shifted = ops.pad(x, [[0, 0], [1, 0], [0, 0]])[:, :-1]
    return keras.Model(x, lstm(ops.concatenate([x, shifted], -1)))


@idiom
def largest_of_each_feature() -> Any:
    x = series(STEPS)
    values, _ = ops.top_k(ops.transpose(lstm(x), (0, 2, 1)), 2)
    return keras.Model(x, layers.Dense(1)(ops.reshape(values, (-1, 8))))


@idiom
def class_and_its_row() -> Any:
    x = ids()
    scores = layers.Dense(4)(layers.LSTM(3)(words(x)))
    best = ops.argmax(scores, axis=-1)
    return keras.Model(x, [best, ops.one_hot(best, 4) * scores])


@idiom
def log_of_probabilities() -> Any:
    x = ids()
    p = layers.Dense(3, activation="softmax")(layers.GRU(3)(words(x, masked=True)))
    return keras.Model(x, ops.log(ops.clip(p, 1e-7, 1.0)))


@idiom
def running_sums() -> Any:
    x = series()
    return keras.Model(x, layers.Dense(1)(lstm(ops.cumsum(x, axis=1) * 0.1)))


@idiom
def branches_averaged() -> Any:
    x = series()
    branches = [layers.LSTM(3)(x), layers.GRU(3)(x), layers.SimpleRNN(3)(x)]
    return keras.Model(x, ops.mean(ops.stack(branches), axis=0))


@idiom
def chosen_features() -> Any:
    x = series()
    return keras.Model(x, ops.take(lstm(ops.take(x, [2, 0], axis=-1)), [1, -1], axis=2))


@idiom
def lengths_as_an_input() -> Any:
    x = series(STEPS)
    lengths = keras.Input((1,), dtype="int32", name="lengths")
    mask = ops.less(ops.arange(STEPS, dtype="int32"), lengths)
    return keras.Model([x, lengths], layers.LSTM(4)(x, mask=mask))


@idiom
def mask_of_two_conditions() -> Any:
    x = ids()
    mask = ops.logical_and(ops.not_equal(x, 0), ops.not_equal(x, 3))
    return keras.Model(x, layers.Bidirectional(layers.GRU(3))(words(x), mask=mask))


@idiom
def context_at_every_step() -> Any:
    x = series(STEPS)
    h = lstm(x)
    context = ops.repeat(ops.expand_dims(h[:, -1], 1), STEPS, axis=1)
    return keras.Model(x, layers.TimeDistributed(layers.Dense(2))(ops.concatenate([h, context], -1)))


@idiom
def decoder_of_an_autoencoder() -> Any:
    x = series(STEPS)
    code = layers.LSTM(3)(x)
    return keras.Model(x, layers.Dense(FEATURES)(lstm(ops.tile(code[:, None], [1, STEPS, 1]))))


@idiom
def energy_of_a_step() -> Any:
    x = series()
    energy = ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + 1e-6)
    return keras.Model(x, layers.GRU(2)(ops.concatenate([x / energy, ops.log1p(energy)], axis=-1)))


@idiom
def activations_by_hand() -> Any:
    x = series()
    h = layers.Dense(4)(x)
    gelu = 0.5 * h * (1 + ops.tanh(0.7978845608 * (h + 0.044715 * h**3)))
    leaky = ops.where(h > 0, h, 0.1 * h)
    return keras.Model(x, layers.LSTM(2)(ops.maximum(gelu, leaky) + h * ops.sigmoid(h) - ops.relu(-h)))


@idiom
def counted_words() -> Any:
    x = ids()
    count = ops.sum(ops.cast(x != 0, "float32"), axis=1, keepdims=True)
    h = layers.LSTM(3)(words(x, masked=True))
    return keras.Model(x, layers.Dense(1)(ops.concatenate([h, ops.log(count + 1.0)], axis=1)))


@idiom
def signs_and_thresholds() -> Any:
    x = series()
    up = ops.cast(x[..., :1] > 0.2, "float32")
    return keras.Model(x, layers.SimpleRNN(3)(ops.concatenate([up, ops.sign(x), ops.floor(x), x % 2.0], -1)))


@idiom
def product_with_a_fixed_matrix() -> Any:
    x = series()
    basis = np.array([[1, 0.5], [0.25, -1], [0.5, 0.75]], "float32")
    return keras.Model(x, layers.LSTM(3)(ops.tensordot(x, basis, axes=1)))


@idiom
def encoder_inside() -> Any:
    inner = keras.Input((None, FEATURES))
    encoder = keras.Model(inner, ops.max(lstm(inner), axis=1), name="encoder")
    left, right = keras.Input((None, FEATURES), name="left"), keras.Input((None, FEATURES), name="right")
    return keras.Model([left, right], layers.Dense(1)(ops.abs(encoder(left) - encoder(right))))
