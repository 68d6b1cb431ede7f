"""Kill a run without warning, again and again: it has to end with the weights of an undisturbed one.

    python -m benchmarks.endurance --kills 20

A small run on drawn pictures is started as a process of its own, killed (SIGKILL; TerminateProcess on Windows) at random
moments, and resumed each time. After every kill no file may be half written: the status, the metrics, the saved state and
the best checkpoint are read. At the end every weight is compared with that of a run that nobody touched, bit by bit.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch

from fruitvision.data.sample import draw_sample
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunConfig, RunFolder
from fruitvision.runs.job import execute, read_state
from fruitvision.training.config import TrainConfig

WAIT_SECONDS = 120.0
EPOCHS_A_KILL = 12


def main() -> int:
    """Return 0 where every kill was survived and the weights are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="fruitvision-endurance-") as temporary:
        folder = Path(temporary)
        data = draw_sample(folder / "data", train_per_class=12, test_per_class=4, size=64, classes=("Apple", "Banana", "Kiwi", "Orange"))
        training = TrainConfig.from_preset(
            "fast", start="scratch", width=8, image_size=32, first_image_size=32, batch_size=8, device="cpu",
            epochs=EPOCHS_A_KILL * (given.kills + 1),
        )  # fmt: skip
        config = RunConfig(data=str(data), training=training)
        whole = RunFolder(folder / "whole" / "run").create(config)
        execute(whole.path)
        run = launcher.start(folder / "killed", config)
        for number in range(given.kills):
            wait_until(run, "running")
            time.sleep(rng.uniform(0.0, 0.5))
            at = run.status()
            if at.state == "finished":
                print(f"It finished before kill {number + 1}.")
                break
            psutil.Process(at.pid).kill()
            began = time.monotonic()
            wait_until(run, "interrupted")
            seen = time.monotonic() - began
            check(run)
            print(f"kill {number + 1}: epoch {at.epoch}, step {at.step}; seen to be gone after {seen:.2f} s", flush=True)
            launcher.resume(run)
        wait_until(run, "finished")
        kept, expected = (load_checkpoint(one.last)[0].state_dict() for one in (run, whole))
        same = all(torch.equal(kept[name], value) for name, value in expected.items())
        print("The same weights to the bit." if same else "The weights differ.")
        return 0 if same else 1


def check(run: RunFolder) -> None:
    """Read everything that the killed process may have been writing. Raises where any of it is half written."""
    run.config()
    run.metrics(None)
    read_state(run)
    if run.has_checkpoint:
        load_checkpoint(run.best)


def wait_until(run: RunFolder, *states: str) -> None:
    """Until the run is in one of these states, or has finished."""
    end = time.monotonic() + WAIT_SECONDS
    while run.status().state not in (*states, "finished"):
        if time.monotonic() > end:
            raise SystemExit(f"The run is {run.status().state} after {WAIT_SECONDS:.0f} s: {run.log_tail(5)}")
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
