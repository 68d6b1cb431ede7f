"""A network whose every answer can be worked out by hand: it looks at colours alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fruitvision.data.augment.transforms import IMAGENET_MEAN, IMAGENET_STD, EvalTransform
from fruitvision.models.checkpoint import CheckpointConfig, Thresholds
from fruitvision.models.networks import NetworkOutput
from fruitvision.recognition.classifier import Classifier

# Class, fruit type, and what the class wants of (red, green, blue).
COLOURS = (
    ("Apple Red 1", "Apple", (8.0, -4.0, -4.0)),
    ("Apple Red 2", "Apple", (7.5, -4.0, -4.0)),
    ("Kiwi", "Kiwi", (-4.0, 8.0, -4.0)),
    ("Blueberry", "Blueberry", (-4.0, -4.0, 8.0)),
)


class ColourNetwork(nn.Module):
    """Its maps are the picture in cells of 8 × 8 pixels; its head compares their mean with each class's colour."""

    def __init__(self, colours=COLOURS) -> None:
        super().__init__()
        self.head = nn.Linear(3, len(colours), bias=False)
        self.head.weight.data = torch.tensor([wants for _, _, wants in colours])
        self.passes: list[int] = []
        """How many pictures each forward pass had."""

    def forward(self, x: Tensor) -> NetworkOutput:
        self.passes.append(len(x))
        rgb = x * torch.tensor(IMAGENET_STD)[:, None, None] + torch.tensor(IMAGENET_MEAN)[:, None, None]
        maps = F.avg_pool2d(rgb, 8)
        features = maps.mean(dim=(2, 3))
        return NetworkOutput(self.head(features), features, maps)


@pytest.fixture
def colour_classifier() -> Callable[..., Classifier]:
    """Makes a classifier of red apples, green kiwis and blue blueberries; takes what its configuration should say."""

    def make(colours=COLOURS, *, resize: int = 64, views: int = 1, unsure: float = 0.6, not_fruit: float = 1.0, **config):
        return Classifier(
            ColourNetwork(colours),
            CheckpointConfig(
                classes=tuple(name for name, _, _ in colours),
                fruit_types=tuple(kind for _, kind, _ in colours),
                transform=EvalTransform(resize=resize, crop=64, views=views),
                thresholds=Thresholds(unsure=unsure, not_fruit=not_fruit),
                **config,
            ),
        )

    return make
