"""Keras models to and from the neutral graph.

Reading a model file needs neither keras nor tensorflow, so importing this package loads neither.
"""

from keras_side.bidirect import bidirect
from keras_side.decode import stepper
from keras_side.gradients import gradients
from keras_side.inspect import inspect
from keras_side.load import load
from keras_side.read import read
from keras_side.reading.live_layer import recurrent_op
from keras_side.run import run, takes_texts
from keras_side.shared.activations import float64_allowed
from keras_side.shared.learning import unwritten
from keras_side.trace import trace
from keras_side.write import save, write
from keras_side.writing.custom_objects import custom_objects
from keras_side.writing.text_inputs import spoken

__all__ = [
    "bidirect",
    "custom_objects",
    "float64_allowed",
    "gradients",
    "inspect",
    "load",
    "read",
    "recurrent_op",
    "run",
    "save",
    "spoken",
    "stepper",
    "takes_texts",
    "trace",
    "unwritten",
    "write",
]
