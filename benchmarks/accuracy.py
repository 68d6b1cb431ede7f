"""Time to an accuracy of ``GOAL`` on some of the classes: the preset `fast` against the plain recipe, both from random weights.

Both are trained on the same pictures and evaluated on the same test pictures after each epoch; evaluation is not timed. Timing
starts with the folder of pictures: opening it (for `fast`, decoding every picture), initializing the network, and all training
steps. The plain recipe stops after the first epoch that reaches ``GOAL``. `fast` has a schedule of a fixed number of epochs, chosen
in advance; its whole duration is reported, as the median over five seeds.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks import plain
from benchmarks.bench import BATCH, Bench, link_or_copy
from benchmarks.pairs import Figure
from fruitvision.data.read.layouts.found import Listing, PictureEntry
from fruitvision.data.read.listing import list_pictures
from fruitvision.models.networks import build_network
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.runs.prepare.weights import load_initial_weights
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import train_one_epoch
from fruitvision.training.evaluation import evaluate
from fruitvision.training.state import TrainState

GOAL = 0.98
SEED, MAX_CLASSES, SEEDS = 8, 30, 5
SIDE, QUICK_SIDE = 224, 64
MAX_EPOCHS = 30
"""The plain recipe is stopped after this many epochs."""
FAST = {"epochs": 5}
"""The shortest schedule from random weights that reliably reaches ``GOAL`` on these classes: two runs of 4 epochs reached 98.3% and
96.1%."""
UNSEEN = {"epochs": 3, "image_size": 80, "eval_resize": 80}
"""The fastest schedule found that reaches ``GOAL`` from a checkpoint of the other classes; 2 epochs at 96 px reach 97.0%."""
BEFORE = {"epochs": 6}
"""The settings with which that checkpoint is trained."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of one training."""

    seconds: float
    accuracies: tuple[float, ...]
    """Test accuracy (0..1) after each epoch."""

    @property
    def reached(self) -> bool:
        """Whether the final accuracy is at least ``GOAL``."""
        return self.accuracies[-1] >= GOAL

    def __str__(self) -> str:
        count = len(self.accuracies)
        return f"{self.accuracies[-1]:.1%} after {count} epoch{'s' * (count > 1)}{'' if self.reached else ', not reached'}"


def accuracy(bench: Bench) -> list[Figure]:
    """Both from random weights; `fast` with several seeds, each with an empty picture cache."""
    ours = []
    for seed in range(bench.pick(SEEDS, 1)):
        with class_subsets(bench) as (folder, _):
            ours.append(train_fast(folder, start="scratch", seed=seed, **(FAST if not bench.quick else {"epochs": 1})))
    return [_figure(bench, "from scratch", ours, 25)]


def unseen(bench: Bench) -> list[Figure]:
    """`fast` starts from a checkpoint trained on the other classes; the training of that checkpoint is not timed."""
    settings = {"epochs": 1} if bench.quick else UNSEEN
    with class_subsets(bench) as (folder, others):
        run = RunFolder(folder.parent / "before")
        before = TrainConfig.from_preset("fast", start="scratch", val_fraction=0, **({"epochs": 1} if bench.quick else BEFORE))
        run.create(RunConfig(data=str(others), training=before))
        execute(run.path)
        ours = train_fast(folder, start=str(run.best), **settings)
    return [_figure(bench, "from a checkpoint of the other classes", [ours], 60)]


def _figure(bench: Bench, how: str, ours: Sequence[TrainingResult], times: int) -> Figure:
    """The median time of ``ours`` against the plain recipe; the goal is missed unless every run reaches ``GOAL``."""
    other, seconds = train_plain(bench), statistics.median(one.seconds for one in ours)
    ratios = sorted(one.seconds / other.seconds for one in ours)
    each = f"ours: {'; '.join(map(str, ours))}"
    what = f"time to {GOAL:.0%} on {len(chosen_classes(bench))} classes, {how} ({each}; the other: {other})"
    found = (seconds, other.seconds, seconds / other.seconds, ratios[0], ratios[-1])
    pairs = [(one.seconds, other.seconds) for one in ours]
    return Figure(what, "the plain recipe", "s", *found, ("<=", 1 / times), pairs, missed=not all(one.reached for one in ours))


def train_fast(folder: Path, *, start: str, **settings: object) -> TrainingResult:
    """Train the whole schedule of the preset, starting with the folder of pictures."""
    started = time.perf_counter()
    config = TrainConfig.from_preset("fast", **{"start": start, "val_fraction": 0, "device": "cpu", **settings})
    data = prepare(RunConfig(data=str(folder), training=config))
    network = build_network(config.architecture, num_classes=len(data.targets.classes), norm=config.norm, seed=config.seed)
    load_initial_weights(network, config, data.targets, print)
    train, test = loaders(data, config)
    state, seconds, accuracies = TrainState(network, config, torch.device("cpu")), 0.0, []
    while not state.finished:
        for _ in train_one_epoch(state, train):
            pass
        state.progress.start_next_epoch()
        seconds += time.perf_counter() - started
        accuracies.append(evaluate(state.eval_network(), test, state.device, config)["top1"])
        started = time.perf_counter()
    return TrainingResult(seconds, tuple(accuracies))


@cache
def train_plain(bench: Bench) -> TrainingResult:
    """Train the plain recipe on the same classes until it reaches ``GOAL`` or ``MAX_EPOCHS``; run once and cached."""
    with class_subsets(bench) as (folder, _):
        listing = list_pictures(folder)
        labels = {name: n for n, name in enumerate(chosen_classes(bench))}
        train, test = (
            [(listing.root / f.path, labels[f.folder]) for f in listing.files if f.split == split] for split in ("train", "test")
        )
        seconds, accuracies = 0.0, []
        for took, found in plain.epochs(train, test, len(labels), bench.pick(SIDE, QUICK_SIDE), BATCH):
            seconds += took
            accuracies.append(found)
            if found >= GOAL or len(accuracies) == bench.pick(MAX_EPOCHS, 1):
                return TrainingResult(seconds, tuple(accuracies))
    raise AssertionError("the recipe never ends by itself")


def chosen_classes(bench: Bench) -> list[str]:
    """The classes of the comparison: ``MAX_CLASSES``, but at most half of all classes."""
    return sample_classes(list_pictures(bench.data), bench.pick(MAX_CLASSES, 3))


def sample_classes(listing: Listing, count: int) -> list[str]:
    """A fixed random sample of ``count`` classes of a listing, at most half of all classes."""
    names = sorted({file.folder for file in listing.files if file.split == "train"})
    return sorted(random.Random(SEED).sample(names, min(count, len(names) // 2)))


@contextmanager
def class_subsets(bench: Bench) -> Iterator[tuple[Path, Path]]:
    """Two temporary folders, one with the chosen classes and one with the others, and an empty picture cache."""
    listing = list_pictures(bench.data)
    if not any(file.split == "test" for file in listing.files):
        raise SystemExit(f"{bench.data} has no test pictures: name a folder with Training and Test to measure an accuracy on.")
    chosen = chosen_classes(bench)
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as temporary:
        folders = Path(temporary, "chosen"), Path(temporary, "others")
        for file in listing.files:
            link_into(listing, file, folders[file.folder not in chosen])
        with patch.dict(os.environ, FRUITVISION_CACHE=str(Path(temporary, "cache"))):
            yield folders


def link_into(listing: Listing, file: PictureEntry, folder: Path) -> None:
    """Link a file of a listing into another folder, at the same relative path."""
    link_or_copy(listing.root / file.path, folder / file.path)
