"""A voice as ONNX graphs, which speak without torch."""
