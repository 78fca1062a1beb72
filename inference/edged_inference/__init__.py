"""Inference on the edge: feature windows, ONNX sessions, model slots."""
