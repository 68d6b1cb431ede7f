"""Training at 224 px and batch 32 as fastai's Learner and timm's own parts do it, where they are installed.

    python -m pip install ".[benchmarks]"

Each has two workers for its pictures, begins with random weights, and crops, flips and normalizes. The first steps of each
measurement, for which batches lay ready, are not counted, and its workers rest before the next begins.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch

from benchmarks import plain
from benchmarks.bench import BATCH, Bench, Ours, Plain, rest
from benchmarks.pairs import Figure, compare
from fruitvision.compat import import_torchvision

Pictures = list[tuple[Path, int]]


def tutorials(bench: Bench) -> list[Figure]:
    """Ours against each that there is."""
    return [line for name, make in OTHERS.items() if installed(name) for line in _against(bench, name, make)]


def installed(name: str) -> bool:
    """Whether it can be compared with; says so where not."""
    there = importlib.util.find_spec(name) is not None
    if not there:
        print(f'{name} is left out: it is not installed. Install it with: python -m pip install ".[benchmarks]"', file=sys.stderr)
    return there


def _against(bench: Bench, name: str, make: type) -> list[Figure]:
    side, steps = bench.some(224, 32), bench.some(8, 2)
    data, config = bench.prepared("fast", image_size=side, first_image_size=side, eval_resize=side, batch_size=BATCH)
    ours, other = Ours(data, config), make(bench.pictures(), side)
    ours.seconds(1)
    return [
        compare(
            f"training at {side} px, batch {BATCH}",
            lambda: steps * BATCH / ours.seconds(steps),
            name,
            lambda: steps * other.batch / other.seconds(steps),
            pairs=bench.pairs,
            unit="pictures/s",
        )
    ]


class Timm(Plain):
    """A training loop of timm's parts: its network, loader, augmentation, optimizer and loss."""

    def __init__(self, pictures: Pictures, side: int) -> None:
        self.batch = min(BATCH, len(pictures))
        self._steps = self._train(pictures, side)
        self.seconds(1)

    def _train(self, pictures: Pictures, side: int) -> Iterator[int]:
        import_torchvision()
        import timm

        # The names that timm documents; it has no __all__ to say so.
        from timm.data import create_loader  # pyright: ignore[reportPrivateImportUsage]
        from timm.loss import LabelSmoothingCrossEntropy  # pyright: ignore[reportPrivateImportUsage]
        from timm.optim import create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]

        network = timm.create_model("resnet18", num_classes=len({label for _, label in pictures})).train()
        optimizer, criterion = create_optimizer_v2(network, opt="adamw", lr=1e-3, weight_decay=0.05), LabelSmoothingCrossEntropy(0.1)
        loader = create_loader(
            cast(Any, plain.Folder(pictures, side)),  # any map-style dataset works
            (3, side, side),
            self.batch,
            is_training=True,
            num_workers=plain.WORKERS,
            use_prefetcher=False,
            device=torch.device("cpu"),
            pin_memory=False,
        )
        while True:
            for images, labels in loader:
                loss = criterion(network(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()
                yield len(images)


class Fastai:
    """fastai's Learner on its DataLoaders."""

    def __init__(self, pictures: Pictures, side: int) -> None:
        torchvision = import_torchvision()
        from fastai.vision import all as fastai  # pyright: ignore[reportMissingImports]  # an extra

        self.batch = min(BATCH, len(pictures))
        # An epoch longer than any measurement, so that the workers never run out of work before its end.
        many = list(range(len(pictures))) * (1 + 64 * BATCH // len(pictures))
        block = fastai.DataBlock(
            (fastai.ImageBlock, fastai.CategoryBlock(vocab=sorted({str(label) for _, label in pictures}))),
            get_x=lambda n: pictures[n][0],
            get_y=lambda n: str(pictures[n][1]),
            splitter=lambda items: (list(range(len(items))), [0]),
            item_tfms=fastai.RandomResizedCrop(side),
            batch_tfms=[fastai.Flip(), fastai.Normalize.from_stats(*fastai.imagenet_stats)],
        )
        loaders = block.dataloaders(many, bs=self.batch, num_workers=plain.WORKERS, device=torch.device("cpu"))
        network = torchvision.models.resnet18(num_classes=len({label for _, label in pictures}))
        self._learner = fastai.Learner(loaders, network)
        self.seconds(1)

    def seconds(self, steps: int) -> float:
        """What ``steps`` steps take, after those for which batches lay ready."""
        from fastai.vision.all import Callback, CancelFitException  # pyright: ignore[reportMissingImports]  # an extra

        marks: list[float] = []

        class Watch(Callback):
            def after_batch(self) -> None:
                marks.append(time.perf_counter())
                if len(marks) == plain.AHEAD + steps + 1:
                    raise CancelFitException

        with self._learner.no_bar(), self._learner.no_logging():
            self._learner.fit(1, cbs=Watch())
        rest()
        return marks[-1] - marks[plain.AHEAD]


OTHERS = {"fastai": Fastai, "timm": Timm}
