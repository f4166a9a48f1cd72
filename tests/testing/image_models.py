"""Keras models with feature maps in front of recurrence, the way people write them.

Readers of captchas, plates and handwriting, speech, sound events, video, brain waves. Each is built by Keras
3 or by Keras 2 (``tf_keras``), whichever package it is given; none has anything to do with how biport works.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Build = Callable[[Any], Any]

IMAGE_MODELS: dict[str, Build] = {}
"""By name what builds a model with a package of Keras."""
KERAS_3: set[str] = set()
"""Those that Keras 2 has no layers for."""


def image_model(build: Build) -> Build:
    """Put a model into the list."""
    IMAGE_MODELS[build.__name__] = build
    return build


def keras_3(build: Build) -> Build:
    """The same, for Keras 3 alone."""
    KERAS_3.add(build.__name__)
    return image_model(build)


def built(name: str, package: Any, seed: int = 0) -> Any:
    """The model with weights of the scale that training leaves, none of them zero, variances positive."""
    model = IMAGE_MODELS[name](package)
    rng = np.random.default_rng(seed)
    weights = []
    for variable in model.weights:
        shape = tuple(variable.shape)
        path = getattr(variable, "path", variable.name)
        if "variance" in path:
            values = 0.3 + np.abs(rng.normal(size=shape))
        elif "gamma" in path:
            values = rng.uniform(0.5, 1.5, shape)
        elif len(shape) < 2 or "bias" in path:
            values = 0.3 * rng.normal(size=shape)
        else:
            # With relu a recurrence of larger weights grows without end.
            scale = 0.5 if "recurrent" in path else 1.5
            values = rng.normal(size=shape) * scale / math.sqrt(math.prod(shape[:-1]))
        weights.append(values.astype("float32"))
    model.set_weights(weights)
    return model


@image_model
def captcha(k: Any) -> Any:
    """Columns of an image are the steps: width comes first, the image is turned before."""
    L = k.layers
    image = L.Input((20, 12, 1), name="image")
    x = L.Conv2D(4, (3, 3), activation="relu", kernel_initializer="he_normal", padding="same")(image)
    x = L.MaxPooling2D((2, 2), name="pool1")(x)
    x = L.Conv2D(6, (3, 3), activation="relu", padding="same")(x)
    x = L.MaxPooling2D((2, 2), name="pool2")(x)
    x = L.Reshape(target_shape=(20 // 4, 12 // 4 * 6), name="reshape")(x)
    x = L.Dense(8, activation="relu", name="dense1")(x)
    x = L.Dropout(0.2)(x)
    x = L.Bidirectional(L.LSTM(5, return_sequences=True, dropout=0.25))(x)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True, dropout=0.25))(x)
    return k.Model(image, L.Dense(7, activation="softmax", name="dense2")(x), name="reader")


@image_model
def captcha_by_height(k: Any) -> Any:
    """Height first, as a file holds it: turned inside, so that columns become steps."""
    L = k.layers
    image = L.Input((12, 20, 3), name="image")
    x = L.Rescaling(1.0 / 255)(image)
    x = L.Conv2D(4, 3, padding="same")(x)
    x = L.BatchNormalization()(x)
    x = L.ReLU()(x)
    x = L.MaxPooling2D()(x)
    x = L.Conv2D(5, 3, padding="same")(x)
    x = L.LeakyReLU(0.1)(x)
    x = L.MaxPooling2D((2, 1))(x)
    x = L.Permute((2, 1, 3))(x)
    x = L.TimeDistributed(L.Flatten())(x)
    x = L.Bidirectional(L.GRU(4, return_sequences=True))(x)
    return k.Model(image, L.Dense(6, activation="softmax")(x))


@image_model
def plate_reader(k: Any) -> Any:
    """Pools of one axis, a kernel of two by two, LSTMs of both directions by hand, norms over sequences."""
    L = k.layers
    x = image = L.Input((16, 16, 1), name="the_input")
    for number, (size, pool) in enumerate(((3, (2, 2)), (4, (2, 2)), (5, None), (5, (1, 2)))):
        x = L.Conv2D(size, (3, 3), padding="same", name=f"conv{number}")(x)
        x = L.BatchNormalization()(x)
        x = L.Activation("relu")(x)
        x = L.MaxPooling2D(pool_size=pool, name=f"max{number}")(x) if pool else x
    x = L.Conv2D(6, (2, 2), padding="same", name="con7")(x)
    x = L.Activation("relu")(L.BatchNormalization()(x))
    x = L.Reshape((4, 12), name="reshape")(x)
    x = L.Dense(6, activation="relu", name="dense1")(x)
    forwards = L.LSTM(5, return_sequences=True, name="lstm1")(x)
    backwards = L.LSTM(5, return_sequences=True, go_backwards=True, name="lstm1_b")(x)
    x = L.BatchNormalization()(L.add([forwards, backwards]))
    forwards = L.LSTM(4, return_sequences=True, name="lstm2")(x)
    backwards = L.LSTM(4, return_sequences=True, go_backwards=True, name="lstm2_b")(x)
    x = L.BatchNormalization()(L.concatenate([forwards, backwards]))
    x = L.Dense(7, name="dense2")(x)
    return k.Model(image, L.Activation("softmax", name="softmax")(x))


@image_model
def lines_of_any_width(k: Any) -> Any:
    """Handwriting of any width: what is left of the height and the channels are one feature vector."""
    L = k.layers
    image = L.Input((None, 8, 1), name="image")
    x = L.Conv2D(4, 3, activation="elu", padding="same")(image)
    x = L.MaxPooling2D((2, 2), padding="same")(x)
    x = L.Conv2D(5, 3, strides=(2, 2), activation="relu", padding="same")(x)
    x = L.TimeDistributed(L.Flatten())(x)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode="sum")(x)
    return k.Model(image, L.Dense(6, activation="softmax")(x))


@image_model
def deep_speech(k: Any) -> Any:
    """Spectrograms of any length, strided in both axes; GRUs of both directions, ``reset_after``."""
    L = k.layers
    spectrogram = L.Input((None, 13), name="input")
    x = L.Reshape((-1, 13, 1), name="expand_dim")(spectrogram)
    x = L.Conv2D(3, [5, 7], strides=[2, 2], padding="same", use_bias=False, name="conv_1")(x)
    x = L.BatchNormalization(name="conv_1_bn")(x)
    x = L.ReLU(name="conv_1_relu")(x)
    x = L.Conv2D(4, [5, 3], strides=[1, 2], padding="same", use_bias=False, name="conv_2")(x)
    x = L.BatchNormalization(name="conv_2_bn")(x)
    x = L.ReLU(name="conv_2_relu")(x)
    x = L.Reshape((-1, x.shape[-2] * x.shape[-1]))(x)
    for number in range(2):
        gru = L.GRU(
            4, recurrent_activation="sigmoid", return_sequences=True, reset_after=True, name=f"gru_{number}"
        )
        x = L.Bidirectional(gru, name=f"bidirectional_{number}", merge_mode="concat")(x)
        x = L.Dropout(0.5)(x)
    x = L.Dense(6, name="dense_1")(x)
    x = L.Dropout(0.5)(L.ReLU(name="dense_1_relu")(x))
    return k.Model(spectrogram, L.Dense(5, activation="softmax")(x), name="DeepSpeech_2")


@image_model
def sound_events(k: Any) -> Any:
    """Channels first throughout; the pooled frequencies of all channels are the features of a step."""
    L = k.layers
    spectrogram = L.Input((2, 6, 30), name="spectrogram")
    x = spectrogram
    for pool in (5, 2):
        x = L.Conv2D(4, (3, 3), padding="same", data_format="channels_first")(x)
        x = L.BatchNormalization(axis=1)(x)
        x = L.Activation("relu")(x)
        x = L.MaxPooling2D(pool_size=(1, pool), data_format="channels_first")(x)
        x = L.Dropout(0.5)(x)
    x = L.Permute((2, 1, 3))(x)
    x = L.Reshape((6, -1))(x)
    for _ in range(2):
        gru = L.GRU(4, activation="tanh", dropout=0.5, recurrent_dropout=0.5, return_sequences=True)
        x = L.Bidirectional(gru, merge_mode="mul")(x)
    x = L.Dropout(0.5)(L.TimeDistributed(L.Dense(5))(x))
    x = L.TimeDistributed(L.Dense(3))(x)
    return k.Model(spectrogram, L.Activation("sigmoid", name="strong_out")(x))


@image_model
def lrcn(k: Any) -> Any:
    """Every layer of the image stack in a TimeDistributed of its own."""
    L = k.layers
    each = L.TimeDistributed
    return k.Sequential(
        [
            L.Input((4, 16, 16, 3)),
            each(L.Conv2D(4, (3, 3), padding="same", activation="relu")),
            each(L.MaxPooling2D((4, 4))),
            each(L.Dropout(0.25)),
            each(L.Conv2D(5, (3, 3), padding="same", activation="relu")),
            each(L.BatchNormalization()),
            each(L.MaxPooling2D((2, 2), strides=(2, 2))),
            each(L.Flatten()),
            L.LSTM(6),
            L.Dense(3, activation="softmax"),
        ]
    )


@image_model
def frames_by_a_model(k: Any) -> Any:
    """A whole network for each frame of a film of any length, averaged over its positions."""
    L = k.layers
    cnn = k.Sequential(
        [
            L.Input((12, 10, 3)),
            L.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            L.BatchNormalization(),
            L.SeparableConv2D(5, 3, padding="same", activation="relu"),
            L.AveragePooling2D(2, padding="same"),
            L.GlobalAveragePooling2D(),
        ],
        name="cnn",
    )
    film = L.Input((None, 12, 10, 3), name="film")
    x = L.TimeDistributed(cnn)(film)
    x = L.GRU(4, return_sequences=True)(x)
    x = L.GRU(3)(x)
    return k.Model(film, L.Dense(2, activation="softmax")(L.Dropout(0.4)(x)))


@image_model
def next_frames(k: Any) -> Any:
    """ConvLSTMs of relu over frames, and a convolution over time and frame that makes the next ones."""
    L = k.layers
    frames = L.Input((None, 8, 6, 1), name="frames")
    x = frames
    for kernel in ((5, 5), (3, 3), (1, 1)):
        x = L.ConvLSTM2D(3, kernel_size=kernel, padding="same", return_sequences=True, activation="relu")(x)
        x = L.BatchNormalization()(x)
    return k.Model(frames, L.Conv3D(1, (3, 3, 3), activation="sigmoid", padding="same")(x))


@image_model
def video_classes(k: Any) -> Any:
    """ConvLSTMs that shrink frames, pooled over the frame alone."""
    L = k.layers
    model = k.Sequential([L.Input((4, 14, 14, 2))])
    for size, whole in ((2, True), (3, True)):
        model.add(
            L.ConvLSTM2D(size, (3, 3), activation="tanh", recurrent_dropout=0.2, return_sequences=whole)
        )
        model.add(L.MaxPooling3D(pool_size=(1, 2, 2), padding="same"))
        model.add(L.TimeDistributed(L.Dropout(0.2)))
    model.add(L.Flatten())
    model.add(L.Dense(4, activation="softmax"))
    return model


@image_model
def weather_ahead(k: Any) -> Any:
    """ConvLSTMs in both directions, the last state a map, made larger again."""
    L = k.layers
    maps = L.Input((4, 6, 8, 2), name="maps")
    both = L.ConvLSTM2D(
        3, 3, strides=2, padding="same", return_sequences=True, recurrent_activation="sigmoid"
    )
    x = L.Bidirectional(both)(maps)
    x = L.ConvLSTM2D(4, (3, 3), padding="same", dilation_rate=2)(x)
    x = L.UpSampling2D(2, interpolation="bilinear")(x)
    return k.Model(maps, L.Conv2D(1, 1)(x))


@image_model
def univariate_forecast(k: Any) -> Any:
    """Parts of a series as frames of one row."""
    L = k.layers
    return k.Sequential(
        [
            L.Input((3, 1, 5, 1)),
            L.ConvLSTM2D(4, kernel_size=(1, 2), activation="relu"),
            L.Flatten(),
            L.Dense(2),
        ]
    )


@image_model
def parts_of_a_series(k: Any) -> Any:
    """A one-dimensional stack for each part of a series."""
    L = k.layers
    each = L.TimeDistributed
    return k.Sequential(
        [
            L.Input((None, 8, 2)),
            each(L.Conv1D(4, 3, activation="relu")),
            each(L.Conv1D(3, 2, activation="relu", dilation_rate=2)),
            each(L.MaxPooling1D(2)),
            each(L.Flatten()),
            L.LSTM(5, activation="relu"),
            L.Dense(1),
        ]
    )


@image_model
def brain_waves(k: Any) -> Any:
    """Kernels over time, then over electrodes depthwise, then separable; averages of time are the steps."""
    L = k.layers
    signal = L.Input((4, 32, 1), name="eeg")
    x = L.Conv2D(3, (1, 8), padding="same", use_bias=False)(signal)
    x = L.BatchNormalization()(x)
    x = L.DepthwiseConv2D((4, 1), depth_multiplier=2, use_bias=False)(x)
    x = L.Activation("elu")(L.BatchNormalization()(x))
    x = L.SpatialDropout2D(0.5)(L.AveragePooling2D((1, 4))(x))
    x = L.SeparableConv2D(5, (1, 4), padding="same", use_bias=False)(x)
    x = L.Activation("elu")(L.BatchNormalization()(x))
    x = L.Reshape((4, 5))(L.Dropout(0.5)(L.AveragePooling2D((1, 2))(x)))
    return k.Model(signal, L.Dense(4, activation="softmax")(L.LSTM(4)(x)))


@image_model
def raw_sound(k: Any) -> Any:
    """Samples, strided and dilated: causal, depthwise, separable, and steps made again behind the LSTM."""
    L = k.layers
    samples = L.Input((None, 1), name="samples")
    x = L.Conv1D(4, 9, strides=3, padding="same", activation="relu")(samples)
    x = L.Conv1D(6, 3, dilation_rate=2, padding="causal", groups=2)(x)
    x = L.PReLU(shared_axes=[1])(L.BatchNormalization()(x))
    x = L.SeparableConv1D(5, 3, padding="same", depth_multiplier=2, activation="tanh")(x)
    x = L.SpatialDropout1D(0.2)(L.AveragePooling1D(2, padding="same")(x))
    x = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    x = L.UpSampling1D(2)(x)
    x = L.Conv1DTranspose(3, 4, strides=3, padding="same", activation="relu")(x)
    return k.Model(samples, L.Dense(2, activation="sigmoid")(x))


@image_model
def separated_voice(k: Any) -> Any:
    """Halves of a spectrogram's size and back, joined at each size, with an LSTM between."""
    L = k.layers
    mix = L.Input((8, 12, 2), name="mix")
    first = L.Conv2D(3, 3, padding="same", activation="relu")(mix)
    x = L.MaxPooling2D()(first)
    second = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = L.Conv2D(5, 5, strides=2, padding="same")(second)
    x = L.LeakyReLU(0.2)(L.BatchNormalization()(x))
    x = L.Reshape((2, 15))(x)
    x = L.Bidirectional(L.LSTM(6, return_sequences=True))(x)
    x = L.Reshape((2, 3, 4))(x)
    x = L.Conv2DTranspose(4, 5, strides=2, padding="same", activation="relu")(x)
    x = L.Concatenate()([x, second])
    x = L.UpSampling2D((2, 2))(L.Conv2D(3, 3, padding="same", activation="relu")(x))
    x = L.concatenate([x, first], axis=3)
    x = L.Conv2D(2, 1, activation="sigmoid")(x)
    return k.Model(mix, L.multiply([x, mix]))


