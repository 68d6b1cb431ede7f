"""ONNX files: writing, checking and answering with them."""
