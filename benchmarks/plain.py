"""The plain recipe of PyTorch tutorials, which FruitVision is measured against: torchvision alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fruitvision.compat import import_torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WORKERS = 2
PREFETCHED = 2 * WORKERS
"""Batches that the workers prefetch: torch's default ``prefetch_factor`` of 2 for each."""


class PictureDataset(Dataset):
    """(path, label) pairs with the training transform, decoded on access."""

    def __init__(self, pictures: list[tuple[Path, int]], side: int) -> None:
        transforms = import_torchvision().transforms
        self.pictures = pictures
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(side),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.pictures[index]
        with Image.open(path) as image:
            return self.transform(image.convert("RGB")), label


class EvaluationDataset(PictureDataset):
    """The same with the evaluation transform."""

    def __init__(self, pictures: list[tuple[Path, int]], side: int) -> None:
        super().__init__(pictures, side)
        self.transform = evaluation_transform(side)


def evaluation_transform(side: int) -> Callable[[Image.Image], Tensor]:
    """Resize (256 for 224), CenterCrop, ToTensor, Normalize."""
    transforms = import_torchvision().transforms
    return transforms.Compose(
        [transforms.Resize(round(side * 256 / 224)), transforms.CenterCrop(side), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )


def steps(pictures: list[tuple[Path, int]], classes: int, side: int, batch: int) -> Iterator[int]:
    """Train endlessly: float32, NCHW, eager, Adam. Yields the number of pictures after each step."""
    network = import_torchvision().models.resnet18(num_classes=classes).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader = DataLoader(PictureDataset(pictures, side), batch, shuffle=True, num_workers=WORKERS, persistent_workers=True, drop_last=True)
    while True:
        yield from train_one_epoch(network, optimizer, loader)


def train_one_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> Iterator[int]:
    """Train on every batch once. Yields the number of pictures after each step."""
    criterion = nn.CrossEntropyLoss()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        yield len(images)


def epochs(
    training: list[tuple[Path, int]], test: list[tuple[Path, int]], classes: int, side: int, batch: int, seed: int = 0
) -> Iterator[tuple[float, float]]:
    """Train endlessly from random weights. Yields after each epoch its seconds of training and the accuracy (0..1) on ``test``.

    Evaluation is not timed; building the network counts towards the first epoch.
    """
    torchvision = import_torchvision()
    started = time.perf_counter()
    torch.manual_seed(seed)
    network = torchvision.models.resnet18(num_classes=classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader = DataLoader(PictureDataset(training, side), batch, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    test_loader = DataLoader(EvaluationDataset(test, side), batch, num_workers=WORKERS)
    while True:
        network.train()
        for _ in train_one_epoch(network, optimizer, loader):
            pass
        seconds = time.perf_counter() - started
        network.eval()
        with torch.inference_mode():
            right = sum((network(images).argmax(1) == labels).sum().item() for images, labels in test_loader)
        yield seconds, right / len(test)
        started = time.perf_counter()


def predictor(classes: int) -> Callable[[Path], int]:
    """The plain predict function: open, Resize 256, CenterCrop 224, ResNet18, argmax."""
    network = import_torchvision().models.resnet18(num_classes=classes).eval()
    transform = evaluation_transform(224)

    @torch.no_grad()
    def predict(path: Path) -> int:
        with Image.open(path) as image:
            return int(network(transform(image.convert("RGB"))[None]).argmax())

    return predict
