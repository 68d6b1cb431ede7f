"""ONNX files: export, checks, and inference."""
