"""A text classifier: embedding, one or more BiLSTM layers, a dense head.

Its twin in PyTorch is ``torch_side/models/sentiment.py``: same arguments, same names, same order.
"""

from __future__ import annotations

import keras
from keras import layers


def sentiment(
    vocabulary_size: int,
    embedding_size: int = 32,
    units: tuple[int, ...] = (32,),
    merge: str | None = "concat",
    dropout: float = 0.2,
    classes: int = 1,
    masked: bool = True,
) -> keras.Model:
    """Build the classifier.

    Args:
        vocabulary_size: V; ids are in ``[0, V)`` and 0 is padding.
        embedding_size: length of a word's vector.
        units: H of each BiLSTM layer; one entry or more.
        merge: how a layer's two directions become one: ``concat``, ``sum``, ``mul``, ``ave``, or ``None`` to
            concatenate them by hand.
        dropout: share dropped in training, after the embedding and before the head.
        classes: 1 for the probability of the positive class, more for one probability each.
        masked: whether padding is skipped.

    Returns:
        A model from ids ``(N, T)``, int32, to probabilities ``(N, classes)``.
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = layers.Embedding(vocabulary_size, embedding_size, mask_zero=masked, name="embedding")(tokens)
    x = layers.SpatialDropout1D(dropout, name="spatial_dropout")(x)
    for number, size in enumerate(units, start=1):
        lstm = layers.LSTM(size, return_sequences=number < len(units))
        # Keras documents merge_mode=None but annotates it as str.
        x = layers.Bidirectional(lstm, merge_mode=merge, name=f"bilstm_{number}")(x)  # pyright: ignore[reportArgumentType]
        if merge is None:
            x = layers.Concatenate(name=f"merged_{number}")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    activation = "sigmoid" if classes == 1 else "softmax"
    probabilities = layers.Dense(classes, activation=activation, name="classifier")(x)
    return keras.Model(tokens, probabilities, name="sentiment")
