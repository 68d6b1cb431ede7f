"""Networks as files for download: ONNX, and a standalone web page."""
