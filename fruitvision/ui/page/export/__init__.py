"""Networks as files to download: ONNX, and a page of its own."""
