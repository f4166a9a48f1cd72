"""Layers, cells, Lambdas and models of somebody's own, written as tutorials and repositories write them.

`STRANGERS` are to be read, `REFUSED` are not; each has a name and what makes the live, built model.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

# They annotate fewer types than they take.
layers: Any = keras.layers
ops: Any = keras.ops
tf: Any = importlib.import_module("tensorflow")
K: Any = tf.keras.backend
V, E, H = 11, 6, 4


@dataclass(frozen=True)
class Stranger:
    """A model with code of somebody's own.

    Args:
        name: what it is.
        make: makes the live model, built.
        refused: words of the refusal; read where there are none.
        example: what a subclassed model is called with, where it was not called before.
    """

    name: str
    make: Callable[[], Any]
    refused: str = ""
    example: Any = None


STRANGERS: list[Stranger] = []
REFUSED: list[Stranger] = []


def stranger(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """The maker of a model that is to be read."""

    def listed(make: Callable[[], Any]) -> Callable[[], Any]:
        STRANGERS.append(Stranger(name, make))
        return make

    return listed


def refused(name: str, words: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """The maker of a model that is refused with these words."""

    def listed(make: Callable[[], Any]) -> Callable[[], Any]:
        REFUSED.append(Stranger(name, make, words))
        return make

    return listed


def tokens(name: str = "ids", steps: int | None = None) -> Any:
    return keras.Input((steps,), dtype="int32", name=name)


def embedded(x: Any, masked: bool = True) -> Any:
    return layers.Embedding(V, E, mask_zero=masked)(x)


def after_bilstm(*following: Any, masked: bool = True, steps: int | None = None) -> keras.Model:
    """Ids, an embedding, a BiLSTM, and what follows."""
    ids = tokens(steps=steps)
    x = layers.Bidirectional(layers.LSTM(H, return_sequences=True))(embedded(ids, masked))
    for layer in following:
        x = layer(x)
    return keras.Model(ids, x)


# Attention over the steps of a BiLSTM, in all the ways people write it.


class AttentionWithContext(layers.Layer):
    """Words weighed by a context vector, as hierarchical attention networks have it."""

    def __init__(self, bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.bias = bias

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        self.W = self.add_weight(name="W", shape=(width, width), initializer="glorot_uniform")
        if self.bias:
            self.b = self.add_weight(name="b", shape=(width,), initializer="zeros")
        self.u = self.add_weight(name="u", shape=(width,), initializer="glorot_uniform")
        super().build(input_shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def call(self, x: Any, mask: Any = None) -> Any:
        uit = ops.matmul(x, self.W)
        if self.bias:
            uit = uit + self.b
        scores = ops.sum(ops.tanh(uit) * self.u, axis=-1)
        a = ops.exp(scores)
        if mask is not None:
            a = a * ops.cast(mask, a.dtype)
        a = a / (ops.sum(a, axis=1, keepdims=True) + keras.config.epsilon())
        return ops.sum(x * ops.expand_dims(a, -1), axis=1)


class ContextByDot(layers.Layer):
    """The same with the old backend's functions and a helper around its dot."""

    def __init__(self, return_attention: bool = False, **kwargs: Any) -> None:
        self.supports_masking = True
        self.return_attention = return_attention
        super().__init__(**kwargs)

    def build(self, input_shape: Any) -> None:
        assert len(input_shape) == 3
        self.W = self.add_weight(shape=(input_shape[2], 1), name=f"{self.name}_W", initializer="uniform")
        self.built = True

    def call(self, x: Any, mask: Any = None) -> Any:
        logits = K.dot(x, self.W)
        shape = K.shape(x)
        logits = K.reshape(logits, (shape[0], shape[1]))
        ai = K.exp(logits - K.max(logits, axis=-1, keepdims=True))
        if mask is not None:
            ai = ai * K.cast(mask, K.floatx())
        weights = ai / (K.sum(ai, axis=1, keepdims=True) + K.epsilon())
        result = K.sum(x * K.expand_dims(weights), axis=1)
        return [result, weights] if self.return_attention else result

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return [None, None] if self.return_attention else None


class StepBiasAttention(layers.Layer):
    """With a bias a step, so that the length is fixed."""

    def build(self, input_shape: Any) -> None:
        self.W = self.add_weight(name="att_weight", shape=(input_shape[-1], 1), initializer="normal")
        self.b = self.add_weight(name="att_bias", shape=(input_shape[1], 1), initializer="zeros")
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        e = K.tanh(K.dot(x, self.W) + self.b)
        a = K.softmax(e, axis=1)
        return K.sum(x * a, axis=1)


