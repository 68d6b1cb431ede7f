"""What the figures share: the pictures, the two ways of training, a photo, a server, and how time is taken."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import cast

import numpy as np
import psutil
import torch
from PIL import Image

from benchmarks import plain
from fruitvision.data.load.loader import Batch
from fruitvision.data.read.listing import list_pictures
from fruitvision.runs.config import RunConfig
from fruitvision.runs.prepare.data import RunData, prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.runs.prepare.weights import build
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import Training, train_one_epoch
from fruitvision.training.state import TrainState

PROJECT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
BATCH = 32
RESTING_SECONDS, MAX_RESTING_SECONDS = 0.3, 60.0
OPENING_SECONDS = 120.0


@dataclass(frozen=True)
class Bench:
    """What is measured on, how often, and whether shortly."""

    data: Path
    pairs: int
    quick: bool

    def some(self, many: int, few: int) -> int:
        """``few`` where it must be quick."""
        return few if self.quick else many

    def pictures(self) -> list[tuple[Path, int]]:
        """Every training picture and its label."""
        listing = list_pictures(self.data)
        files = [file for file in listing.files if file.split == "train"]
        labels = {name: n for n, name in enumerate(sorted({file.folder for file in files}))}
        return [(listing.root / file.path, labels[file.folder]) for file in files]

    def prepared(self, preset: str, **settings: object) -> tuple[RunData, TrainConfig]:
        """The data as a run of ``preset`` opens it, from random weights."""
        config = TrainConfig.from_preset(preset, start="scratch", epochs=1000, **settings)
        return prepare(RunConfig(data=str(self.data.absolute()), training=config)), config


def begun(data: RunData, config: TrainConfig, device: torch.device) -> TrainState:
    """Training before its first step, from random weights."""
    return TrainState(build(config, len(data.targets.classes)), config, device)


class Ours:
    """The package's own training, a few steps at a time."""

    def __init__(self, data: RunData, config: TrainConfig, *, resident: bool = False, device: torch.device = CPU) -> None:
        loader = loaders(data, config, device)[0]
        self.state = begun(data, config, device)
        self._events = self._train(cast(Training, Resident(loader, config)) if resident else loader)

    def _train(self, loader: Training) -> Iterator[object]:
        while True:
            self.state.progress.step = 0
            yield from train_one_epoch(self.state, loader)

    def seconds(self, steps: int) -> float:
        """What ``steps`` steps take."""
        started = time.perf_counter()
        for _ in islice(self._events, steps):
            pass
        return time.perf_counter() - started


class Resident:
    """A loader of one random batch that lies in memory already: what training costs without an input pipeline."""

    def __init__(self, loader: Training, config: TrainConfig) -> None:
        self.membership, self.steps, self.counts = loader.membership, loader.steps, loader.counts
        images = torch.randn(config.batch_size, 3, config.image_size, config.image_size)
        self._batch = Batch(images, torch.arange(config.batch_size) % 2, np.arange(config.batch_size), config.batch_size, config.batch_size)

    def epoch(self, epoch: int, size: int, start: int = 0, shard: object = None) -> Iterator[Batch]:
        """The same batch again and again."""
        return cycle([self._batch])


class Plain:
    """The plain recipe's training, a few steps at a time."""

    def __init__(self, pictures: list[tuple[Path, int]], side: int) -> None:
        self._steps = plain.steps(pictures, len({label for _, label in pictures}), side, min(BATCH, len(pictures)))
        self.seconds(1)

    def seconds(self, steps: int) -> float:
        """What ``steps`` steps take, those not counted for which batches lay ready; its workers rest when it returns."""
        for _ in range(plain.AHEAD):
            next(self._steps)
        started = time.perf_counter()
        for _ in range(steps):
            next(self._steps)
        found = time.perf_counter() - started
        rest()
        return found


def each(count: int, work: Callable[[], object]) -> float:
    """Seconds of one of ``count``."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - started) / count


def rest() -> None:
    """Until the processes that this one started have nothing to do: workers go on for a while after they were last asked."""
    used, end = -1.0, time.monotonic() + MAX_RESTING_SECONDS
    while time.monotonic() < end:
        busy, before, used = False, used, 0.0
        for child in psutil.Process().children(recursive=True):
            try:
                busy |= child.status() == psutil.STATUS_RUNNING
                used += sum(child.cpu_times()[:2])
            except psutil.NoSuchProcess:
                busy = True
        if used == before and not busy:
            return
        time.sleep(RESTING_SECONDS)


class photo:
    """A 640 × 480 JPEG made of one of the pictures on a grey ground, as a webcam sees it, as long as it is needed."""

    def __init__(self, bench: Bench) -> None:
        self._picture = bench.pictures()[0][0]

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-")
        path = Path(self._folder.name, "photo.jpg")
        with Image.open(self._picture) as image:
            image.convert("RGB").resize((640, 480)).point(lambda value: value * 0.7).save(path, quality=90)
        return path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def free_port() -> int:
    """A port of this computer that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def opened(command: list[str], port: int, memory: list[float] | None = None) -> float:
    """Seconds until a server answers its page; it is ended then. Its resident memory, in MB, two seconds later, goes to ``memory``."""
    with serving(command, port) as (seconds, pid):
        if memory is not None:
            time.sleep(2)
            memory.append(psutil.Process(pid).memory_info().rss / 1e6)
    return seconds


@contextmanager
def serving(command: list[str], port: int) -> Iterator[tuple[float, int]]:
    """A server from the moment that it answers its page: the seconds until then, and its process."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=PROJECT) as server:
        try:
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                        page.read()
                    break
                except OSError:
                    if server.poll() is not None or time.perf_counter() - started > OPENING_SECONDS:
                        raise SystemExit(f"No page came from: {' '.join(command)}") from None
                    time.sleep(0.01)
            yield time.perf_counter() - started, server.pid
        finally:
            server.terminate()
            server.wait()


def linked(source: Path, target: Path) -> None:
    """A file at another place too: a hard link, or a copy where the disk has none or is another."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