@image_model
def small_mobile_net(k: Any) -> Any:
    """Padding that is written out before strides, depthwise and pointwise, relu to 6, residual sums."""
    L = k.layers
    image = L.Input((17, 16, 3), name="image")
    x = L.ZeroPadding2D(((0, 1), (0, 1)))(image)
    x = L.Conv2D(4, 3, strides=2, padding="valid", use_bias=False)(x)
    x = L.ReLU(6.0)(L.BatchNormalization(epsilon=1e-3, momentum=0.999)(x))
    y = L.Conv2D(8, 1, use_bias=False)(x)
    y = L.ReLU(6.0)(L.BatchNormalization()(y))
    y = L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = L.ReLU(6.0)(L.BatchNormalization()(y))
    y = L.BatchNormalization()(L.Conv2D(4, 1, use_bias=False)(y))
    x = L.add([x, y])
    x = L.Cropping2D(((1, 0), (0, 1)))(x)
    weights = L.Dense(4, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))
    x = L.multiply([x, weights])
    x = L.Reshape((7, -1))(x)
    return k.Model(image, L.Dense(3)(L.GRU(4)(x)))


@image_model
def small_residual_net(k: Any) -> Any:
    """A residual network whose positions, read in rows, are steps; two inputs, as captions have."""
    L = k.layers
    image = L.Input((14, 14, 3), name="image")
    x = L.ZeroPadding2D(padding=(3, 3), name="conv1_pad")(image)
    x = L.Conv2D(4, 7, strides=2, use_bias=True, name="conv1_conv")(x)
    x = L.Activation("relu")(L.BatchNormalization(axis=3, epsilon=1.001e-5)(x))
    x = L.ZeroPadding2D(padding=((1, 1), (1, 1)), name="pool1_pad")(x)
    x = L.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    shortcut = L.BatchNormalization(axis=3)(L.Conv2D(6, 1, strides=2, name="conv2_0_conv")(x))
    y = L.Conv2D(6, 3, strides=2, padding="same", name="conv2_1_conv")(x)
    y = L.Activation("relu")(L.BatchNormalization(axis=3)(y))
    y = L.BatchNormalization(axis=3)(L.Conv2D(6, 3, padding="same", name="conv2_2_conv")(y))
    x = L.Activation("relu")(L.Add()([shortcut, y]))
    features = L.Dense(5, activation="relu")(L.Dropout(0.5)(L.GlobalMaxPooling2D()(x)))
    words = L.Input((None,), dtype="int32", name="words")
    y = L.LSTM(5)(L.Embedding(11, 4, mask_zero=True)(words))
    y = L.Dense(5, activation="relu")(L.add([features, y]))
    return k.Model([image, words], L.Dense(11, activation="softmax")(y))


