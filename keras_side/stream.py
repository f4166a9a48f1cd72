"""Keras models fed chunk by chunk."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.streaming import Stream, plan_stream
from keras_side.read import read
from keras_side.run import run

if TYPE_CHECKING:
    import keras


def stream(
    model: keras.Model,
    example: Any = None,
    *,
    initial: Mapping[str, np.ndarray] | None = None,
    states: Mapping[str, str] | None = None,
) -> Stream:
    """A live model that is stateful, or has its states as inputs and outputs, fed chunk by chunk.

    A stateful model may be fed any number of rows, and is left in the states that it was in.

    Args:
        model: the model.
        example: what a subclassed model is called with, see `keras_side.read`.
        initial: by the names of states what they are before the first step, ``(N, H)``; others are zeros.
            Those of a stateful layer ``lstm`` are ``lstm.h`` and ``lstm.c``.
        states: its inputs that are states, and for each the output that is the state after the steps; by
            default they are told by what they do. The names are those of its graph.

    Raises:
        UnsupportedError: it cannot be read, or chunks make a difference, see `biport.streaming.plan_stream`.
        InputError: ``initial`` or ``states`` names what is none.

    Example:
        >>> import keras
        >>> layer = keras.layers.GRU(4, stateful=True, return_sequences=True)
        >>> with stream(keras.Sequential([keras.Input(batch_shape=(1, None, 3)), layer])) as chunks:
        ...     [chunks.feed([np.ones((2, steps, 3), "float32")])[0].shape for steps in (3, 1)]
        [(2, 3, 4), (2, 1, 4)]
    """
    graph = read(model, example=example, states="explicit")
    return Stream(plan_stream(graph, states), functools.partial(run, model, graph=graph), initial)
