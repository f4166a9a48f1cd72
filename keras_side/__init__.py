"""Keras models to and from the neutral graph.

Reading a model file needs neither keras nor tensorflow, so importing this package loads neither.
"""

from typing import TYPE_CHECKING, Any

from keras_side.activations import float64_allowed
from keras_side.bidirect import bidirect
from keras_side.decode import stepper
from keras_side.inspect import inspect
from keras_side.live_layer import recurrent_op
from keras_side.read import read
from keras_side.write import load, run, save, write

if TYPE_CHECKING:
    from keras_side.gradient import gradients
    from keras_side.tracing import trace

__all__ = [
    "bidirect",
    "float64_allowed",
    "gradients",
    "inspect",
    "load",
    "read",
    "recurrent_op",
    "run",
    "save",
    "stepper",
    "trace",
    "write",
]


def __getattr__(name: str) -> Any:
    """`gradients` and `trace`, imported when asked for: to look at a file nothing of them is needed."""
    if name == "gradients":
        from keras_side.gradient import gradients

        return gradients
    if name == "trace":
        from keras_side.tracing import trace

        return trace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