class AttentionPooling(layers.Layer):
    """Sublayers score the steps; padding is scored far down."""

    def __init__(self, units: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.proj = layers.Dense(units, activation="tanh")
        self.score = layers.Dense(1, use_bias=False)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        scores = ops.squeeze(self.score(self.proj(inputs)), axis=-1)
        if mask is not None:
            scores = ops.where(mask, scores, -1e9)
        weights = ops.softmax(scores, axis=-1)
        return ops.einsum("bt,btd->bd", weights, inputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None


class PoolingInTensorFlow(layers.Layer):
    def __init__(self, units: int = 3) -> None:
        super().__init__()
        self.supports_masking = True
        self.W = layers.Dense(units)
        self.V = layers.Dense(1)

    def call(self, features: Any, mask: Any = None) -> Any:
        score = self.V(tf.nn.tanh(self.W(features)))
        if mask is not None:
            score += (1.0 - tf.cast(mask[:, :, tf.newaxis], score.dtype)) * -1e9
        attention_weights = tf.nn.softmax(score, axis=1)
        context_vector = tf.reduce_sum(attention_weights * features, axis=1)
        return context_vector, attention_weights

    def compute_mask(self, features: Any, mask: Any = None) -> Any:
        return None, None


class TensordotAttention(layers.Layer):
    def __init__(self, attention_size: int, **kwargs: Any) -> None:
        self.attention_size = attention_size
        super().__init__(**kwargs)

    def build(self, input_shape: Any) -> None:
        self.w_omega = self.add_weight(shape=(input_shape[-1], self.attention_size), name="w_omega")
        self.b_omega = self.add_weight(shape=(self.attention_size,), name="b_omega", initializer="normal")
        self.u_omega = self.add_weight(shape=(self.attention_size,), name="u_omega", initializer="normal")

    def call(self, inputs: Any) -> Any:
        v = tf.tanh(tf.tensordot(inputs, self.w_omega, axes=1) + self.b_omega)
        vu = tf.tensordot(v, self.u_omega, axes=1)
        alphas = tf.nn.softmax(vu)
        return tf.reduce_sum(inputs * tf.expand_dims(alphas, -1), 1)


@stranger("additive attention, keras.ops")
def _() -> Any:
    return after_bilstm(AttentionWithContext(name="attention"), layers.Dense(2, activation="softmax"))


@stranger("additive attention without a bias, unmasked")
def _() -> Any:
    return after_bilstm(AttentionWithContext(bias=False), layers.Dense(1), masked=False)


@stranger("additive attention, old backend, weights too")
def _() -> Any:
    ids = tokens()
    x = layers.GRU(H, return_sequences=True)(embedded(ids))
    context, weights = ContextByDot(return_attention=True, name="att")(x)
    return keras.Model(ids, [layers.Dense(2)(context), weights])


@stranger("additive attention, old backend")
def _() -> Any:
    return after_bilstm(ContextByDot(), layers.Dense(1, activation="sigmoid"))


@stranger("a bias a step")
def _() -> Any:
    return after_bilstm(StepBiasAttention(), masked=False, steps=5)


@stranger("attention pooling with sublayers, keras.ops")
def _() -> Any:
    return after_bilstm(AttentionPooling(name="pool"))


@stranger("attention pooling with sublayers, TensorFlow")
def _() -> Any:
    ids = tokens()
    x = layers.Bidirectional(layers.GRU(H, return_sequences=True))(embedded(ids))
    return keras.Model(ids, PoolingInTensorFlow()(x))


@stranger("tensordot")
def _() -> Any:
    return after_bilstm(TensordotAttention(3), layers.Dense(2), masked=False)


@stranger("two attentions of one class, and one twice")
def _() -> Any:
    a, b = tokens("a"), tokens("b")
    shared = AttentionPooling()
    table = layers.Embedding(V, E, mask_zero=True)
    one, two = shared(table(a)), shared(table(b))
    return keras.Model([a, b], layers.Concatenate()([one, two, AttentionPooling(2)(table(b))]))


# Lambdas.


@stranger("Lambda: weighted average")
def _() -> Any:
    ids = tokens()
    x = layers.LSTM(H, return_sequences=True)(embedded(ids, masked=False))
    weights = layers.Softmax(axis=1)(layers.Dense(1)(x))
    pooled = layers.Lambda(lambda both: ops.sum(both[0] * both[1], axis=1), name="average")([x, weights])
    return keras.Model(ids, layers.Dense(2)(pooled))


@stranger("Lambda: weighted average in TensorFlow")
def _() -> Any:
    ids = tokens()
    x = layers.LSTM(H, return_sequences=True)(embedded(ids, masked=False))
    a = layers.Flatten()(layers.Dense(1, activation="tanh")(x))
    a = layers.Activation("softmax")(a)
    a = layers.Permute([2, 1])(layers.RepeatVector(H)(a))
    merged = layers.Multiply()([x, a])
    return keras.Model(ids, layers.Lambda(lambda xin: tf.reduce_sum(xin, axis=1))(merged))


@stranger("Lambda: last step")
def _() -> Any:
    return after_bilstm(layers.Lambda(lambda x: x[:, -1], name="last"))


@stranger("Lambda: last step, all spelled out, then more")
def _() -> Any:
    return after_bilstm(layers.Lambda(lambda t: t[:, -1, :]), layers.Lambda(lambda t: t * 2 + 1))


@stranger("Lambda: mean of the old backend")
def _() -> Any:
    return after_bilstm(layers.Lambda(lambda x: K.mean(x, axis=1)))


@stranger("Lambda: mean of keras.ops")
def _() -> Any:
    return after_bilstm(layers.Lambda(lambda x: ops.mean(x, axis=1)))


@stranger("Lambda: reversed in time")
def _() -> Any:
    return after_bilstm(layers.Lambda(lambda x: tf.reverse(x, axis=[1])), layers.LSTM(3))


@stranger("Lambda: K.reverse")
def _() -> Any:
    return after_bilstm(layers.Lambda(lambda x: K.reverse(x, axes=1)), layers.LSTM(3), masked=False)


@stranger("Lambda with arguments and a shape")
def _() -> Any:
    def scaled(x: Any, scale: float, shift: float = 0.0) -> Any:
        return scale * x + shift

    return after_bilstm(
        layers.Lambda(scaled, output_shape=(None, 2 * H), arguments={"scale": 0.3}), layers.LSTM(2)
    )


@stranger("Lambda: masked mean")
def _() -> Any:
    def masked_mean(x: Any, mask: Any = None) -> Any:
        m = ops.expand_dims(ops.cast(mask, x.dtype), -1)
        return ops.sum(x * m, axis=1) / ops.maximum(ops.sum(m, axis=1), 1.0)

    return after_bilstm(layers.Lambda(masked_mean, output_shape=(2 * H,)))


@stranger("Lambda: distances of two sentences")
def _() -> Any:
    a, b = tokens("a"), tokens("b")
    table, lstm = layers.Embedding(V, E, mask_zero=True), layers.LSTM(H)
    one, two = lstm(table(a)), lstm(table(b))
    manhattan = layers.Lambda(
        lambda x: K.exp(-K.sum(K.abs(x[0] - x[1]), axis=1, keepdims=True)), output_shape=(1,)
    )([one, two])
    cosine = layers.Lambda(
        lambda x: tf.reduce_sum(tf.math.l2_normalize(x[0], -1) * tf.math.l2_normalize(x[1], -1), -1, True)
    )([one, two])
    return keras.Model([a, b], [manhattan, cosine])


@stranger("Lambda: one-hot and casts")
def _() -> Any:
    ids = tokens()
    x = layers.Lambda(lambda t: tf.one_hot(tf.cast(t, "int64"), V), output_shape=(None, V))(ids)
    return keras.Model(ids, layers.LSTM(3)(x))


@stranger("Lambda: expanded and squeezed")
def _() -> Any:
    x = keras.Input((7,), name="series")
    y = layers.Lambda(lambda t: tf.expand_dims(t, axis=-1))(x)
    y = layers.Lambda(lambda t: t * 100.0)(layers.LSTM(3)(y))
    return keras.Model(x, y)


# Blocks with sublayers.


class SelfAttentionBlock(layers.Layer):
    def __init__(self, heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        self.attn = layers.MultiHeadAttention(self.heads, width // self.heads)
        self.attn.build(input_shape, input_shape)
        self.norm = layers.LayerNormalization(epsilon=1e-6)
        self.norm.build(input_shape)
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        return self.norm(x + self.attn(x, x))


class TransformerEncoder(layers.Layer):
    def __init__(self, embed_dim: int, dense_dim: int, num_heads: int, rate: float = 0.1) -> None:
        super().__init__()
        self.supports_masking = True
        self.attention = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.dense_proj = keras.Sequential(
            [layers.Dense(dense_dim, activation="relu"), layers.Dense(embed_dim)]
        )
        self.layernorm_1 = layers.LayerNormalization()
        self.layernorm_2 = layers.LayerNormalization()
        self.dropout = layers.Dropout(rate)

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        padding_mask = None if mask is None else ops.cast(mask[:, None, :], dtype="int32")
        attention_output = self.attention(inputs, inputs, attention_mask=padding_mask)
        proj_input = self.layernorm_1(inputs + self.dropout(attention_output, training=training))
        return self.layernorm_2(proj_input + self.dense_proj(proj_input))


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen: int, vocab_size: int, embed_dim: int) -> None:
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x: Any) -> Any:
        positions = self.pos_emb(ops.arange(0, ops.shape(x)[-1], 1))
        return self.token_emb(x) + positions


class PositionsOfTensorFlow(layers.Layer):
    def __init__(self, maxlen: int, vocab_size: int, embed_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.token_emb = layers.Embedding(vocab_size, embed_dim, mask_zero=True)
        self.pos_emb = layers.Embedding(maxlen, embed_dim)

    def call(self, x: Any) -> Any:
        maxlen = tf.shape(x)[-1]
        positions = tf.range(start=0, limit=maxlen, delta=1)
        return self.token_emb(x) + self.pos_emb(positions)

    def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
        return self.token_emb.compute_mask(*args, **kwargs)


def angles(length: int, depth: int) -> np.ndarray:
    positions = np.arange(length)[:, np.newaxis]
    depths = np.arange(depth // 2)[np.newaxis, :] / (depth / 2)
    radians = positions / 10000**depths
    return np.concatenate([np.sin(radians), np.cos(radians)], axis=-1).astype("float32")


class PositionalTable(layers.Layer):
    """The tutorial's: a table of numpy, of which as much is taken as there are steps."""

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        self.d_model = d_model
        self.embedding = layers.Embedding(vocab_size, d_model, mask_zero=True)
        self.pos_encoding = angles(2048, d_model)

    def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
        return self.embedding.compute_mask(*args, **kwargs)

    def call(self, x: Any) -> Any:
        length = tf.shape(x)[1]
        x = self.embedding(x)
        x *= tf.math.sqrt(tf.cast(self.d_model, tf.float32))
        return x + tf.convert_to_tensor(self.pos_encoding)[tf.newaxis, :length, :]


class SinePosition(layers.Layer):
    """Computed in the call."""

    def __init__(self, max_wavelength: float = 10000.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_wavelength = max_wavelength
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        length, width = ops.shape(inputs)[1], inputs.shape[-1]
        position = ops.cast(ops.arange(length), inputs.dtype)
        rates = ops.power(
            1.0 / self.max_wavelength, 2 * (ops.cast(ops.arange(width), "float32") // 2) / width
        )
        angle = ops.expand_dims(position, 1) * ops.expand_dims(rates, 0)
        even = ops.cast(ops.arange(width) % 2, inputs.dtype)
        return inputs + ops.sin(angle) * (1 - even) + ops.cos(angle) * even


class Highway(layers.Layer):
    def __init__(self, activation: str = "relu", transform_gate_bias: float = -1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.start = transform_gate_bias
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        self.transform = layers.Dense(width, bias_initializer=keras.initializers.Constant(self.start))
        self.dense = layers.Dense(units=width)
        self.transform.build(input_shape)
        self.dense.build(input_shape)

    def call(self, x: Any) -> Any:
        gate = ops.sigmoid(self.transform(x))
        return gate * self.activation(self.dense(x)) + (1.0 - gate) * x


class GatedLinearUnit(layers.Layer):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.linear = layers.Dense(units)
        self.sigmoid = layers.Dense(units, activation="sigmoid")

    def call(self, inputs: Any) -> Any:
        return self.linear(inputs) * self.sigmoid(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.linear.units)


class SplitGLU(layers.Layer):
    def call(self, x: Any) -> Any:
        a, b = tf.split(x, num_or_size_splits=2, axis=-1)
        return tf.multiply(a, tf.sigmoid(b))


class GatedResidualNetwork(layers.Layer):
    """As variable selection networks have them."""

    def __init__(self, units: int, dropout_rate: float = 0.1) -> None:
        super().__init__()
        self.units = units
        self.elu_dense = layers.Dense(units, activation="elu")
        self.linear_dense = layers.Dense(units)
        self.dropout = layers.Dropout(dropout_rate)
        self.gated_linear_unit = GatedLinearUnit(units)
        self.layer_norm = layers.LayerNormalization()
        self.project = layers.Dense(units)

    def call(self, inputs: Any) -> Any:
        x = self.dropout(self.linear_dense(self.elu_dense(inputs)))
        if inputs.shape[-1] != self.units:
            inputs = self.project(inputs)
        return self.layer_norm(inputs + self.gated_linear_unit(x))


class SqueezeExcite(layers.Layer):
    def __init__(self, ratio: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.pool = layers.GlobalAveragePooling1D()
        self.fc1 = layers.Dense(channels // self.ratio, activation="relu")
        self.fc2 = layers.Dense(channels, activation="sigmoid")
        self.reshape = layers.Reshape((1, channels))

    def call(self, x: Any) -> Any:
        return x * self.reshape(self.fc2(self.fc1(self.pool(x))))


class MaskedMean(layers.Layer):
    supports_masking = True

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is None:
            return ops.mean(x, axis=1)
        mask = ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * mask, axis=1) / ops.clip(ops.sum(mask, axis=1), 1e-9, 1e9)

    def compute_mask(self, x: Any, mask: Any = None) -> None:
        return None


class Reverse(layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.flip(x, axis=1)


class Projection(layers.Layer):
    """A matrix for every step, the mask passed on."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="he_normal")
        self.bias = self.add_weight(shape=(self.units,), initializer="random_normal", trainable=True)

    def call(self, inputs: Any) -> Any:
        return ops.einsum("ntd,du->ntu", inputs, self.kernel) + self.bias


class ConcatPooling(layers.Layer):
    """Mean, maximum and last."""

    def call(self, x: Any) -> Any:
        return ops.concatenate([ops.mean(x, axis=1), ops.max(x, axis=1), x[:, -1, :]], axis=-1)


class LastValid(layers.Layer):
    """The last step that is no padding."""

    def call(self, x: Any, mask: Any = None) -> Any:
        lengths = ops.sum(ops.cast(mask, "int32"), axis=1)
        last = ops.maximum(lengths - 1, 0)
        return ops.squeeze(ops.take_along_axis(x, last[:, None, None], axis=1), axis=1)


class LastValidOfTensorFlow(layers.Layer):
    def call(self, x: Any, mask: Any = None) -> Any:
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        return tf.gather(x, tf.maximum(lengths - 1, 0), batch_dims=1)


class CausalSelfAttention(layers.Layer):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.query = layers.Dense(units)
        self.key = layers.Dense(units)
        self.value = layers.Dense(units)
        self.units = units

    def call(self, x: Any) -> Any:
        q, k, v = self.query(x), self.key(x), self.value(x)
        scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) / ops.sqrt(float(self.units))
        steps = ops.arange(ops.shape(x)[1])
        scores = ops.where(steps[:, None] >= steps[None, :], scores, -1e9)
        return ops.matmul(ops.softmax(scores, axis=-1), v)


class BandPartAttention(layers.Layer):
    """The same in TensorFlow."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.wq, self.wk, self.wv = (layers.Dense(depth, use_bias=False) for _ in range(3))

    def call(self, x: Any) -> Any:
        q, k, v = self.wq(x), self.wk(x), self.wv(x)
        matmul_qk = tf.matmul(q, k, transpose_b=True)
        dk = tf.cast(tf.shape(k)[-1], tf.float32)
        logits = matmul_qk / tf.math.sqrt(dk)
        size = tf.shape(x)[1]
        mask = 1 - tf.linalg.band_part(tf.ones((size, size)), -1, 0)
        logits += mask * -1e9
        return tf.matmul(tf.nn.softmax(logits, axis=-1), v)


class SplitHeads(layers.Layer):
    """Several heads by reshaping, as the Transformer tutorials write them."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.depth, self.d_model = num_heads, d_model // num_heads, d_model
        self.wq, self.wk, self.wv = (layers.Dense(d_model) for _ in range(3))
        self.dense = layers.Dense(d_model)

    def split_heads(self, x: Any, batch_size: Any) -> Any:
        x = tf.reshape(x, (batch_size, -1, self.num_heads, self.depth))
        return tf.transpose(x, perm=[0, 2, 1, 3])

    def call(self, x: Any) -> Any:
        batch_size = tf.shape(x)[0]
        q, k, v = (self.split_heads(w(x), batch_size) for w in (self.wq, self.wk, self.wv))
        logits = tf.matmul(q, k, transpose_b=True) / tf.math.sqrt(tf.cast(self.depth, tf.float32))
        attended = tf.transpose(tf.matmul(tf.nn.softmax(logits, axis=-1), v), perm=[0, 2, 1, 3])
        return self.dense(tf.reshape(attended, (batch_size, -1, self.d_model)))


class ScalarMix(layers.Layer):
    """What several layers give, weighed by learned numbers."""

    def build(self, input_shape: Any) -> None:
        self.scalars = self.add_weight(name="scalars", shape=(len(input_shape),), initializer="normal")
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="ones")

    def call(self, inputs: Any) -> Any:
        weights = ops.softmax(self.scalars)
        return self.gamma * sum(weights[i] * x for i, x in enumerate(inputs))


class KMaxPooling(layers.Layer):
    def __init__(self, k: int = 2) -> None:
        super().__init__()
        self.k = k

    def call(self, inputs: Any) -> Any:
        shifted = tf.transpose(inputs, [0, 2, 1])
        top = tf.nn.top_k(shifted, k=self.k, sorted=True)[0]
        return tf.reshape(top, [-1, inputs.shape[-1] * self.k])


class MaskSmall(layers.Layer):
    """A mask of its own making: steps that are near zero."""

    def call(self, x: Any) -> Any:
        return x * 1.0

    def compute_mask(self, x: Any, mask: Any = None) -> Any:
        return ops.any(ops.abs(x) > 0.4, axis=-1)


class BiLSTMBlock(layers.Layer):
    """Recurrent layers inside of a layer, with a residual and what TensorFlow computes."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.lstm = layers.Bidirectional(layers.LSTM(units, return_sequences=True))
        self.norm = layers.LayerNormalization()

    def call(self, x: Any, mask: Any = None) -> Any:
        y = self.lstm(x, mask=mask)
        return self.norm(tf.concat([tf.nn.relu(y), x], axis=-1))


@stranger("self-attention with a residual and a normalisation")
def _() -> Any:
    return after_bilstm(SelfAttentionBlock(), layers.GlobalAveragePooling1D())


@stranger("Transformer encoder")
def _() -> Any:
    ids = tokens()
    x = TransformerEncoder(E, 8, 2)(embedded(ids))
    return keras.Model(ids, layers.Dense(2)(layers.LSTM(3)(x)))


@stranger("positional embedding, keras.ops")
def _() -> Any:
    ids = tokens()
    return keras.Model(ids, layers.LSTM(3)(TokenAndPositionEmbedding(40, V, E)(ids)))


@stranger("positional embedding, TensorFlow, masked")
def _() -> Any:
    ids = tokens()
    return keras.Model(ids, layers.LSTM(3)(PositionsOfTensorFlow(40, V, E)(ids)))


@stranger("a table of sines")
def _() -> Any:
    ids = tokens()
    return keras.Model(ids, layers.GRU(3)(PositionalTable(V, E)(ids)))


@stranger("sines computed in the call")
def _() -> Any:
    ids = tokens()
    return keras.Model(ids, layers.LSTM(3)(SinePosition()(embedded(ids))))


@stranger("highway")
def _() -> Any:
    return after_bilstm(Highway(), Highway(activation="tanh"), layers.LSTM(3))


@stranger("gated linear units")
def _() -> Any:
    return after_bilstm(GatedLinearUnit(4), SplitGLU(), masked=False)


@stranger("gated residual network")
def _() -> Any:
    return after_bilstm(GatedResidualNetwork(5), GatedResidualNetwork(5), masked=False)


@stranger("squeeze and excite over time")
def _() -> Any:
    return after_bilstm(SqueezeExcite(), layers.GRU(2), masked=False)


@stranger("masked mean")
def _() -> Any:
    return after_bilstm(MaskedMean(), layers.Dense(2))


@stranger("reversed in time, two readings joined")
def _() -> Any:
    ids = tokens()
    x = embedded(ids, masked=False)
    back = Reverse()(layers.LSTM(H, return_sequences=True)(Reverse()(x)))
    return keras.Model(ids, layers.Concatenate()([layers.LSTM(H, return_sequences=True)(x), back]))


@stranger("a projection of every step")
def _() -> Any:
    return after_bilstm(Projection(3, name="project"), layers.LSTM(2))


@stranger("concatenated pooling")
def _() -> Any:
    return after_bilstm(ConcatPooling(), layers.Dense(2), masked=False)


@stranger("last valid step, keras.ops")
def _() -> Any:
    return after_bilstm(LastValid(), layers.Dense(2))


@stranger("last valid step, TensorFlow")
def _() -> Any:
    return after_bilstm(LastValidOfTensorFlow(), layers.Dense(2))


@stranger("causal self-attention, keras.ops")
def _() -> Any:
    return after_bilstm(CausalSelfAttention(3), masked=False)


@stranger("causal self-attention, TensorFlow")
def _() -> Any:
    return after_bilstm(BandPartAttention(3), masked=False)


@stranger("heads by reshaping")
def _() -> Any:
    return after_bilstm(SplitHeads(6, 2), masked=False)


@stranger("a mix of layers")
def _() -> Any:
    ids = tokens()
    one = layers.LSTM(E, return_sequences=True)(embedded(ids, masked=False))
    two = layers.LSTM(E, return_sequences=True)(one)
    return keras.Model(ids, ScalarMix()([one, two, layers.Dense(E)(two)]))


@stranger("the k largest")
def _() -> Any:
    return after_bilstm(KMaxPooling(2), layers.Dense(2), masked=False, steps=6)


@stranger("a mask made by a layer")
def _() -> Any:
    x = keras.Input((None, 2), name="x")
    return keras.Model(x, layers.LSTM(3, return_sequences=True)(MaskSmall()(x)))


@stranger("a BiLSTM inside of a layer")
def _() -> Any:
    return after_bilstm(BiLSTMBlock(3, name="block"), layers.GRU(2))


# Decoders with attention.


class BahdanauAttention(layers.Layer):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.W1 = layers.Dense(units)
        self.W2 = layers.Dense(units)
        self.V = layers.Dense(1)

    def call(self, query: Any, values: Any) -> Any:
        query_with_time_axis = tf.expand_dims(query, 1)
        score = self.V(tf.nn.tanh(self.W1(query_with_time_axis) + self.W2(values)))
        attention_weights = tf.nn.softmax(score, axis=1)
        context_vector = tf.reduce_sum(attention_weights * values, axis=1)
        return context_vector, attention_weights


class LuongAttention(layers.Layer):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wa = layers.Dense(units, use_bias=False)
        self.wc = layers.Dense(units, activation="tanh")

    def call(self, inputs: Any) -> Any:
        decoded, encoded = inputs
        score = ops.matmul(decoded, ops.swapaxes(self.wa(encoded), 1, 2))
        alignment = ops.softmax(score, axis=-1)
        context = ops.matmul(alignment, encoded)
        return self.wc(ops.concatenate([context, decoded], axis=-1)), alignment


@stranger("Bahdanau's attention of a state")
def _() -> Any:
    ids = tokens()
    out, state = layers.GRU(H, return_sequences=True, return_state=True)(embedded(ids, masked=False))
    context, weights = BahdanauAttention(5)(state, out)
    return keras.Model(ids, [layers.Dense(2)(layers.Concatenate()([context, state])), weights])


@stranger("Luong's attention of a decoder")
def _() -> Any:
    source, target = tokens("source"), tokens("target")
    encoded, h, c = layers.LSTM(H, return_sequences=True, return_state=True)(embedded(source, masked=False))
    decoded = layers.LSTM(H, return_sequences=True)(embedded(target, masked=False), initial_state=[h, c])
    attended, alignment = LuongAttention(H, name="luong")([decoded, encoded])
    return keras.Model([source, target], [layers.Dense(V, activation="softmax")(attended), alignment])


# Activations and subclasses of Keras' own layers.


def mish(x: Any) -> Any:
    return x * ops.tanh(ops.softplus(x))


def swish_of_tensorflow(x: Any) -> Any:
    return x * tf.nn.sigmoid(1.5 * x)


class MyDense(layers.Dense):
    """With other defaults, and nothing else."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, activation="relu", **kwargs)


class MyLSTM(layers.LSTM):
    """Unchanged."""


class PrintingLSTM(layers.LSTM):
    """One that passes all on."""

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = False) -> Any:
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)


@stranger("an activation of one's own")
def _() -> Any:
    return after_bilstm(
        layers.Dense(3, activation=mish), layers.Activation(swish_of_tensorflow), masked=False
    )


@stranger("an activation of one's own in an LSTM")
def _() -> Any:
    ids = tokens()
    return keras.Model(ids, layers.LSTM(3, activation=mish, return_sequences=True)(embedded(ids)))


@stranger("subclasses of Keras' layers")
def _() -> Any:
    ids = tokens()
    x = PrintingLSTM(H, return_sequences=True)(MyLSTM(H, return_sequences=True)(embedded(ids)))
    return keras.Model(ids, layers.GlobalMaxPooling1D()(MyDense(3, name="mine")(x)))


# Cells.


@keras.saving.register_keras_serializable("custom_models")
class LayerNormLSTMCell(layers.Layer):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], 4 * self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, 4 * self.units), initializer="orthogonal", name="recurrent_kernel"
        )
        self.bias = self.add_weight(shape=(4 * self.units,), initializer="normal", name="bias")
        self.kernel_norm = layers.LayerNormalization(name="kernel_norm")
        self.recurrent_norm = layers.LayerNormalization(name="recurrent_norm")
        self.state_norm = layers.LayerNormalization(name="state_norm")
        self.kernel_norm.build((None, 4 * self.units))
        self.recurrent_norm.build((None, 4 * self.units))
        self.state_norm.build((None, self.units))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        h_tm1, c_tm1 = states
        z = self.kernel_norm(ops.matmul(inputs, self.kernel))
        z += self.recurrent_norm(ops.matmul(h_tm1, self.recurrent_kernel))
        z += self.bias
        i, f, c, o = ops.split(z, 4, axis=-1)
        c = ops.sigmoid(f) * c_tm1 + ops.sigmoid(i) * ops.tanh(c)
        c = self.state_norm(c)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}


class NormalizedAround(layers.Layer):
    """A cell of Keras inside, what it gives normalised."""

    def __init__(self, units: int, activation: str = "tanh", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_size = units
        self.output_size = units
        self.cell = layers.SimpleRNNCell(units, activation=None)
        self.layer_norm = layers.LayerNormalization()
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        self.cell.build(input_shape)
        self.layer_norm.build((input_shape[0], self.output_size))

    def call(self, inputs: Any, states: Any) -> Any:
        outputs, _ = self.cell(inputs, states)
        norm_outputs = self.activation(self.layer_norm(outputs))
        return norm_outputs, [norm_outputs]


class PeepholeLSTMCell(layers.Layer):
    """Gates that see the cell state; written in TensorFlow."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units
        self.state_size = [units, units]

    def build(self, input_shape: Any) -> None:
        self.W = self.add_weight(shape=(input_shape[-1] + self.units, 4 * self.units), name="W")
        self.b = self.add_weight(shape=(4 * self.units,), initializer="normal", name="b")
        self.p = self.add_weight(shape=(3, self.units), initializer="normal", name="peepholes")

    def call(self, x: Any, states: Any) -> Any:
        h, c = states
        z = tf.matmul(tf.concat([x, h], axis=1), self.W) + self.b
        i, f, g, o = tf.split(z, 4, axis=1)
        i = tf.sigmoid(i + self.p[0] * c)
        f = tf.sigmoid(f + self.p[1] * c)
        c = f * c + i * tf.tanh(g)
        h = tf.sigmoid(o + self.p[2] * c) * tf.tanh(c)
        return h, [h, c]


class PeepholeCell(layers.LSTMCell):
    """The same kind, in keras.ops, a subclass of Keras' cell."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.peephole = self.add_weight(shape=(self.units,), initializer="normal", name="peephole")

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        h, c = states
        z = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias
        z0, z1, z2, z3 = ops.split(z, 4, axis=1)
        i = self.recurrent_activation(z0 + self.peephole * c)
        f = self.recurrent_activation(z1 + self.peephole * c)
        c = f * c + i * self.activation(z2)
        h = self.recurrent_activation(z3) * self.activation(c)
        return h, [h, c]


class IndRNNCell(layers.Layer):
    def __init__(self, units: int, **kwargs: Any) -> None:
        self.units = units
        self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(shape=(self.units,), initializer="uniform", name="recurrent")
        self.bias = self.add_weight(shape=(self.units,), initializer="normal", name="bias")

    def call(self, inputs: Any, states: Any) -> Any:
        prev_output = states[0]
        output = K.relu(K.dot(inputs, self.kernel) + prev_output * self.recurrent_kernel + self.bias)
        return output, [output]


class MinimalGatedUnit(layers.Layer):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.forget = layers.Dense(units, activation="sigmoid")
        self.candidate = layers.Dense(units, activation="tanh")

    @property
    def state_size(self) -> int:
        return self.units

    def build(self, input_shape: Any) -> None:
        joined = (input_shape[0], input_shape[-1] + self.units)
        self.forget.build(joined)
        self.candidate.build(joined)

    def call(self, x: Any, states: Any) -> Any:
        h = states[0]
        f = self.forget(ops.concatenate([x, h], axis=-1))
        n = self.candidate(ops.concatenate([x, f * h], axis=-1))
        h = (1 - f) * h + f * n
        return h, [h]


class ResidualCell(layers.Layer):
    """A cell around another."""

    def __init__(self, cell: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = cell

    @property
    def state_size(self) -> Any:
        return self.cell.state_size

    @property
    def output_size(self) -> Any:
        return self.cell.output_size

    def build(self, input_shape: Any) -> None:
        self.cell.build(input_shape)

    def call(self, inputs: Any, states: Any) -> Any:
        output, states = self.cell(inputs, states)
        return inputs + output, states


class AttentiveCell(layers.Layer):
    """At every step it looks into a learned memory."""

    def __init__(self, units: int, slots: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.slots = units, slots
        self.state_size = units
        self.gru = layers.GRUCell(units)
        self.query = layers.Dense(units)

    def build(self, input_shape: Any) -> None:
        self.memory = self.add_weight(shape=(self.slots, self.units), initializer="normal", name="memory")
        self.query.build((None, input_shape[-1] + self.units))
        self.gru.build((None, input_shape[-1] + self.units))

    def call(self, inputs: Any, states: Any) -> Any:
        h = states[0]
        q = self.query(ops.concatenate([inputs, h], axis=-1))
        weights = ops.softmax(ops.matmul(q, ops.transpose(self.memory)), axis=-1)
        return self.gru(ops.concatenate([inputs, ops.matmul(weights, self.memory)], axis=-1), [h])


class ClockCell(layers.Layer):
    """A state of another size than the output, and one that counts."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units
        self.state_size = [units, 1]
        self.output_size = 2
        self.inner = layers.Dense(units, activation="tanh")
        self.outer = layers.Dense(2)

    def build(self, input_shape: Any) -> None:
        self.inner.build((None, input_shape[-1] + self.units + 1))
        self.outer.build((None, self.units))

    def call(self, x: Any, states: Any) -> Any:
        h, t = states
        h = self.inner(ops.concatenate([x, h, ops.sin(t)], axis=-1))
        return self.outer(h), [h, t + 1.0]


def recurrent(cell: Any, *, both: bool = False, masked: bool = True, **settings: Any) -> keras.Model:
    ids = tokens()
    layer = layers.RNN(cell, name="recurrent", **settings)
    x = (layers.Bidirectional(layer) if both else layer)(embedded(ids, masked))
    return keras.Model(ids, x)


@stranger("layer-normalised LSTM")
def _() -> Any:
    return recurrent(LayerNormLSTMCell(H), return_sequences=True)


@stranger("layer-normalised LSTM both ways")
def _() -> Any:
    ids = tokens()
    forward = layers.RNN(LayerNormLSTMCell(H), return_sequences=True)
    backward = layers.RNN(LayerNormLSTMCell(H), return_sequences=True, go_backwards=True)
    return keras.Model(ids, layers.Bidirectional(forward, backward_layer=backward)(embedded(ids)))


@stranger("a normalised cell of Keras")
def _() -> Any:
    return recurrent(NormalizedAround(H))


@stranger("peepholes, TensorFlow, with states")
def _() -> Any:
    return recurrent(PeepholeLSTMCell(H), return_sequences=True, return_state=True)


@stranger("peepholes, a subclass of LSTMCell, backwards")
def _() -> Any:
    return recurrent(PeepholeCell(H), go_backwards=True)


@stranger("IndRNN, zeros under the mask")
def _() -> Any:
    return recurrent(IndRNNCell(H), return_sequences=True, zero_output_for_mask=True)


@stranger("minimal gated unit")
def _() -> Any:
    return recurrent(MinimalGatedUnit(H), return_sequences=True)


@stranger("cells stacked")
def _() -> Any:
    return recurrent([layers.LSTMCell(3), IndRNNCell(H), MinimalGatedUnit(2)], return_sequences=True)


@stranger("a cell around a cell, in a StackedRNNCells")
def _() -> Any:
    cells = layers.StackedRNNCells([ResidualCell(layers.GRUCell(E)), ResidualCell(LayerNormLSTMCell(E))])
    return recurrent(cells, return_sequences=True)


@stranger("a cell that looks into a memory")
def _() -> Any:
    return recurrent(AttentiveCell(H), return_sequences=True)


@stranger("an output of another size than the states")
def _() -> Any:
    return recurrent(ClockCell(3), return_sequences=True)


@stranger("initial states given to a cell")
def _() -> Any:
    ids, h, c = tokens(), keras.Input((H,), name="h"), keras.Input((H,), name="c")
    rnn = layers.RNN(LayerNormLSTMCell(H), return_state=True)
    return keras.Model([ids, h, c], rnn(embedded(ids, masked=False), initial_state=[h, c]))


# Subclassed models.


class BiLSTMClassifier(keras.Model):
    def __init__(self, vocabulary: int, units: int, classes: int) -> None:
        super().__init__()
        self.embedding = layers.Embedding(vocabulary, E, mask_zero=True)
        self.bilstm = layers.Bidirectional(layers.LSTM(units, return_sequences=True))
        self.pool = AttentionPooling(3)
        self.dropout = layers.Dropout(0.5)
        self.classifier = layers.Dense(classes, activation="softmax")

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.embedding(inputs)
        x = self.bilstm(x)
        x = self.pool(x)
        x = self.dropout(x, training=training)
        return self.classifier(x)


class ExplicitMask(keras.Model):
    """The mask computed and handed over by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = layers.Embedding(V, E, mask_zero=True)
        self.lstm = layers.LSTM(H, return_sequences=True)
        self.head = layers.Dense(2)

    def call(self, ids: Any) -> Any:
        mask = self.embed.compute_mask(ids)
        x = self.lstm(self.embed(ids), mask=mask)
        m = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
        return self.head(tf.reduce_sum(x * m, axis=1) / tf.maximum(tf.reduce_sum(m, axis=1), 1.0))


class Encoder(layers.Layer):
    def __init__(self, vocab: int, units: int) -> None:
        super().__init__()
        self.embedding = layers.Embedding(vocab, E)
        self.gru = layers.GRU(units, return_sequences=True, return_state=True)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.gru(self.embedding(x), training=training)


class Decoder(layers.Layer):
    def __init__(self, vocab: int, units: int) -> None:
        super().__init__()
        self.embedding = layers.Embedding(vocab, E)
        self.gru = layers.GRU(units, return_sequences=True)
        self.attention = LuongAttention(units)
        self.fc = layers.Dense(vocab)

    def call(self, x: Any, state: Any, encoded: Any, training: bool = False) -> Any:
        y = self.gru(self.embedding(x), initial_state=state, training=training)
        attended, _ = self.attention([y, encoded])
        return self.fc(attended)


class Seq2Seq(keras.Model):
    def __init__(self, units: int = H) -> None:
        super().__init__()
        self.encoder = Encoder(V, units)
        self.decoder = Decoder(V, units)

    def call(self, inputs: Any, training: bool = False) -> Any:
        source, target = inputs
        encoded, state = self.encoder(source, training=training)
        return self.decoder(target, state, encoded, training=training)


class Stacked(keras.Model):
    """A list of layers of one's own."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.embed = layers.Embedding(V, E)
        self.blocks = [Highway() for _ in range(depth)]
        self.cells = [layers.GRU(E, return_sequences=True) for _ in range(depth)]
        self.pool = layers.GlobalMaxPooling1D()

    def call(self, x: Any) -> Any:
        x = self.embed(x)
        for block, cell in zip(self.blocks, self.cells, strict=True):
            x = x + block(cell(x))
        return self.pool(x)


class ByName(keras.Model):
    """Inputs and outputs are mappings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = layers.Embedding(V, E)
        self.lstm = layers.LSTM(H)
        self.label = layers.Dense(3, name="label")
        self.score = layers.Dense(1, name="score")

    def call(self, inputs: Any) -> Any:
        x = self.lstm(self.embed(inputs["ids"]))
        x = tf.concat([x, inputs["features"]], axis=-1)
        return {"label": tf.nn.softmax(self.label(x)), "score": self.score(x)}


class Wrapped(keras.Model):
    """A Sequential inside of a subclassed model."""

    def __init__(self) -> None:
        super().__init__()
        self.body = keras.Sequential(
            [layers.Embedding(V, E), layers.Bidirectional(layers.LSTM(3)), layers.Dense(2)]
        )

    def call(self, x: Any) -> Any:
        return ops.sigmoid(self.body(x))


def called(model: keras.Model, *arrays: Any) -> keras.Model:
    model(arrays[0] if len(arrays) == 1 else list(arrays))
    return model


IDS = np.arange(1, 11, dtype="int32").reshape(2, 5)


@stranger("subclassed BiLSTM classifier")
def _() -> Any:
    return called(BiLSTMClassifier(V, H, 3), IDS)


@stranger("subclassed model with a mask by hand")
def _() -> Any:
    return called(ExplicitMask(), IDS)


@stranger("subclassed encoder and decoder")
def _() -> Any:
    return called(Seq2Seq(), IDS, IDS[:, ::-1].copy())


@stranger("subclassed model with lists of layers")
def _() -> Any:
    return called(Stacked(), IDS)


@stranger("subclassed model of mappings")
def _() -> Any:
    return called(ByName(), {"ids": IDS, "features": np.ones((2, 2), "float32")})


@stranger("subclassed model around a Sequential")
def _() -> Any:
    return called(Wrapped(), IDS)


@stranger("a subclassed model inside of a functional one")
def _() -> Any:
    ids = tokens()
    return keras.Model(ids, layers.Dense(2, activation="softmax")(BiLSTMClassifier(V, 3, 4)(ids)))


# Around layers of Keras, and inside of other models.


class Described(layers.Layer):
    """Sizes asked for in the old ways; a mapping is given."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.parts = {"one": layers.Dense(units), "two": [layers.Dense(units), layers.Dense(1)]}

    def call(self, inputs: Any) -> Any:
        width = inputs.get_shape().as_list()[-1]
        *_, same = K.int_shape(inputs)
        one = self.parts["one"](inputs) / float(width)
        two, three = (layer(inputs) for layer in self.parts["two"])
        return {"sum": one + two, "gate": tf.nn.sigmoid(three) * same}


class InTensorFlowFunction(layers.Layer):
    """Its call is compiled; a part of it keeps its gradient back."""

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], 3), initializer="normal")

    @tf.function
    def call(self, x: Any) -> Any:
        y = tf.linalg.matmul(x, self.w)
        y = tf.ensure_shape(y, [None, None, 3])
        return tf.identity(y) - tf.stop_gradient(tf.reduce_mean(y, axis=1, keepdims=True))


class Variables(layers.Layer):
    """Variables of TensorFlow, an array of numpy and a constant, kept on the layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = tf.Variable(np.linspace(0.5, 1.5, width).astype("float32"))
        self.table = np.linspace(-1, 1, width).astype("float32")
        self.shift = tf.constant(0.25)

    def call(self, x: Any) -> Any:
        return x * self.scale + self.table - self.shift


class CrossAttention(layers.Layer):
    """Keras' own attention inside, called by keywords, with masks of both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True
        self.attention = layers.Attention(use_scale=True)
        self.additive = layers.AdditiveAttention()

    def call(self, query: Any, value: Any, query_mask: Any = None, value_mask: Any = None) -> Any:
        one = self.attention([query, value], mask=[query_mask, value_mask])
        return one + self.additive([query, value], mask=[query_mask, value_mask])


class Unrolled(layers.Layer):
    """A decoder that loops over its steps in Python, a cell and an attention shared by all."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.cell = layers.LSTMCell(units)
        self.attention = BahdanauAttention(units)
        self.units = units

    def call(self, x: Any) -> Any:
        batch = tf.shape(x)[0]
        h, c = tf.zeros((batch, self.units)), tf.zeros((batch, self.units))
        outputs = []
        for t in range(x.shape[1]):
            context, _ = self.attention(h, x)
            h, (h, c) = self.cell(tf.concat([x[:, t], context], axis=-1), [h, c])
            outputs.append(h)
        return tf.stack(outputs, axis=1)


class MinimalRNN(layers.RNN):
    """A layer around a cell of one's own, under a name of its own."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(MinimalGatedUnit(units), **kwargs)


class StartingCell(layers.Layer):
    """Begins in a state that it learns."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = self.state_size = self.output_size = units
        self.step = layers.Dense(units, activation="tanh")

    def build(self, input_shape: Any) -> None:
        self.start = self.add_weight(shape=(1, self.units), initializer="normal", name="start")
        self.step.build((None, input_shape[-1] + self.units))

    def get_initial_state(self, batch_size: Any = None) -> Any:
        return [ops.repeat(ops.convert_to_tensor(self.start), batch_size, axis=0)]

    def call(self, x: Any, states: Any) -> Any:
        h = self.step(ops.concatenate([x, states[0]], axis=-1))
        return h, [h]


class OnesCell(IndRNNCell):
    """Begins in ones."""

    def get_initial_state(self, batch_size: Any = None) -> Any:
        return [ops.ones((batch_size, self.units))]


class ZoneoutCell(layers.GRUCell):
    """Random in training alone."""

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        _, (h,) = super().call(inputs, states, training=training)
        before = states[0] if isinstance(states, list | tuple) else states
        if training:
            keep = ops.cast(keras.random.uniform(ops.shape(h)) < 0.1, h.dtype)
            h = keep * before + (1 - keep) * h
        else:
            h = 0.1 * before + 0.9 * h
        return h, [h]


class FunctionalSubclass(keras.Model):
    """Its graph is made in ``__init__``."""

    def __init__(self, units: int) -> None:
        ids = tokens()
        x = layers.GRU(units, return_sequences=True)(embedded(ids))
        super().__init__(inputs=ids, outputs=layers.Dense(2)(AttentionPooling(3)(x)))


class SequentialSubclass(keras.Sequential):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.add(keras.Input((None,), dtype="int32"))
        self.add(layers.Embedding(V, E, mask_zero=True))
        self.add(layers.Bidirectional(layers.LSTM(units, return_sequences=True)))
        self.add(AttentionWithContext())
        self.add(layers.Dense(1, activation="sigmoid"))


@stranger("hierarchical attention")
def _() -> Any:
    words = tokens("words", steps=4)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(embedded(words, masked=False))
    sentence = keras.Model(words, AttentionWithContext(name="words_attention")(x), name="sentence")
    text = keras.Input((None, 4), dtype="int32", name="text")
    y = layers.TimeDistributed(sentence)(text)
    y = layers.Bidirectional(layers.GRU(3, return_sequences=True))(y)
    return keras.Model(text, layers.Dense(2)(AttentionWithContext(name="sentences_attention")(y)))


@stranger("a layer of one's own for each step")
def _() -> Any:
    # What is inside is built by the first call alone.
    return called(after_bilstm(layers.TimeDistributed(GatedLinearUnit(3)), layers.LSTM(2), masked=False), IDS)


@stranger("inside of a Sequential in a functional model")
def _() -> Any:
    ids = tokens()
    pool = keras.Sequential([layers.GRU(H, return_sequences=True), Projection(3), AttentionPooling(2)])
    return keras.Model(ids, layers.Dense(2)(pool(embedded(ids))))


@stranger("sizes in the old ways, a mapping given")
def _() -> Any:
    ids = tokens()
    x = layers.LSTM(H, return_sequences=True)(embedded(ids, masked=False))
    given = Described(3)(x)
    return keras.Model(ids, [given["sum"], given["gate"]])


@stranger("a call that is a tf.function")
def _() -> Any:
    return after_bilstm(InTensorFlowFunction(), masked=False)


@stranger("variables of TensorFlow")
def _() -> Any:
    return after_bilstm(Variables(2 * H), masked=False)


@stranger("Keras' attention inside, by keywords")
def _() -> Any:
    source, target = tokens("source"), tokens("target")
    encoded = layers.LSTM(H, return_sequences=True)(embedded(source))
    decoded = layers.LSTM(H, return_sequences=True)(embedded(target))
    return keras.Model([source, target], CrossAttention()(query=decoded, value=encoded))


@stranger("a loop in Python over fixed steps")
def _() -> Any:
    return after_bilstm(Unrolled(3), masked=False, steps=4)


@stranger("a mask lost on the way")
def _() -> Any:
    return after_bilstm(Reverse(), layers.LSTM(3, return_sequences=True))


@stranger("a mask of features")
def _() -> Any:
    x = keras.Input((None, 3), name="x")
    y = layers.LSTM(H, return_sequences=True)(layers.Masking()(x))
    return keras.Model(x, layers.Dense(1)(AttentionWithContext()(y)))


@stranger("an RNN layer of one's own both ways")
def _() -> Any:
    ids = tokens()
    forward = MinimalRNN(H, return_sequences=True, name="there")
    backward = MinimalRNN(H, return_sequences=True, go_backwards=True, name="back")
    x = embedded(ids)
    return keras.Model(
        ids, layers.Concatenate()([forward(x), layers.Lambda(lambda t: t[:, ::-1])(backward(x))])
    )


@refused("a start that is learned", "get_initial_state")
def _() -> Any:
    return recurrent(StartingCell(H), return_sequences=True)


@refused("a start of ones", "get_initial_state")
def _() -> Any:
    return recurrent(OnesCell(H))


@stranger("zoneout")
def _() -> Any:
    return recurrent(ZoneoutCell(H), return_sequences=True)


@stranger("a functional model as a class")
def _() -> Any:
    return FunctionalSubclass(H)


@stranger("a Sequential as a class")
def _() -> Any:
    return SequentialSubclass(3)


# What no graph can say.


class Counting(layers.Layer):
    """Keeps a number on itself from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def call(self, x: Any) -> Any:
        self.calls += 1
        return x * float(self.calls)


class RunningMean(layers.Layer):
    """Changes a variable at inference."""

    def build(self, input_shape: Any) -> None:
        self.mean = self.add_weight(shape=(input_shape[-1],), initializer="zeros", trainable=False)

    def call(self, x: Any) -> Any:
        self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(x, axis=(0, 1)))
        return x - self.mean


class RandomScale(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * random.random()


class Branching(keras.Model):
    """Runs eagerly alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = layers.Embedding(V, E), layers.LSTM(H)

    def call(self, x: Any) -> Any:
        x = self.lstm(self.embed(x))
        if ops.sum(x) > 0:
            return x
        return -x


class InNumpy(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = layers.Embedding(V, E), layers.LSTM(H, return_sequences=True)

    def call(self, x: Any) -> Any:
        x = self.lstm(self.embed(x))
        return x - np.mean(x, axis=1, keepdims=True)


class Noise(layers.Layer):
    """Noise at inference too."""

    def call(self, x: Any) -> Any:
        return x + keras.random.normal(ops.shape(x), stddev=0.1)


class NoiseOfTensorFlow(layers.Layer):
    def call(self, x: Any) -> Any:
        return x + tf.random.normal(tf.shape(x))


class Stepping(layers.Layer):
    def call(self, x: Any) -> Any:
        return tf.map_fn(lambda row: tf.cumsum(row, axis=0), x)


class Numpy(layers.Layer):
    def call(self, x: Any) -> Any:
        y = tf.numpy_function(lambda a: np.sort(a, axis=1), [x], tf.float32)
        y.set_shape(x.shape)
        return y


class Conditional(layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.cond(ops.sum(x) > 0, lambda: x, lambda: -x)


class Looping(layers.Layer):
    def call(self, x: Any) -> Any:
        return tf.scan(lambda total, step: 0.5 * total + step, tf.transpose(x, [1, 0, 2]))


class Sampling(layers.Layer):
    """Of a variational autoencoder."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: Any) -> Any:
        mean, log_var = inputs
        epsilon = keras.random.normal(shape=ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_var) * epsilon


class Remembering(layers.Layer):
    """The last batch is kept for the next call."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = 0.0

    def call(self, x: Any) -> Any:
        mean = ops.mean(x)
        y = x - self.last
        self.last = mean
        return y


@refused("a condition in the graph", "keras.ops.cond")
def _() -> Any:
    return after_bilstm(Conditional())


class Rounds(layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.fori_loop(0, 3, lambda i, y: ops.tanh(y), x)


@refused("rounds of a loop", "'rounds': operation='keras.ops.fori_loop'")
def _() -> Any:
    return after_bilstm(Rounds(), masked=False)


@refused("a scan of TensorFlow", "Looping")
def _() -> Any:
    return after_bilstm(Looping(), masked=False)


@refused("a sample of a distribution", "Sampling")
def _() -> Any:
    ids = tokens()
    x = layers.LSTM(H)(embedded(ids))
    return keras.Model(ids, Sampling()([layers.Dense(2)(x), layers.Dense(2)(x)]))


@refused("a number kept on the layer", "Counting")
def _() -> Any:
    return after_bilstm(Counting())


@refused("a variable assigned", "RunningMean")
def _() -> Any:
    return after_bilstm(RunningMean())


@refused("randomness of Python", "RandomScale")
def _() -> Any:
    return after_bilstm(RandomScale())


@refused("control flow on values", "Branching")
def _() -> Any:
    return called(Branching(), IDS)


@refused("numpy in a call", "InNumpy")
def _() -> Any:
    return called(InNumpy(), IDS)


@refused("noise of Keras", "Noise")
def _() -> Any:
    return after_bilstm(Noise())


@refused("noise of TensorFlow", "NoiseOfTensorFlow")
def _() -> Any:
    return after_bilstm(NoiseOfTensorFlow())


@refused("a map over rows", "Stepping")
def _() -> Any:
    return after_bilstm(Stepping())


@refused("numpy inside of TensorFlow", "Numpy")
def _() -> Any:
    return after_bilstm(Numpy())
