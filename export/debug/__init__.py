"""Looking into ONNX files: what they hold, what they compute on the way, where they differ from a graph."""
