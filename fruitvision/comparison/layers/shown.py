"""The layers of a ResNet18 whose normalization can be displayed; needs no torch."""

LAYERS = {"stem": "bn1", "first": "layer1.0.bn1", "second": "layer1.0.bn2", "fourth": "layer1.1.bn2"}
"""The norm layers after the first, second, third and fifth convolution. All have 64 channels."""
CHANNELS = 64
