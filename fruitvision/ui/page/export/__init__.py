"""Networks as files to download: ONNX, and a standalone web page."""
