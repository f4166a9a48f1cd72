"""Keras models to and from the neutral graph.

Reading a model file needs neither keras nor tensorflow, so importing this package loads neither.
"""

from keras_side.activations import float64_allowed
from keras_side.inspect import inspect
from keras_side.read import read
from keras_side.trace import trace
from keras_side.write import load, run, save, write

__all__ = ["float64_allowed", "inspect", "load", "read", "run", "save", "trace", "write"]
