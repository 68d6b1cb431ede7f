"""What the benchmarks share: pictures, the two training loops, a photo, a server, and timing."""

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
from fruitvision.data.load.batch import Batch
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
    """The pictures to measure with, the number of paired measurements, and whether to measure only briefly."""

    data: Path
    pairs: int
    quick: bool

    def pick(self, full: int, quick: int) -> int:
        """``quick`` in a quick measurement, else ``full``."""
        return quick if self.quick else full

    def pictures(self) -> list[tuple[Path, int]]:
        """(path, label) of every training picture."""
        listing = list_pictures(self.data)
        files = [file for file in listing.files if file.split == "train"]
        labels = {name: n for n, name in enumerate(sorted({file.folder for file in files}))}
        return [(listing.root / file.path, labels[file.folder]) for file in files]

    def prepared(self, preset: str, **settings: object) -> tuple[RunData, TrainConfig]:
        """The data as a run of ``preset`` opens it, and a configuration that starts from random weights."""
        config = TrainConfig.from_preset(preset, start="scratch", epochs=1000, **settings)
        return prepare(RunConfig(data=str(self.data.absolute()), training=config)), config


def initial_state(data: RunData, config: TrainConfig, device: torch.device) -> TrainState:
    """The training state before the first step, with random weights."""
    return TrainState(build(config, len(data.targets.classes)), config, device)


class FruitVisionTraining:
    """This package's training loop, some steps at a time."""

    def __init__(self, data: RunData, config: TrainConfig, *, resident: bool = False, device: torch.device = CPU) -> None:
        loader = loaders(data, config, device)[0]
        self.state = initial_state(data, config, device)
        self._events = self._train(cast(Training, RepeatedBatchLoader(loader, config)) if resident else loader)

    def _train(self, loader: Training) -> Iterator[object]:
        while True:
            self.state.progress.step = 0
            yield from train_one_epoch(self.state, loader)

    def seconds(self, steps: int) -> float:
        """Seconds for ``steps`` steps."""
        started = time.perf_counter()
        for _ in islice(self._events, steps):
            pass
        return time.perf_counter() - started


class RepeatedBatchLoader:
    """A loader that repeats one random batch in memory, to time training without its input pipeline."""

    def __init__(self, loader: Training, config: TrainConfig) -> None:
        self.membership, self.steps, self.counts = loader.membership, loader.steps, loader.counts
        images = torch.randn(config.batch_size, 3, config.image_size, config.image_size)
        self._batch = Batch(images, torch.arange(config.batch_size) % 2, np.arange(config.batch_size), config.batch_size, config.batch_size)

    def epoch(self, epoch: int, size: int, start: int = 0, shard: object = None) -> Iterator[Batch]:
        """The same batch, endlessly."""
        return cycle([self._batch])


class PlainTraining:
    """The plain recipe's training loop, some steps at a time."""

    def __init__(self, pictures: list[tuple[Path, int]], side: int) -> None:
        self._steps = plain.steps(pictures, len({label for _, label in pictures}), side, min(BATCH, len(pictures)))
        self.seconds(1)

    def seconds(self, steps: int) -> float:
        """Seconds for ``steps`` steps, after those whose batches were prefetched; returns when the workers are idle."""
        for _ in range(plain.PREFETCHED):
            next(self._steps)
        started = time.perf_counter()
        for _ in range(steps):
            next(self._steps)
        found = time.perf_counter() - started
        wait_until_idle()
        return found


def seconds_per_call(count: int, work: Callable[[], object]) -> float:
    """Mean seconds of ``count`` calls."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - started) / count


def wait_until_idle() -> None:
    """Wait until all child processes are idle: data loading workers keep prefetching after the last step."""
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


class webcam_photo:
    """A context with a temporary 640 × 480 JPEG made of one of the pictures, darkened as by a webcam; enters with its path."""

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
    """A free TCP port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def seconds_to_page(command: list[str], port: int, memory: list[float] | None = None) -> float:
    """Seconds until a new server answers its page. Its resident memory (MB) two seconds later is appended to ``memory``."""
    with running_server(command, port) as (seconds, pid):
        if memory is not None:
            time.sleep(2)
            memory.append(psutil.Process(pid).memory_info().rss / 1e6)
    return seconds


@contextmanager
def running_server(command: list[str], port: int) -> Iterator[tuple[float, int]]:
    """Run a server, from when it first answers its page; yields (seconds until then, its pid)."""
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


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``, or a copy where the file system does not allow that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
