"""Training at 224 px and batch 32 as fastai's Learner, timm's own parts, torchvision's reference recipe and Ultralytics do it.

    python -m pip install ".[benchmarks]"

Each has two workers for its pictures (Ultralytics takes none without a graphics card), begins with random weights, and crops, flips
and normalizes. The first steps of each measurement, for which batches lay ready, are not counted, and its workers rest before the
next begins. What is not installed is left out. Ultralytics is under the AGPL and no extra of ours: it runs in a process of its own
where somebody has installed it.
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
from benchmarks.bench import BATCH, PROJECT, Bench, Ours, Plain, each, linked, photo, rest
from benchmarks.pairs import Figure, compare
from fruitvision.compat import import_torchvision

Pictures = list[tuple[Path, int]]


def tutorials(bench: Bench) -> list[Figure]:
    """Ours against each that there is."""
    lines = [line for name, make in OTHERS.items() if installed(name) for line in _against(bench, name, make)]
    return [*lines, *(_against_ultralytics(bench) if installed("ultralytics") else [])]


def installed(name: str) -> bool:
    """Whether it can be compared with; says so where not."""
    there = importlib.util.find_spec(name) is not None
    if not there:
        package = name if name == "ultralytics" else '".[benchmarks]"'
        print(f"{name} is left out: it is not installed. Install it with: python -m pip install {package}", file=sys.stderr)
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


def _against_ultralytics(bench: Bench) -> list[Figure]:
    side, steps, answers = bench.some(224, 32), bench.some(8, 1), bench.some(20, 2)
    data, config = bench.prepared("fast", image_size=side, first_image_size=side, eval_resize=side, batch_size=BATCH)
    ours, classifier, times = Ours(data, config), fruitvision.load(), []
    classifier.use_openvino()
    ours.seconds(1)
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder, photo(bench) as picture:
        folders_of_classes(bench.pictures(), Path(folder))
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
        theirs = iter([one["answer"] for one in times])  # measured beside the trainings, which start a process each
        answering = compare(
            "`predict` on one 640×480 picture, the default network, compiled by OpenVINO: times faster",
            lambda: each(answers, lambda: classifier.predict(picture)),
            "Ultralytics' yolo11n-cls in eager torch, not compiled",
            lambda: next(theirs),
            pairs=bench.pairs,
            ratio=lambda a, b: b / a,
        )
    return [training, answering]


def folders_of_classes(pictures: Pictures, folder: Path) -> None:
    """The same pictures as train/CLASS and as val/CLASS of a folder, as Ultralytics reads them."""
    for path, label in pictures:
        for split in ("train", "val"):
            linked(path, folder / split / f"{label:03}" / path.name)


class Loop(Plain, ABC):
    """A training loop of another program's parts."""

    def __init__(self, pictures: Pictures, side: int) -> None:
        self.batch = min(BATCH, len(pictures))
        self._steps = self._train(pictures, side)
        self.seconds(1)

    @abstractmethod
    def _train(self, pictures: Pictures, side: int) -> Iterator[int]:
        """The loop: the number of pictures of each step."""


class Timm(Loop):
    """A training loop of timm's parts: its network, loader, augmentation, optimizer and loss."""

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


class Torchvision(Loop):
    """torchvision's reference recipe for classification: SGD with momentum, weight decay, pictures transformed by its own parts."""

    def _train(self, pictures: Pictures, side: int) -> Iterator[int]:
        network = import_torchvision().models.resnet18(num_classes=len({label for _, label in pictures})).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        loader = DataLoader(
            plain.Folder(pictures, side), self.batch, shuffle=True, num_workers=plain.WORKERS, persistent_workers=True, drop_last=True
        )
        while True:
            yield from plain.one_epoch(network, optimizer, loader)


OTHERS = {"fastai": Fastai, "timm": Timm, "torchvision": Torchvision}