@image_model
def volumes(k: Any) -> Any:
    """Convolutions over time and frame, padded by hand, each step's map flattened for the LSTM."""
    L = k.layers
    film = L.Input((6, 10, 8, 1), name="film")
    x = L.Conv3D(3, (3, 3, 3), activation="relu", padding="same")(film)
    x = L.MaxPooling3D((1, 2, 2), strides=(1, 2, 2))(x)
    x = L.ZeroPadding3D((1, 0, 0))(x)
    x = L.Conv3D(4, 3, strides=(1, 2, 1), activation="relu")(x)
    x = L.AveragePooling3D((2, 1, 2), padding="same")(x)
    x = L.Reshape((3, -1))(L.BatchNormalization()(x))
    return k.Model(film, L.Dense(2)(L.LSTM(4)(x)))


@keras_3
def normalised_maps(k: Any) -> Any:
    """Norms over groups, over channels, over the map; transposed by an operation, averaged over frequency."""
    L, ops = k.layers, k.ops
    spectrogram = L.Input((None, 9, 1), name="spectrogram")
    x = L.Conv2D(4, 3, padding="same", use_bias=False)(spectrogram)
    x = L.Activation("silu")(L.GroupNormalization(2)(x))
    x = L.Conv2D(4, (3, 5), strides=(1, 2), padding="same")(x)
    x = L.Activation("gelu")(L.LayerNormalization(axis=[2, 3])(x))
    x = L.LayerNormalization()(x)
    x = ops.mean(x, axis=2)
    x = L.Bidirectional(L.GRU(3, return_sequences=True))(x)
    return k.Model(spectrogram, L.Dense(3)(ops.max(x, axis=1)))


@keras_3
def columns_by_operations(k: Any) -> Any:
    """An image of any width: transposed and reshaped by operations, beside its average column."""
    L, ops = k.layers, k.ops
    image = L.Input((8, None, 1), name="image")
    x = L.MaxPooling2D(2)(L.Conv2D(4, 3, padding="same", activation="relu")(image))
    x = ops.transpose(x, (0, 2, 1, 3))
    x = ops.reshape(x, (-1, ops.shape(x)[1] or -1, 16)) if x.shape[1] else L.Reshape((-1, 16))(x)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True))(x)
    x = x + L.Dense(8)(x)
    return k.Model(image, ops.softmax(L.Dense(5)(x), axis=-1))
