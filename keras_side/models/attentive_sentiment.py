"""The text classifier with attention: which words is the verdict about?

Its twin in PyTorch is ``torch_side/models/attentive_sentiment.py``: same arguments, same names, same order.
"""

from __future__ import annotations

import keras
from keras import layers


def attentive_sentiment(
    vocabulary_size: int,
    embedding_size: int = 32,
    units: tuple[int, ...] = (32,),
    attention_units: int = 32,
    dropout: float = 0.2,
    classes: int = 1,
    masked: bool = True,
    return_weights: bool = False,
) -> keras.Model:
    """Build the classifier: `sentiment` whose head sees all steps, averaged by additive attention.

    The weight of a step is the softmax of ``query · tanh(W x + b)``, with a query that is learnt.

    Args:
        vocabulary_size: V; ids are in ``[0, V)`` and 0 is padding.
        embedding_size: length of a word's vector.
        units: H of each BiLSTM layer; one entry or more.
        attention_units: length of the query.
        dropout: share dropped in training, after the embedding and before the head.
        classes: 1 for the probability of the positive class, more for one probability each.
        masked: whether padding is skipped; it then has the weight 0.
        return_weights: whether the weights of the steps are a second output, ``(N, T)``.

    Returns:
        A model from ids ``(N, T)``, int32, to probabilities ``(N, classes)``.
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = layers.Embedding(vocabulary_size, embedding_size, mask_zero=masked, name="embedding")(tokens)
    x = layers.SpatialDropout1D(dropout, name="spatial_dropout")(x)
    for number, size in enumerate(units, start=1):
        lstm = layers.LSTM(size, return_sequences=True)
        x = layers.Bidirectional(lstm, name=f"bilstm_{number}")(x)
    hidden = layers.Dense(attention_units, activation="tanh", name="attention_hidden")(x)
    scores = layers.Dense(1, use_bias=False, name="attention_query")(hidden)
    reshape = layers.Reshape((-1,), name="attention_scores")
    # One score a step may keep its mask, of which Keras would warn that it ends here. As a file does not keep
    # this setting, the softmax is given the mask.
    reshape.supports_masking = True
    scores = reshape(scores)
    mask = keras.ops.not_equal(tokens, 0) if masked else None
    weights = layers.Softmax(name="attention_weights")(scores, mask=mask)
    x = layers.Dot(axes=(1, 1), name="attention_average")([weights, x])
    x = layers.Dropout(dropout, name="dropout")(x)
    activation = "sigmoid" if classes == 1 else "softmax"
    probabilities = layers.Dense(classes, activation=activation, name="classifier")(x)
    outputs = [probabilities, weights] if return_weights else probabilities
    return keras.Model(tokens, outputs, name="attentive_sentiment")
