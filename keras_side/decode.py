"""Decoding with Keras: the encoder and one step of the decoder as functional models."""

from __future__ import annotations

import functools
import os
from typing import Any

from biport.decoding import Stepper, split
from biport.decoding.stepper import make_stepper
from biport.graph import Graph
from keras_side.read import read
from keras_side.run import run
from keras_side.write import write


def stepper(source: Graph | str | os.PathLike[str] | Any, target: str | None = None) -> Stepper:
    """A graph, a live Keras model or a model file, ready for `biport.decoding`.

    Args:
        source: of two inputs, trained with teacher forcing.
        target: the input that is the decoder's own sequence; by default the last one.

    Raises:
        UnsupportedError: the decoder cannot be stepped; see `biport.decoding.split`.
    """
    parts = split(source if isinstance(source, Graph) else read(source), target)
    encoder, step = write(parts.encoder), write(parts.step)
    # The step alone is run often enough for one size to be worth compiling.
    encode = functools.partial(run, encoder, graph=parts.encoder)
    advance = functools.partial(run, step, graph=parts.step, compiled=True)
    return make_stepper(parts, encode, advance)
