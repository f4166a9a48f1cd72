"""What an ONNX file carries of text: vocabulary, labels, the tokeniser as nodes."""
