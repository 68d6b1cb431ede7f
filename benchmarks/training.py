"""Benchmarks of training: against the plain recipe, without the input pipeline, on a GPU, and in two processes."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from itertools import count
from pathlib import Path
from unittest.mock import patch

import torch
from torch.nn import functional as F

from benchmarks.bench import BATCH, Bench, FruitVisionTraining, PlainTraining, initial_state
from benchmarks.pairs import Figure, Goal, compare
from fruitvision.runs import launcher
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.prepare.data import RunData
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast

WARM_UP = 3
WAIT_SECONDS = 600.0
TINY = {"width": 8, "image_size": 32, "first_image_size": 32, "eval_resize": 32, "batch_size": 8}


def throughput(bench: Bench) -> list[Figure]:
    """Pictures per second at equal picture size and batch size, against the plain recipe and against a batch in memory."""
    return [line for side in (96, 224) for line in _throughput(bench, side)]


def _throughput(bench: Bench, side: int) -> list[Figure]:
    steps = bench.pick(24 if side == 96 else 8, 2)
    data, config = bench.prepared("fast", image_size=side, first_image_size=side, eval_resize=side, batch_size=BATCH)
    ways = FruitVisionTraining(data, config), PlainTraining(bench.pictures(), side), FruitVisionTraining(data, config, resident=True)
    ours, other, alone = (lambda way=way: steps * BATCH / way.seconds(steps) for way in ways)
    ours()
    alone()
    what = f"training at {side} px, batch {BATCH}"
    goal: Goal | None = (">=", 1.5) if side == 96 else None
    return [
        compare(what, ours, "the plain recipe", other, pairs=bench.pairs, unit="pictures/s", goal=goal),
        compare(what, ours, "the same network on a batch in memory", alone, pairs=bench.pairs, unit="pictures/s"),
    ]


def pipeline(bench: Bench) -> list[Figure]:
    """The fraction of a step at 96 px that is spent on decoding, augmentation and copying."""
    own = {"keep_imagenet": 0, "imagenet_head": False, "norm_statistics": "batch"}
    return [_pipeline(bench, "fast", 0.03), _pipeline(bench, "robust", 0.08, **own)]


def _pipeline(bench: Bench, preset: str, bound: float, **settings: object) -> Figure:
    data, config = bench.prepared(preset, image_size=96, first_image_size=96, **settings)
    ours, alone, steps = FruitVisionTraining(data, config), FruitVisionTraining(data, config, resident=True), bench.pick(12, 2)
    ours.seconds(2)
    alone.seconds(2)
    return compare(
        f"input pipeline's share of a step at 96 px, {preset}",
        lambda: ours.seconds(steps) / steps,
        "the same on a batch in memory",
        lambda: alone.seconds(steps) / steps,
        pairs=bench.pairs,
        goal=("<=", bound),
        ratio=lambda a, b: 1 - b / a,
    )


class BareTraining:
    """The same network on one random batch in GPU memory: only forward, backward and AdamW."""

    def __init__(self, data: RunData, config: TrainConfig, device: torch.device) -> None:
        self._state = initial_state(data, config, device)
        self._state.network.train()
        images = torch.randn(config.batch_size, 3, config.image_size, config.image_size, device=device)
        self._images = images.contiguous(memory_format=self._state.memory_format)
        self._labels = torch.arange(config.batch_size, device=device) % len(data.targets.classes)

    def seconds(self, steps: int) -> float:
        """Seconds for ``steps`` steps."""
        state, config, device = self._state, self._state.config, self._state.device
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        for _ in range(steps):
            with autocast(config, device):
                logits = state.network(self._images).logits
            F.cross_entropy(logits.float(), self._labels, label_smoothing=config.label_smoothing).backward()
            state.optimizer.step()
            state.optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize(device)
        return time.perf_counter() - started


def card(bench: Bench) -> list[Figure]:
    """On a GPU, if there is one: ``fast`` against its network alone, with the default batch size and a larger one."""
    if not torch.cuda.is_available():
        return []
    return [_card(bench, batch, torch.device("cuda")) for batch in (64, 512)]


def _card(bench: Bench, batch: int, device: torch.device) -> Figure:
    data, config = bench.prepared("fast", first_image_size=96, batch_size=batch)
    ways = FruitVisionTraining(data, config, device=device), BareTraining(data, config, device)
    steps = bench.pick(25_600, 2_560) // batch
    ours, alone = (lambda way=way: steps * batch / way.seconds(steps) for way in ways)
    ours()
    alone()
    return compare(
        f"`fast` at 96 px on {torch.cuda.get_device_name(device)}, batch {batch}, bfloat16, pictures on the card",
        ours,
        "forward, backward and AdamW on a random batch that lies there",
        alone,
        pairs=bench.pairs,
        unit="pictures/s",
        goal=(">=", 0.9),
    )


def processes(bench: Bench) -> list[Figure]:
    """Two processes with one thread each, connected by gloo, against one with two threads: runs of `fast` at 96 px."""
    config = TrainConfig.from_preset(
        "fast", start="scratch", epochs=1000, device="cpu", **(TINY if bench.quick else {"image_size": 96, "first_image_size": 96})
    )
    steps, numbers = WARM_UP + bench.pick(40, 3), count()
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder:

        def rate(processes: int, threads: int) -> float:
            with patch.dict(os.environ, OMP_NUM_THREADS=str(threads)):
                run = launcher.start(
                    Path(folder, str(next(numbers))), RunConfig(data=str(bench.data.absolute()), training=config, processes=processes)
                )
            return pictures_per_second(run, steps)

        return [
            compare(
                f"training at {config.image_size} px, batch {config.batch_size}, two processes with one thread each",
                lambda: rate(2, 1),
                "one process with two threads",
                lambda: rate(1, 2),
                pairs=bench.pairs,
                unit="pictures/s",
                goal=(">=", 0.9),
            )
        ]


def pictures_per_second(run: RunFolder, steps: int) -> float:
    """Pictures per second of full batches after the warm-up, from the run's metrics; stops the run and waits for its end."""
    end = time.monotonic() + WAIT_SECONDS
    while len(run.metrics("step")) < steps:
        if not run.status().active or time.monotonic() > end:
            output = (run.path / "output.txt").read_text(encoding="utf-8", errors="replace")
            raise SystemExit(f"The run is {run.status().state}: {output[-500:]}")
        time.sleep(0.1)
    launcher.stop(run, wait=WAIT_SECONDS)
    found = run.metrics("step")[WARM_UP:steps]
    # Without an epoch's last batch, which may be smaller.
    return statistics.harmonic_mean([step["images_per_s"] for step in found if step["step"] < step["steps"]])
