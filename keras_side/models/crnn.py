"""A reader of lines of text: convolutions make features of each part of a picture, a BiLSTM reads them.

Its twin in PyTorch is ``torch_side/models/crnn.py``: same arguments, same names, same order.

Source: Shi et al. 2015, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition",
arXiv:1507.05717, in small, with batch normalization behind every convolution.
"""

from __future__ import annotations

import keras
from keras import layers


def crnn(
    classes: int,
    height: int = 32,
    channels: int = 1,
    filters: tuple[int, ...] = (16, 32),
    features: int = 64,
    units: int = 48,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the reader.

    Args:
        classes: C, the characters and the blank, which is class 0.
        height: H of the pictures, which halves with each convolution; any width W goes.
        channels: 1 for grey pictures, 3 for RGB.
        filters: channels of each convolution; one entry or more.
        features: what a column of the last feature map is made into.
        units: H of the BiLSTM.
        dropout: share dropped in training, of the features and before the characters.

    Returns:
        A model from pictures ``(N, H, W, channels)``, pixels of 0 to 255, to probabilities of each class at
        each step, ``(N, W // 2 ** len(filters), C)``.
    """
    images = keras.Input((height, None, channels), name="images")
    # Black is 1, white almost 0: a scale that every dtype has exactly.
    x = layers.Rescaling(-1 / 256, offset=1.0, name="scaling")(images)
    for number, size in enumerate(filters, start=1):
        x = layers.Conv2D(size, 3, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm_{number}")(x)
        x = layers.Activation("relu", name=f"relu_{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    x = layers.Permute((2, 1, 3), name="columns")(x)
    x = layers.Reshape((-1, height // 2 ** len(filters) * filters[-1]), name="steps")(x)
    x = layers.Dense(features, activation="relu", name="features")(x)
    x = layers.Dropout(dropout, name="dropout_1")(x)
    x = layers.Bidirectional(layers.LSTM(units, return_sequences=True), name="bilstm")(x)
    x = layers.Dropout(dropout, name="dropout_2")(x)
    probabilities = layers.Dense(classes, activation="softmax", name="characters")(x)
    return keras.Model(images, probabilities, name="crnn")
