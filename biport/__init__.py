"""biport: recurrent models between Keras, PyTorch and ONNX, proven to compute the same thing."""

__version__ = "0.1.0"
