"""The way of a model from training to ONNX, shown on data that are made on the spot."""
