"""Graphs and live Keras models to ONNX, and running the result.

``import export`` loads no ONNX package and no framework; each function loads what it needs.
"""

from export.debug.tracing import trace
from export.decode import stepper, write_decoder
from export.runtime.batcher import Batcher
from export.session import Session
from export.tf2onnx.route import write_tf2onnx
from export.write import write

__all__ = ["Batcher", "Session", "stepper", "trace", "write", "write_decoder", "write_tf2onnx"]
