"""Sequence to sequence: a bidirectional encoder, a decoder that starts from its states, attention.

Its twin in PyTorch is ``torch_side/models/seq2seq.py``: same arguments, same names, same order.
"""

from __future__ import annotations

import keras
from keras import layers


def seq2seq(
    source_size: int,
    target_size: int,
    embedding_size: int = 32,
    units: tuple[int, ...] = (32,),
    cell: str = "lstm",
    bridge: str = "concat",
    decoder_units: int | None = None,
    attention: str | None = "dot",
    masked: bool = True,
    return_state: bool = False,
) -> keras.Model:
    """Build the model, with the target's own steps as the decoder's input (teacher forcing).

    Args:
        source_size: V of the source; ids are in ``[0, V)`` and 0 is padding.
        target_size: V of the target; likewise.
        embedding_size: length of a word's vector, of either side.
        units: H of each layer of the encoder, in each direction; one entry or more.
        cell: ``lstm`` or ``gru``.
        bridge: how the encoder's last states become the decoder's first ones: ``concat``, both directions
            side by side, or ``dense``, with a dense layer after that for each state.
        decoder_units: H of the decoder; with ``concat`` it is 2 H of the encoder's last layer.
        attention: by what a step of the decoder selects from the encoder's outputs, which a dense layer has
            brought to its size: ``dot`` (Luong), ``additive`` (Bahdanau), or ``None`` for no attention.
        masked: whether padding is skipped, of source and target.
        return_state: whether the decoder's last states are outputs too, ``(N, H)`` each.

    Returns:
        A model from source ids ``(N, S)`` and target ids ``(N, T)``, int32, to probabilities of the next
        word, ``(N, T, target_size)``.

    Raises:
        ValueError: ``cell``, ``bridge`` or ``attention`` is another one, or ``decoder_units`` does not suit
            the bridge.
    """
    if cell not in ("lstm", "gru"):
        raise ValueError(f"cell should be lstm or gru, found {cell!r}")
    if bridge not in ("concat", "dense"):
        raise ValueError(f"bridge should be concat or dense, found {bridge!r}")
    if attention not in ("dot", "additive", None):
        raise ValueError(f"attention should be dot, additive or None, found {attention!r}")
    decoder_units = decoder_units or 2 * units[-1]
    if bridge == "concat" and decoder_units != 2 * units[-1]:
        raise ValueError(f"decoder_units should be {2 * units[-1]} with bridge concat, found {decoder_units}")
    layer = layers.LSTM if cell == "lstm" else layers.GRU
    names = ("h", "c") if cell == "lstm" else ("h",)

    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    # Masks are handed on by name: a layer called with states does not get the one that its input carries.
    source_mask = keras.ops.not_equal(source, 0) if masked else None
    target_mask = keras.ops.not_equal(target, 0) if masked else None

    encoded = layers.Embedding(source_size, embedding_size, name="source_embedding")(source)
    for number, size in enumerate(units[:-1], start=1):
        encoder = layers.Bidirectional(layer(size, return_sequences=True), name=f"encoder_{number}")
        encoded = encoder(encoded, mask=source_mask)
    last = layer(units[-1], return_sequences=True, return_state=True)
    encoder = layers.Bidirectional(last, name=f"encoder_{len(units)}")
    encoded, *states = encoder(encoded, mask=source_mask)
    # First the states of the forward direction, then those of the backward one.
    pairs = zip(names, states[: len(names)], states[len(names) :], strict=True)
    states = [layers.Concatenate(name=f"bridge_{name}")(list(pair)) for name, *pair in pairs]
    if bridge == "dense":
        dense = [layers.Dense(decoder_units, activation="tanh", name=f"initial_{name}") for name in names]
        states = [project(state) for project, state in zip(dense, states, strict=True)]

    x = layers.Embedding(target_size, embedding_size, name="target_embedding")(target)
    decoder = layer(decoder_units, return_sequences=True, return_state=True, name="decoder")
    x, *states = decoder(x, initial_state=states, mask=target_mask)
    if attention is not None:
        keys = layers.Dense(decoder_units, use_bias=False, name="keys")(encoded)
        looks = layers.Attention if attention == "dot" else layers.AdditiveAttention
        selected = looks(name="attention")([x, encoded, keys], mask=[None, source_mask])
        x = layers.Concatenate(name="joined")([x, selected])
    probabilities = layers.Dense(target_size, activation="softmax", name="words")(x)
    outputs = [probabilities, *states] if return_state else probabilities
    return keras.Model([source, target], outputs, name="seq2seq")
