"""Two processes with one thread each, joined by gloo, against one process with two threads."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from itertools import count
from pathlib import Path
from unittest.mock import patch

from benchmarks.figures import Bench
from benchmarks.pairs import Figure, compare
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunConfig, RunFolder
from fruitvision.training.config import TrainConfig

WARM_UP = 3
WAIT_SECONDS = 600.0
TINY = {"width": 8, "image_size": 32, "first_image_size": 32, "eval_resize": 32, "batch_size": 8}


def processes(bench: Bench) -> list[Figure]:
    """Runs of `fast` at 96 px from random weights, each started as the app starts it, and stopped after some steps."""
    config = TrainConfig.from_preset(
        "fast", start="scratch", epochs=1000, device="cpu", **(TINY if bench.quick else {"image_size": 96, "first_image_size": 96})
    )
    steps, numbers = WARM_UP + bench.some(40, 3), count()
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder:

        def rate(processes: int, threads: int) -> float:
            with patch.dict(os.environ, OMP_NUM_THREADS=str(threads)):
                run = launcher.start(
                    Path(folder, str(next(numbers))), RunConfig(data=str(bench.data.absolute()), training=config, processes=processes)
                )
            return pictures_a_second(run, steps)

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


def pictures_a_second(run: RunFolder, steps: int) -> float:
    """Of whole batches after the first few, from the run's own record; the run is stopped, and this returns when it has."""
    end = time.monotonic() + WAIT_SECONDS
    while len(run.metrics("step")) < steps:
        if not run.status().active or time.monotonic() > end:
            output = (run.path / "output.txt").read_text(encoding="utf-8", errors="replace")
            raise SystemExit(f"The run is {run.status().state}: {output[-500:]}")
        time.sleep(0.1)
    launcher.stop(run, wait=WAIT_SECONDS)
    found = run.metrics("step")[WARM_UP:steps]
    # An epoch's last batch may be smaller, and so count less than the others.
    return statistics.harmonic_mean([step["images_per_s"] for step in found if step["step"] < step["steps"]])
