"""The plain recipe, as tutorials have it: what FruitVision is measured against. It uses nothing of the package but torchvision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fruitvision.compat import import_torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WORKERS = 2
AHEAD = 2 * WORKERS
"""Batches that the workers keep ready: torch's prefetch_factor for each."""


class Folder(Dataset):
    """(path, label) pairs, each opened and transformed when it is asked for."""

    def __init__(self, pictures: list[tuple[Path, int]], side: int) -> None:
        transforms = import_torchvision().transforms
        self.pictures = pictures
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.pictures[index]
        with Image.open(path) as image:
            return self.transform(image.convert("RGB")), label


def steps(pictures: list[tuple[Path, int]], classes: int, side: int, batch: int) -> Iterator[int]:
    """Train without end: float32, NCHW, eager, Adam. Yields the number of pictures after each step."""
    network = import_torchvision().models.resnet18(num_classes=classes).train()
    optimizer, criterion = torch.optim.Adam(network.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    loader = DataLoader(Folder(pictures, side), batch, shuffle=True, num_workers=WORKERS, persistent_workers=True, drop_last=True)
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(network(images), labels)
            loss.backward()
            optimizer.step()
            loss.item()
            yield len(images)


def predictor(classes: int) -> Callable[[Path], int]:
    """The plain predict function: open, Resize 256, CenterCrop 224, ResNet18, argmax."""
    torchvision = import_torchvision()
    network = torchvision.models.resnet18(num_classes=classes).eval()
    transforms = torchvision.transforms
    transform = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )

    @torch.no_grad()
    def predict(path: Path) -> int:
        with Image.open(path) as image:
            return int(network(transform(image.convert("RGB"))[None]).argmax())

    return predict
