"""A tagger: a BiLSTM whose two directions are handed to an LSTM, and a tag for every step.

Its twin in PyTorch is ``torch_side/models/tagger.py``: same arguments, same names, same order.
"""

from __future__ import annotations

import keras
from keras import layers

from keras_side.layers import LearnedAverage


def tagger(
    vocabulary_size: int | None = None,
    features: int | None = None,
    embedding_size: int = 32,
    units: int = 32,
    lstm_units: int = 32,
    join: str = "concat",
    per_unit: bool = False,
    dropout: float = 0.2,
    tags: int = 1,
    masked: bool = True,
) -> keras.Model:
    """Build the tagger.

    Args:
        vocabulary_size: V, of a tagger of token ids in ``[0, V)``, 0 being padding.
        features: I, of a tagger of feature vectors, a step of zeros being padding; this or V is given.
        embedding_size: length of a word's vector.
        units: H of the BiLSTM.
        lstm_units: H of the LSTM.
        join: how the two directions are passed on: ``concat``, ``learned`` (their average, weighted by a
            share that is learnt) or ``attention`` (concatenated, and beside that what each step selects from
            all).
        per_unit: with ``learned``, whether each unit has a share of its own.
        dropout: share dropped in training, of the input's features and before the tags.
        tags: 1 for the probability of a binary tag, more for one probability each.
        masked: whether padding is skipped.

    Returns:
        A model from ids ``(N, T)``, int32, or vectors ``(N, T, I)`` to probabilities ``(N, T, tags)``.

    Raises:
        ValueError: both or neither of V and I are given, or ``join`` is another one.
    """
    if (vocabulary_size is None) == (features is None):
        raise ValueError("give vocabulary_size or features")
    if join not in ("concat", "learned", "attention"):
        raise ValueError(f"join should be concat, learned or attention, found {join!r}")
    if vocabulary_size is not None:
        sequence = keras.Input((None,), dtype="int32", name="sequence")
        x = layers.Embedding(vocabulary_size, embedding_size, mask_zero=masked, name="embedding")(sequence)
    else:
        sequence = keras.Input((None, features), name="sequence")
        x = layers.Masking(name="masking")(sequence) if masked else sequence
    x = layers.SpatialDropout1D(dropout, name="spatial_dropout")(x)
    lstm = layers.LSTM(units, return_sequences=True)
    merge = None if join == "learned" else "concat"
    # Keras documents merge_mode=None but annotates it as str.
    x = layers.Bidirectional(lstm, merge_mode=merge, name="bilstm")(x)  # pyright: ignore[reportArgumentType]
    if join == "learned":
        x = LearnedAverage(per_unit, name="joined")(x)
    if join == "attention":
        selected = layers.Attention(name="attention")([x, x])
        x = layers.Concatenate(name="joined")([x, selected])
    x = layers.LSTM(lstm_units, return_sequences=True, name="lstm")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    activation = "sigmoid" if tags == 1 else "softmax"
    probabilities = layers.Dense(tags, activation=activation, name="tags")(x)
    return keras.Model(sequence, probabilities, name="tagger")
