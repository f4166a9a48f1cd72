"""Keras models to and from the neutral graph.

Reading a model file needs neither keras nor tensorflow, so importing this package loads neither.
"""

from keras_side.bidirect import bidirect
from keras_side.decode import stepper
from keras_side.gradients import gradients
from keras_side.in_float32 import in_float32
from keras_side.inspect import inspect
from keras_side.load import load
from keras_side.load_code import load_with_code
from keras_side.mapped import reads_class
from keras_side.read import read
from keras_side.reading.apply_mapping import MappedLayer
from keras_side.reading.live_layer import recurrent_op
from keras_side.recording.ctc import prediction_model
from keras_side.run import run, run_float64, takes_texts
from keras_side.shared.activations import float64_allowed
from keras_side.shared.learning import unwritten
from keras_side.stream import stream
from keras_side.trace import trace
from keras_side.write import save, write
from keras_side.writing.custom_objects import custom_objects
from keras_side.writing.text_inputs import spoken

__all__ = [
    "MappedLayer",
    "bidirect",
    "custom_objects",
    "float64_allowed",
    "gradients",
    "in_float32",
    "inspect",
    "load",
    "load_with_code",
    "prediction_model",
    "read",
    "reads_class",
    "recurrent_op",
    "run",
    "run_float64",
    "save",
    "spoken",
    "stepper",
    "stream",
    "takes_texts",
    "trace",
    "unwritten",
    "write",
]
