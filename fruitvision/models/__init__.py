"""Networks: layers, weights, and the checkpoint folder.

This module has the names of the architectures, which the page and the configuration need without importing torch.
"""

RESNET18 = "resnet18"
ARCHITECTURES = (RESNET18, "tf_efficientnet_lite0", "tf_efficientnet_lite2")
"""What the panel offers. Any other network of timm that pools its last feature maps into a linear head works by its name."""
OWN = "own"
"""The norm of a network that comes with its own."""
EXPORT_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What an export to ONNX needs beside torch."""
