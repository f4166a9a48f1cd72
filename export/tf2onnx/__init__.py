"""Live Keras models to ONNX by way of TensorFlow; the only folder that imports keras and tensorflow."""
