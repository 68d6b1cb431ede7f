"""Networks: layers, weights, and the checkpoint folder.

This module has the names of the architectures, which the page and the configuration need without importing torch.
"""

from importlib.util import find_spec

RESNET18 = "resnet18"
ARCHITECTURES = (RESNET18, "tf_efficientnet_lite0", "tf_efficientnet_lite2")
"""The architectures that the panel offers. Other networks of timm with average pooling and a linear head can be used by name."""
OWN = "own"
"""The value of ``norm`` for a network with its own norm."""
EXPORT_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""The packages that export to ONNX needs besides torch."""


def can_export() -> bool:
    """Whether ``EXPORT_PACKAGES`` are installed, without importing them."""
    return all(map(find_spec, EXPORT_PACKAGES))
