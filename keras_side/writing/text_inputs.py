"""Inputs of texts in front of a written model, where Keras has a layer that makes the very ids of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biport.graph import Graph
from biport.text.standardize import OF_KERAS as STANDARDIZE
from biport.text.tokenizer import OF_KERAS as SPLITS
from biport.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import keras

UNKNOWN = "[UNK]"


def spoken(graph: Graph) -> list[str]:
    """The inputs of ids that a layer of Keras can make of texts: all that are of the same texts, or none.

    Keras gives ids of its own only where they are not those of vectors; and it drops what is zero behind a
    token.
    """
    silent = {one.source for one in graph.tokenizers.values() if not _has_layer(one)}
    return [name for name, one in graph.tokenizers.items() if one.source not in silent]


SETTINGS = (
    *("tokens", "first_id", "standardize", "split", "ngrams", "length"),
    *("unknown_id", "mask_token", "padding_id"),
)
"""Of a tokeniser those that layers of Keras have."""


def _has_layer(tokenizer: Tokenizer) -> bool:
    own = Tokenizer(**{name: getattr(tokenizer, name) for name in SETTINGS})
    if own != tokenizer or own.standardize not in STANDARDIZE or own.split not in SPLITS:
        return False
    ids = tokenizer.padding_id, tokenizer.unknown_id, tokenizer.first_id
    whole = not any(token.endswith("\0") for token in tokenizer.tokens) and bool(tokenizer.tokens)
    if _is_lookup(tokenizer):
        masks = 0 if tokenizer.mask_token is None else 1
        return whole and ids in ((0, masks, masks + 1), (0, None, masks))
    return whole and ids == (0, 1, 2) and tokenizer.mask_token == ""


def _is_lookup(tokenizer: Tokenizer) -> bool:
    """Whether it is a StringLookup; a TextVectorization reads no texts of one axis that are tokens."""
    plain = tokenizer.standardize == "none" and not tokenizer.ngrams and tokenizer.length is None
    return tokenizer.split == "none" and plain


def text_inputs(graph: Graph) -> tuple[dict[str, Any], dict[str, keras.KerasTensor]]:
    """Inputs of texts by their names, and what layers make of them by the names of inputs of ids."""
    import keras

    texts: dict[str, Any] = {}
    ids: dict[str, Any] = {}
    shapes = {value.name: value.shape for value in graph.inputs}
    names = {node.name for node in graph.nodes} | shapes.keys()
    for name in spoken(graph):
        tokenizer = graph.tokenizers[name]
        if tokenizer.source not in texts:
            shape = [None if not isinstance(dim, int) else dim for dim in shapes[name][1:]]
            if not _is_lookup(tokenizer):
                shape = [None] if tokenizer.split == "none" else []
            texts[tokenizer.source] = keras.Input(shape, dtype="string", name=tokenizer.source)
        own = f"{name}_tokenizer"
        while own in names:
            own += "_"
        names.add(own)
        ids[name] = _layer(tokenizer, own)(texts[tokenizer.source])
    return texts, ids


def _layer(tokenizer: Tokenizer, name: str) -> keras.Layer:
    import keras

    layers: Any = keras.layers
    masks = [] if tokenizer.mask_token is None else [tokenizer.mask_token]
    unknown = [] if tokenizer.unknown_id is None else [UNKNOWN]
    # With what stands for masks and unknown ones in front, no token is taken for one of those.
    vocabulary = [*masks, *unknown, *tokenizer.tokens]
    if _is_lookup(tokenizer):
        settings = {"mask_token": tokenizer.mask_token, "num_oov_indices": len(unknown)}
        return layers.StringLookup(vocabulary=vocabulary, oov_token=UNKNOWN, name=name, **settings)
    return layers.TextVectorization(
        vocabulary=vocabulary,
        standardize=None if tokenizer.standardize == "none" else tokenizer.standardize,
        split=None if tokenizer.split == "none" else tokenizer.split,
        ngrams=tokenizer.ngrams or None,
        output_sequence_length=tokenizer.length,
        name=name,
    )
