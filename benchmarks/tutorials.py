"""Training speed at 224 px and batch 32, compared with fastai, timm, torchvision's reference recipe and Ultralytics.

    python -m pip install ".[benchmarks]"

Each uses two data loading workers (Ultralytics uses none without a GPU), starts from random weights, and crops, flips and normalizes
the pictures. The first steps of each measurement, whose batches were prefetched, are not counted, and the workers are idle before the
next measurement begins. Packages that are not installed are skipped. Ultralytics is licensed under the AGPL, so it is not an extra of
this project and runs in a separate process if it is installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader

import fruitvision
from benchmarks import plain
from benchmarks.bench import (
    BATCH,
    PROJECT,
    Bench,
    FruitVisionTraining,
    PlainTraining,
    link_or_copy,
    seconds_per_call,
    wait_until_idle,
    webcam_photo,
)
from benchmarks.pairs import Figure, compare
from fruitvision.compat import import_torchvision

Pictures = list[tuple[Path, int]]


def tutorials(bench: Bench) -> list[Figure]:
    """FruitVision against each package that is installed."""
    lines = [line for name, make in OTHERS.items() if installed(name) for line in _against(bench, name, make)]
    return [*lines, *(_against_ultralytics(bench) if installed("ultralytics") else [])]


def installed(name: str) -> bool:
    """Whether a package is installed; prints how to install it if not."""
    there = importlib.util.find_spec(name) is not None
    if not there:
        package = name if name == "ultralytics" else '".[benchmarks]"'
        print(f"{name} is left out: it is not installed. Install it with: python -m pip install {package}", file=sys.stderr)
    return there


def _against(bench: Bench, name: str, make: type) -> list[Figure]:
    side, steps = bench.pick(224, 32), bench.pick(8, 2)
    data, config = bench.prepared("fast", image_size=side, first_image_size=side, eval_resize=side, batch_size=BATCH)
    ours, other = FruitVisionTraining(data, config), make(bench.pictures(), side)
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


def _against_ultralytics(bench: Bench) -> list[Figure]:
    side, steps, answers = bench.pick(224, 32), bench.pick(8, 1), bench.pick(20, 2)
    data, config = bench.prepared("fast", image_size=side, first_image_size=side, eval_resize=side, batch_size=BATCH)
    ours, classifier, times = FruitVisionTraining(data, config), fruitvision.load(), []
    classifier.use_openvino()
    ours.seconds(1)
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder, webcam_photo(bench) as picture:
        write_class_folders(bench.pictures(), Path(folder))
        batch = min(BATCH, len(bench.pictures()))
        command = [sys.executable, "-m", "benchmarks.ultralytics_times", folder, str(picture), "--batch", str(batch), "--side", str(side)]
        command += ["--steps", str(steps), "--answers", str(answers)]

        def trained() -> float:
            settings = {"YOLO_CONFIG_DIR": folder, "YOLO_OFFLINE": "true"}
            ran = subprocess.run(command, cwd=PROJECT, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
            times.append(json.loads(ran.stdout.splitlines()[-1]))
            return steps * batch / times[-1]["training"]

        name = "Ultralytics' yolo11n-cls, a ninth of the operations of our ResNet18"
        training = compare(
            f"training at {side} px, batch {BATCH}",
            lambda: steps * BATCH / ours.seconds(steps),
            name,
            trained,
            pairs=bench.pairs,
            unit="pictures/s",
        )
        theirs = iter([one["answer"] for one in times])  # measured with the trainings, each of which starts a process
        answering = compare(
            "`predict` on one 640×480 picture, the default network, compiled by OpenVINO: times faster",
            lambda: seconds_per_call(answers, lambda: classifier.predict(picture)),
            "Ultralytics' yolo11n-cls in eager torch, not compiled",
            lambda: next(theirs),
            pairs=bench.pairs,
            ratio=lambda a, b: b / a,
        )
    return [training, answering]


def write_class_folders(pictures: Pictures, folder: Path) -> None:
    """Link the pictures into train/CLASS and val/CLASS of a folder, the layout that Ultralytics reads."""
    for path, label in pictures:
        for split in ("train", "val"):
            link_or_copy(path, folder / split / f"{label:03}" / path.name)


class TrainingLoop(PlainTraining, ABC):
    """A training loop made of another package's components."""

    def __init__(self, pictures: Pictures, side: int) -> None:
        self.batch = min(BATCH, len(pictures))
        self._steps = self._train(pictures, side)
        self.seconds(1)

    @abstractmethod
    def _train(self, pictures: Pictures, side: int) -> Iterator[int]:
        """The endless loop; yields the number of pictures of each step."""


class Timm(TrainingLoop):
    """A training loop made of timm's network, loader, augmentation, optimizer and loss."""

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
            cast(Any, plain.PictureDataset(pictures, side)),  # any map-style dataset works
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
    """fastai's Learner with its DataLoaders."""

    def __init__(self, pictures: Pictures, side: int) -> None:
        torchvision = import_torchvision()
        from fastai.vision import all as fastai  # pyright: ignore[reportMissingImports]  # an extra

        self.batch = min(BATCH, len(pictures))
        # An epoch longer than any measurement, so that the workers never run out of batches.
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
        """Seconds for ``steps`` steps, after those whose batches were prefetched."""
        from fastai.vision.all import Callback, CancelFitException  # pyright: ignore[reportMissingImports]  # an extra

        marks: list[float] = []

        class Watch(Callback):
            def after_batch(self) -> None:
                marks.append(time.perf_counter())
                if len(marks) == plain.PREFETCHED + steps + 1:
                    raise CancelFitException

        with self._learner.no_bar(), self._learner.no_logging():
            self._learner.fit(1, cbs=Watch())
        wait_until_idle()
        return marks[-1] - marks[plain.PREFETCHED]


class Torchvision(TrainingLoop):
    """torchvision's reference recipe for classification: SGD with momentum and weight decay, and its own transforms."""

    def _train(self, pictures: Pictures, side: int) -> Iterator[int]:
        network = import_torchvision().models.resnet18(num_classes=len({label for _, label in pictures})).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        loader = DataLoader(
            plain.PictureDataset(pictures, side),
            self.batch,
            shuffle=True,
            num_workers=plain.WORKERS,
            persistent_workers=True,
            drop_last=True,
        )
        while True:
            yield from plain.train_one_epoch(network, optimizer, loader)


OTHERS = {"fastai": Fastai, "timm": Timm, "torchvision": Torchvision}
