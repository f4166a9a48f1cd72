"""Running files; the only folder that imports onnxruntime."""
