"""Writing ONNX nodes with onnx-ir: values on demand, step form, fused nodes and loops."""
