"""Keras models with LSTM, GRU or SimpleRNN layers made bidirectional."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from biport.rewrite.bidirectional import bidirect as convert
from keras_side.read import read
from keras_side.write import write

if TYPE_CHECKING:
    import keras


def bidirect(
    model: str | os.PathLike[str] | Any,
    layers: Iterable[str] | None = None,
    *,
    merge: str = "concat",
    init: str = "copy",
    seed: int = 0,
) -> keras.Model:
    """The same model with bidirectional layers, as a functional model; see `biport.rewrite.bidirectional`.

    Args:
        model: a live Keras model or a model file; it is left as it is.
        layers, merge, init, seed: as there.

    Raises:
        InputError: an option is another one, or there is no such layer.
        UnsupportedError: the model cannot be read, converted or widened.
    """
    return write(convert(read(model), layers, merge=merge, init=init, seed=seed).graph)
