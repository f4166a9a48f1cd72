# pyright: reportArgumentType=false, reportAssignmentType=false, reportIncompatibleMethodOverride=false
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false
"""Layers of a user's own that call TensorFlow, or need sizes as tensors, in the ways people write them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from keras.src.legacy import backend as K  # noqa: N812 (what everybody calls it)


class Layer(layers.Layer):
    """With weights drawn at random, biases too."""

    def weight(self, name: str, *shape: int, trainable: bool = True) -> Any:
        return self.add_weight(
            name=name, shape=shape, initializer=keras.initializers.RandomNormal(0, 0.7), trainable=trainable
        )


class AdditiveAttention(Layer):
    """Scores of a small network, a context vector, a weighted sum."""

    def build(self, shape: Any) -> None:
        self.W = self.weight("W", shape[-1], 5)
        self.b = self.weight("b", 5)
        self.u = self.weight("u", 5)

    def call(self, x: Any) -> Any:
        v = tf.tanh(tf.tensordot(x, self.W, axes=1) + self.b)
        weights = tf.nn.softmax(tf.tensordot(v, self.u, axes=1), name="weights")
        return tf.reduce_sum(x * tf.expand_dims(weights, -1), 1)


class BackendAttention(Layer):
    """With the functions of the old backend, the weights given too."""

    def build(self, shape: Any) -> None:
        self.W = self.weight("W", shape[-1], 1)
        self.b = self.weight("b", 1)

    def call(self, x: Any) -> Any:
        e = K.tanh(K.dot(x, self.W) + self.b)
        a = K.softmax(e, axis=1)
        return K.sum(x * a, axis=1), a


class MaskedAttention(Layer):
    """Exponentials under a mask over their sum; a vector is made a matrix for the product."""

    supports_masking = True

    def build(self, shape: Any) -> None:
        self.W = self.weight("W", shape[-1], shape[-1])
        self.b = self.weight("b", shape[-1])
        self.u = self.weight("u", shape[-1])

    def call(self, x: Any, mask: Any = None) -> Any:
        uit = K.tanh(K.dot(x, self.W) + self.b)
        ait = K.exp(K.squeeze(K.dot(uit, K.expand_dims(self.u)), axis=-1))
        if mask is not None:
            ait *= K.cast(mask, ait.dtype)
        ait /= K.cast(K.sum(ait, axis=1, keepdims=True) + 1e-7, ait.dtype)
        return K.sum(x * K.expand_dims(ait), axis=1)

    def compute_mask(self, x: Any, mask: Any = None) -> None:
        return None


class SelfAttention(Layer):
    """Queries, keys and values of one sequence, scaled by a size, and a mask of large negative numbers."""

    def build(self, shape: Any) -> None:
        self.Q, self.K, self.V = (self.weight(name, shape[-1], 3) for name in "QKV")

    def call(self, x: Any, mask: Any = None) -> Any:
        q, k, v = (tf.matmul(x, weight) for weight in (self.Q, self.K, self.V))
        scores = tf.matmul(q, k, transpose_b=True) / tf.math.sqrt(tf.cast(tf.shape(k)[-1], q.dtype))
        if mask is not None:
            scores += (1.0 - tf.cast(mask[:, tf.newaxis, :], scores.dtype)) * -1e9
        return tf.matmul(tf.nn.softmax(scores, axis=-1), v)


class Highway(Layer):
    """A gate between a transformation and its input."""

    def build(self, shape: Any) -> None:
        size = shape[-1]
        self.kernel, self.gate = self.weight("kernel", size, size), self.weight("gate", size, size)
        self.bias, self.gate_bias = self.weight("bias", size), self.weight("gate_bias", size)

    def call(self, x: Any) -> Any:
        gate = tf.nn.sigmoid(tf.nn.bias_add(tf.tensordot(x, self.gate, [[2], [0]]), self.gate_bias))
        h = tf.nn.relu(tf.nn.bias_add(tf.tensordot(x, self.kernel, [[2], [0]]), self.bias))
        return gate * h + (1 - gate) * x


class SinusoidalPositions(Layer):
    """A table of numbers made once, cut to the steps that there are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        angles = np.arange(40)[:, None] / np.power(10000, (2 * (np.arange(4)[None, :] // 2)) / 4)
        angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
        self.table = tf.cast(angles[np.newaxis], self.compute_dtype)

    def call(self, x: Any) -> Any:
        x *= tf.math.sqrt(tf.cast(4, x.dtype))
        return x + self.table[:, : tf.shape(x)[1], :]


class ComputedPositions(Layer):
    """The same made of the size when it runs."""

    def call(self, x: Any) -> Any:
        steps, size = tf.shape(x)[1], x.shape[-1]
        positions = tf.cast(tf.range(steps)[:, tf.newaxis], x.dtype)
        rates = tf.exp(tf.range(0, size, 2, dtype=x.dtype) * -(math.log(10000.0) / size))
        angles = positions * rates
        return x + tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)[tf.newaxis]


class TokenAndPosition(Layer):
    """Two embeddings, of ids and of places."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.token = layers.Embedding(9, 4, mask_zero=True)
        self.position = layers.Embedding(30, 4)

    def call(self, x: Any) -> Any:
        places = tf.range(start=0, limit=tf.shape(x)[-1], delta=1)
        return self.token(x) + self.position(places)


class MaskedMean(Layer):
    """The mean of the valid steps; of none zeros."""

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is None:
            return tf.reduce_mean(x, axis=1)
        weights = tf.cast(mask, x.dtype)[..., tf.newaxis]
        return tf.reduce_sum(x * weights, axis=1) / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)


class MaskedMax(Layer):
    """The largest of the valid steps."""

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is not None:
            x = tf.where(mask[:, :, tf.newaxis], x, tf.constant(-1e9, x.dtype))
        return tf.reduce_max(x, axis=-2)


class LastValid(Layer):
    """The last valid step, by the places of rows and steps."""

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is None:
            return x[:, -1]
        last = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1) - 1, 0)
        return tf.gather_nd(x, tf.stack([tf.range(tf.shape(x)[0]), last], axis=1))


class LastOfBatch(Layer):
    """The same by a gather of each row."""

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is None:
            return x[:, tf.shape(x)[1] - 1]
        last = tf.maximum(tf.math.count_nonzero(mask, axis=1, dtype=tf.int32) - 1, 0)
        return tf.gather(x, last, axis=1, batch_dims=1)


class SqueezeExcite(Layer):
    """Units weighted by what their means say, with layers inside."""

    def build(self, shape: Any) -> None:
        self.squeeze = layers.Dense(2, activation="relu")
        self.excite = layers.Dense(shape[-1], activation="sigmoid")
        self.squeeze.build((None, shape[-1]))
        self.excite.build((None, 2))

    def call(self, x: Any) -> Any:
        scale = self.excite(self.squeeze(tf.reduce_mean(x, axis=1)))
        return x * tf.expand_dims(scale, axis=1)


class SplitHeads(Layer):
    """Many heads by shapes: of the batch, the steps, the heads and what is left."""

    def build(self, shape: Any) -> None:
        self.qkv = layers.Dense(12)
        self.qkv.build(shape)

    def heads(self, x: Any, rows: Any) -> Any:
        return tf.transpose(tf.reshape(x, (rows, -1, 2, 2)), perm=[0, 2, 1, 3])

    def call(self, x: Any, mask: Any = None) -> Any:
        rows = tf.shape(x)[0]
        q, k, v = (self.heads(part, rows) for part in tf.split(self.qkv(x), 3, axis=-1))
        logits = tf.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(2)
        if mask is not None:
            logits += -1e9 * tf.cast(tf.logical_not(mask), logits.dtype)[:, None, None, :]
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(logits), v), [0, 2, 1, 3])
        return tf.reshape(mixed, (rows, tf.shape(x)[1], 4))


class CausalAttention(Layer):
    """No step sees a later one."""

    def call(self, x: Any) -> Any:
        steps = tf.shape(x)[1]
        allowed = tf.linalg.band_part(tf.ones((steps, steps), x.dtype), -1, 0)
        scores = tf.matmul(x, x, transpose_b=True) - 1e9 * (1 - allowed)
        return tf.matmul(tf.nn.softmax(scores), x)


class LayerNorm(Layer):
    """Over the features, by moments."""

    def build(self, shape: Any) -> None:
        self.gamma, self.beta = self.weight("gamma", shape[-1]), self.weight("beta", shape[-1])

    def call(self, x: Any) -> Any:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return self.gamma * (x - mean) * tf.math.rsqrt(variance + 1e-3) + self.beta


class GatedLinear(Layer):
    """One part of the features the gate of another."""

    def call(self, x: Any) -> Any:
        a, b = tf.split(x, num_or_size_splits=2, axis=-1)
        return tf.concat([a * tf.sigmoid(b), tf.nn.gelu(b), tf.nn.silu(a)], axis=-1)


class Differences(Layer):
    """Each step less the one before, with a step of zeros in front."""

    def call(self, x: Any) -> Any:
        steps = tf.pad(x[:, 1:] - x[:, :-1], [[0, 0], [1, 0], [0, 0]])
        return tf.concat([steps, tf.reverse(x, axis=[1]), K.reverse(steps, 1)], axis=2)


class RecurrentAttention(Layer):
    """A recurrent layer inside, which gets the mask, and attention over what it gives."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.encoder = layers.Bidirectional(layers.LSTM(3, return_sequences=True))
        self.score = layers.Dense(1, use_bias=False)

    def build(self, shape: Any) -> None:
        self.encoder.build(shape)
        self.score.build((None, None, 6))

    def call(self, x: Any, mask: Any = None) -> Any:
        states = self.encoder(x, mask=mask)
        scores = self.score(tf.tanh(states))
        if mask is not None:
            scores = tf.where(tf.expand_dims(mask, -1), scores, -1e9 * tf.ones_like(scores))
        return tf.reduce_sum(states * tf.nn.softmax(scores, axis=1), axis=1)


class ResidualBlocks(Layer):
    """Layers in a list, and custom ones inside."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.blocks = [layers.Dense(4), layers.Dense(4)]
        self.norms = [LayerNorm(), LayerNorm()]

    def build(self, shape: Any) -> None:
        for layer in (*self.blocks, *self.norms):
            layer.build(shape)

    def call(self, x: Any) -> Any:
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = norm(x + tf.nn.leaky_relu(block(x), alpha=0.1))
        return x


class Sizes(Layer):
    """``keras.ops`` that need sizes as tensors."""

    def build(self, shape: Any) -> None:
        self.start = self.weight("start", 3)

    def call(self, x: Any) -> Any:
        rows, steps = ops.shape(x)[0], ops.shape(x)[1]
        places = ops.cast(ops.arange(steps), x.dtype) / ops.cast(steps, x.dtype)
        first = ops.zeros((rows, 3), dtype=x.dtype) + self.start
        wide = ops.broadcast_to(first[:, None, :], (rows, steps, 3))
        return ops.concatenate([x * places[None, :, None], wide], axis=-1)


class CoAttention(Layer):
    """Two sequences, each summed up by the other."""

    def call(self, inputs: Any) -> Any:
        one, two = inputs
        scores = K.batch_dot(one, two, axes=[2, 2])
        seen = K.batch_dot(K.softmax(scores), two, axes=[2, 1])
        back = K.batch_dot(K.permute_dimensions(K.softmax(scores, axis=1), (0, 2, 1)), one)
        return K.concatenate([K.max(seen, axis=1), K.mean(back, axis=1)])


class Bilinear(Layer):
    """Two vectors against each other, and how alike they are."""

    def build(self, shape: Any) -> None:
        self.W = self.weight("W", 2, shape[0][-1], shape[1][-1])

    def call(self, inputs: Any) -> Any:
        a, b = inputs
        score = tf.einsum("nti,oij,nsj->nots", a, self.W, b)
        alike = tf.matmul(tf.nn.l2_normalize(a, axis=-1), tf.nn.l2_normalize(b, axis=-1), transpose_b=True)
        return score + tf.expand_dims(alike, 1)


class Repeated(Layer):
    """A vector at each step beside the features."""

    def build(self, shape: Any) -> None:
        self.seed = self.weight("seed", 1, 2)

    def call(self, x: Any) -> Any:
        vector = tf.tile(self.seed, [tf.shape(x)[0], 1])
        wide = tf.tile(vector[:, None, :], tf.stack([1, tf.shape(x)[1], 1]))
        return tf.concat([x, wide, K.repeat_elements(x, 2, axis=2)], -1)


class Compiled(Layer):
    """Functions of TensorFlow inside the function."""

    def build(self, shape: Any) -> None:
        self.W = self.weight("W", shape[-1], 3)

    @tf.function(autograph=False)
    def score(self, x: Any) -> Any:
        return tf.nn.log_softmax(tf.matmul(x, self.W))

    def call(self, x: Any) -> Any:
        return self.score(x) + self.score(tf.square(x))


class KMaxPooling(Layer):
    """The largest steps of each unit, and running sums."""

    def call(self, x: Any) -> Any:
        turned = tf.transpose(x, [0, 2, 1])
        largest = tf.nn.top_k(turned, k=2, sorted=True)[0]
        running = tf.cumsum(x, axis=1, reverse=True) + tf.math.cumsum(x, axis=1, exclusive=True)
        return tf.concat([K.batch_flatten(largest), tf.reduce_logsumexp(running, axis=1)], axis=-1)


class LookedUp(Layer):
    """A table of its own, looked up with ids; and ids as vectors of ones and zeros."""

    def build(self, shape: Any) -> None:
        self.table = self.weight("table", 9, 3)

    def call(self, ids: Any) -> Any:
        rows = tf.nn.embedding_lookup(self.table, ids) + tf.gather(self.table, tf.math.floormod(ids, 3))
        counts = tf.reduce_sum(tf.one_hot(ids, depth=9, dtype=rows.dtype), axis=1)
        known = tf.cast(tf.not_equal(ids, 0), rows.dtype)
        return tf.reduce_sum(rows * known[..., None], 1), counts


class Elementwise(Layer):
    """Functions of each element."""

    def call(self, x: Any) -> Any:
        clipped = tf.clip_by_value(x, -0.5, 0.8)
        parts = [
            tf.nn.softplus(x) - tf.nn.elu(x),
            tf.math.erf(clipped) + tf.nn.softsign(x),
            tf.where(x > 0, tf.math.log1p(tf.abs(x)), tf.zeros_like(x)),
            tf.math.divide_no_nan(clipped, tf.nn.relu(x)),
            tf.math.squared_difference(x, clipped) ** 2,
        ]
        return tf.add_n(parts) + tf.cast(tf.logical_and(x < 0.3, x > -0.3), x.dtype)


class OwnVariables(tf.Module):
    """A module of TensorFlow's."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.scale = tf.Variable(tf.constant([0.3, -1.2, 0.7, 2.0], dtype))

    def __call__(self, x: Any) -> Any:
        return x * self.scale


class WithModule(Layer):
    """Variables of TensorFlow's own, and one that is not trained."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.module = OwnVariables(self.compute_dtype)

    def build(self, shape: Any) -> None:
        self.shift = self.weight("shift", shape[-1], trainable=False)

    def call(self, x: Any) -> Any:
        return tf.add(self.module(x), self.shift)


class Decoder(Layer):
    """States from a network, then a recurrent layer that begins with them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.h, self.c = layers.Dense(3, "tanh"), layers.Dense(3)
        self.lstm = layers.LSTM(3, return_sequences=True, return_state=True)

    def build(self, shape: Any) -> None:
        for layer in (self.h, self.c):
            layer.build((None, shape[-1]))
        self.lstm.build(shape)

    def call(self, x: Any) -> Any:
        summary = tf.reduce_mean(x, 1)
        steps, h, c = self.lstm(x, initial_state=[self.h(summary), self.c(summary)])
        return steps, tf.concat([h, c], axis=1)


class EyeAttention(Layer):
    """Each step sees all but itself, and matrices with other diagonals."""

    def call(self, x: Any) -> Any:
        steps = tf.shape(x)[1]
        itself = tf.eye(steps, dtype=x.dtype)
        scores = tf.matmul(x, x, transpose_b=True) - 1e9 * itself[None]
        weights = tf.nn.softmax(scores)
        return tf.matmul(tf.linalg.set_diag(weights, tf.reduce_sum(x, -1)), x)


class Reversed(Layer):
    """The valid steps in reverse order, each row by its own length."""

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is None:
            return tf.roll(x, shift=2, axis=1)
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        return tf.concat([x, tf.reverse_sequence(x, lengths, seq_axis=1)], axis=-1)


class Cut(Layer):
    """Parts by sizes: the first and the second part of the steps, windows, and rows for each head."""

    def call(self, x: Any) -> Any:
        rows, steps = tf.shape(x)[0], tf.shape(x)[1]
        middle = steps // 2
        windows = tf.reshape(x[:, : middle * 2], [rows, middle, 2, 4])
        mirrored = tf.pad(x, [[0, 0], [0, 0], [1, 1]], mode="REFLECT")[..., 1:-1]
        later = tf.slice(mirrored, [0, 1, 0], [rows, steps - 1, 4]) - tf.slice(
            x, [0, 0, 0], [-1, steps - 1, 4]
        )
        heads = tf.concat(tf.split(x, 2, axis=2), axis=0)
        joined = tf.concat(tf.split(tf.nn.softmax(heads), 2, axis=0), axis=2)
        last = x[:, steps - 1, tf.newaxis] + joined[..., ::2, :]
        return tf.reduce_mean(windows, 2), later, last, K.switch(x > 0, x, K.zeros_like(x))


class CompiledLayers(Layer):
    """Layers called in functions of TensorFlow's, twice."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dense = layers.Dense(4)
        self.places = layers.Embedding(9, 4)

    def build(self, shape: Any) -> None:
        self.dense.build(shape)
        self.places.build()

    @tf.function
    def step(self, x: Any) -> Any:
        return tf.nn.relu(self.dense(x) + self.places(np.arange(1)))

    def call(self, x: Any) -> Any:
        return self.step(self.step(x))


class Squares(Layer):
    """Products that sum over steps, diagonals, and a layer of Keras' own that is no layer of a graph."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.mixed = layers.EinsumDense("nti,io->nto", output_shape=(None, 4), bias_axes="o")

    def build(self, shape: Any) -> None:
        self.A = self.weight("A", 4, 4)
        self.mixed.build(shape)

    def call(self, x: Any) -> Any:
        ages = tf.cast(tf.range(tf.shape(x)[1])[::-1], x.dtype)
        decayed = tf.tensordot(tf.exp(-0.1 * ages), x, axes=[[0], [1]])
        norms = tf.linalg.diag_part(tf.matmul(x, x, transpose_b=True))
        return decayed, tf.linalg.matvec(self.A, self.mixed(x)) + norms[..., None]


class ScaledGRU(layers.GRU):
    """What a recurrent layer does, of another input."""

    def __init__(self, **options: Any) -> None:
        super().__init__(3, return_sequences=True, bias_initializer="glorot_uniform", **options)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = False) -> Any:
        scaled = tf.tanh(sequences) / tf.math.sqrt(tf.cast(tf.shape(sequences)[-1], sequences.dtype))
        return super().call(scaled, initial_state=initial_state, mask=mask, training=training)


@dataclass(frozen=True)
class Case:
    """A layer and what it is called with.

    Args:
        kind: its class.
        features: of each of its inputs ``(N, T, features)``; 0 of ids ``(N, T)``.
        masked: whether it takes a mask.
    """

    kind: type[layers.Layer]
    features: Sequence[int] = (4,)
    masked: bool = False

    @property
    def name(self) -> str:
        return self.kind.__name__


class FeatureMaps(Layer):
    """Convolutions, pooling and resizing over one axis and two, by kernels of its own."""

    def build(self, shape: Any) -> None:
        self.kernel, self.bias = self.weight("kernel", 2, 3, 1, 2), self.weight("bias", 2)
        self.depthwise = self.weight("depthwise", 2, 2, 2, 2, trainable=False)
        self.back = self.weight("back", 3, 3, 3, 4)
        self.steps = self.weight("steps", 3, shape[-1], 2)

    def call(self, x: Any) -> Any:
        y = tf.nn.conv2d(tf.expand_dims(x, -1), self.kernel, [1, 2, 1, 1], "SAME")
        y = tf.nn.max_pool2d(tf.nn.relu(y + self.bias), [2, 1], 1, "SAME")
        y = tf.nn.depthwise_conv2d(y, self.depthwise, [1, 1, 1, 1], [[0, 0], [1, 0], [0, 1], [0, 0]])
        n, rows, columns, _ = tf.unstack(tf.shape(y))
        z = tf.nn.conv2d_transpose(y, self.back, [n, rows * 2, columns * 2, 3], 2, "SAME")
        # Between pixels it would give float32, whatever it is given.
        z = tf.image.resize(tf.nn.avg_pool2d(z, 2, 2, "VALID"), [rows * 2, columns], method="nearest")
        return tf.reduce_sum(z, (1, 2)), tf.nn.max_pool1d(
            tf.nn.conv1d(x, self.steps, 1, "SAME"), 2, 2, "SAME"
        )


CASES = [
    Case(FeatureMaps),
    Case(AdditiveAttention),
    Case(BackendAttention),
    Case(MaskedAttention, masked=True),
    Case(SelfAttention, masked=True),
    Case(Highway),
    Case(SinusoidalPositions),
    Case(ComputedPositions),
    Case(TokenAndPosition, features=(0,)),
    Case(MaskedMean, masked=True),
    Case(MaskedMax, masked=True),
    Case(LastValid, masked=True),
    Case(LastOfBatch, masked=True),
    Case(SqueezeExcite),
    Case(SplitHeads, masked=True),
    Case(CausalAttention),
    Case(LayerNorm),
    Case(GatedLinear),
    Case(Differences),
    Case(RecurrentAttention, masked=True),
    Case(ResidualBlocks),
    Case(Sizes),
    Case(CoAttention, features=(4, 4)),
    Case(Bilinear, features=(4, 4)),
    Case(Repeated),
    Case(Compiled),
    Case(KMaxPooling),
    Case(LookedUp, features=(0,)),
    Case(Elementwise),
    Case(WithModule),
    Case(Decoder),
    Case(EyeAttention),
    Case(Reversed, masked=True),
    Case(Cut),
    Case(Squares),
    Case(ScaledGRU, masked=True),
    Case(CompiledLayers),
]
