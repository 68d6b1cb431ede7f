"""Time to an accuracy: `fast` against the plain recipe, on some of the classes: from random weights with five seeds, the others once.

Both learn from the same training pictures and are tested on the same test pictures after each epoch; the tests' time does
not count. What counts begins with the folder of pictures: opening them (which decodes them, for `fast`), the network's
first weights, and every step. The plain recipe ends with the first epoch that reaches ``GOAL``. `fast` is a schedule of so
many epochs, chosen in advance, and the time of the whole of it is reported.
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
from benchmarks.bench import BATCH, Bench, linked
from benchmarks.pairs import Figure
from fruitvision.data.read.layouts.found import Listing, PictureEntry
from fruitvision.data.read.listing import list_pictures
from fruitvision.models.networks import build_network
from fruitvision.runs.folder import RunConfig, RunFolder
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
"""After so many the plain recipe is given up."""
FAST = {"epochs": 5}
"""The shortest schedule from random weights that reaches ``GOAL`` on these classes: of two tries of 4 epochs one ended at 98.3%, the
other at 96.1%."""
UNSEEN = {"epochs": 3, "image_size": 80, "eval_resize": 80}
"""The quickest schedule from a checkpoint of the other classes that was seen to reach ``GOAL``: 2 epochs at 96 px end at 97.0%."""
BEFORE = {"epochs": 6}
"""How that checkpoint is trained."""


@dataclass(frozen=True)
class Learned:
    """What became of one side."""

    seconds: float
    accuracies: tuple[float, ...]
    """On the test pictures, after each epoch."""

    @property
    def reached(self) -> bool:
        """Whether it ended where it should."""
        return self.accuracies[-1] >= GOAL

    def __str__(self) -> str:
        count = len(self.accuracies)
        return f"{self.accuracies[-1]:.1%} after {count} epoch{'s' * (count > 1)}{'' if self.reached else ', not reached'}"


def accuracy(bench: Bench) -> list[Figure]:
    """Both from random weights; ours with several seeds, each on a folder that was not opened before."""
    ours = []
    for seed in range(bench.some(SEEDS, 1)):
        with some_classes(bench) as (folder, _):
            ours.append(fast(folder, start="scratch", seed=seed, **(FAST if not bench.quick else {"epochs": 1})))
    return [_figure(bench, "from scratch", ours, 25)]


def unseen(bench: Bench) -> list[Figure]:
    """`fast` begins with a checkpoint that was trained on the other classes, whose training does not count."""
    settings = {"epochs": 1} if bench.quick else UNSEEN
    with some_classes(bench) as (folder, others):
        run = RunFolder(folder.parent / "before")
        before = TrainConfig.from_preset("fast", start="scratch", val_fraction=0, **({"epochs": 1} if bench.quick else BEFORE))
        run.create(RunConfig(data=str(others), training=before))
        execute(run.path)
        ours = fast(folder, start=str(run.best), **settings)
    return [_figure(bench, "from a checkpoint of the other classes", [ours], 60)]


def _figure(bench: Bench, how: str, ours: Sequence[Learned], times: int) -> Figure:
    """All of ours must get there; the time is their median."""
    other, seconds = plainly(bench), statistics.median(one.seconds for one in ours)
    ratios = sorted(one.seconds / other.seconds for one in ours)
    each = f"ours: {'; '.join(map(str, ours))}"
    what = f"time to {GOAL:.0%} on {len(chosen_classes(bench))} classes, {how} ({each}; the other: {other})"
    found = (seconds, other.seconds, seconds / other.seconds, ratios[0], ratios[-1])
    pairs = [(one.seconds, other.seconds) for one in ours]
    return Figure(what, "the plain recipe", "s", *found, ("<=", 1 / times), pairs, missed=not all(one.reached for one in ours))


def fast(folder: Path, *, start: str, **settings: object) -> Learned:
    """The preset's whole schedule, from the folder of pictures on."""
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
    return Learned(seconds, tuple(accuracies))


@cache
def plainly(bench: Bench) -> Learned:
    """The plain recipe on the same classes, until it reaches the goal or is given up; once, for whoever is compared with it."""
    with some_classes(bench) as (folder, _):
        listing = list_pictures(folder)
        labels = {name: n for n, name in enumerate(chosen_classes(bench))}
        train, test = (
            [(listing.root / f.path, labels[f.folder]) for f in listing.files if f.split == split] for split in ("train", "test")
        )
        seconds, accuracies = 0.0, []
        for took, found in plain.epochs(train, test, len(labels), bench.some(SIDE, QUICK_SIDE), BATCH):
            seconds += took
            accuracies.append(found)
            if found >= GOAL or len(accuracies) == bench.some(MAX_EPOCHS, 1):
                return Learned(seconds, tuple(accuracies))
    raise AssertionError("the recipe has no end of its own")


def chosen_classes(bench: Bench) -> list[str]:
    """The classes of the comparison: thirty, and never more than half of those that there are."""
    return classes_of(list_pictures(bench.data), bench.some(MAX_CLASSES, 3))


def classes_of(listing: Listing, count: int) -> list[str]:
    """``count`` classes of a listing, the same at every call, and never more than half of those that there are."""
    names = sorted({file.folder for file in listing.files if file.split == "train"})
    return sorted(random.Random(SEED).sample(names, min(count, len(names) // 2)))


@contextmanager
def some_classes(bench: Bench) -> Iterator[tuple[Path, Path]]:
    """Two folders, with the chosen classes and with the others, and a picture cache that goes with them."""
    listing = list_pictures(bench.data)
    if not any(file.split == "test" for file in listing.files):
        raise SystemExit(f"{bench.data} has no test pictures: name a folder with Training and Test to measure an accuracy on.")
    chosen = chosen_classes(bench)
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as temporary:
        folders = Path(temporary, "chosen"), Path(temporary, "others")
        for file in listing.files:
            place(listing, file, folders[file.folder not in chosen])
        with patch.dict(os.environ, FRUITVISION_CACHE=str(Path(temporary, "cache"))):
            yield folders


def place(listing: Listing, file: PictureEntry, folder: Path) -> None:
    """A file of a listing at the same place of another folder, see :func:`linked`."""
    linked(listing.root / file.path, folder / file.path)
