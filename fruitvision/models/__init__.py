"""The network: its layers, its weights, and the checkpoint folder that holds both.

Here are the names of what there is, which the page and the configuration need before torch is imported.
"""

RESNET18 = "resnet18"
ARCHITECTURES = (RESNET18, "tf_efficientnet_lite0", "tf_efficientnet_lite2")
"""What the panel offers. Any other network of timm that pools its last feature maps into a linear head works by its name."""
OWN = "own"
"""The norm of a network that comes with its own."""
EXPORT_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What an export to ONNX needs beside torch."""
