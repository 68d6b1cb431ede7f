"""Kill and resume a run many times: it has to end with exactly the weights of an uninterrupted one.

    python -m benchmarks.endurance --kills 20
    python -m benchmarks.endurance --kills 3 --data fruits-360 --preset fast

A run (without ``--data`` a small one on drawn pictures) is started in its own process, killed at random moments (SIGKILL;
TerminateProcess on Windows), and resumed each time. After every kill the status, the metrics, the saved state and the best
checkpoint are read, to check that no file is half written. At the end all weights are compared bit by bit with those of an
uninterrupted run. ``--set`` changes settings, as in ``train``.
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

from fruitvision.data.synthetic.sample import draw_sample
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.runs import launcher
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.resume import read_state
from fruitvision.training.config import TrainConfig, parse_settings

WAIT_SECONDS, WHOLE_SECONDS = 120.0, 4 * 3600.0
EPOCHS_PER_KILL = 12
KINDS = ("Apple", "Banana", "Kiwi", "Orange")
SMALL = {"start": "scratch", "width": 8, "image_size": 32, "first_image_size": 32, "batch_size": 8, "device": "cpu"}


def main() -> int:
    """Return 0 if the run survived every kill and its weights are the same."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="a folder of class folders; without it, a few drawn pictures")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    rng, settings = random.Random(given.seed), parse_settings(given.settings)
    with tempfile.TemporaryDirectory(prefix="fruitvision-endurance-") as temporary:
        folder, data = Path(temporary), given.data
        if data is None:
            data = draw_sample(folder / "data", train_per_class=12, test_per_class=4, size=64, classes=KINDS)
            settings = {**SMALL, "epochs": EPOCHS_PER_KILL * (given.kills + 1), **settings}
        config = RunConfig(data=str(data.absolute()), training=TrainConfig.from_preset(given.preset, **settings))
        whole = launcher.start(folder / "whole", config)
        wait_until(whole, "failed", seconds=WHOLE_SECONDS)
        print(f"Undisturbed: {whole.status().state} after {whole.status().seconds:.0f} s, {accuracy(whole)}", flush=True)
        between = max(whole.status().seconds / (given.kills + 1), 0.5)
        run = launcher.start(folder / "killed", config)
        for number in range(given.kills):
            wait_until(run, "running")
            time.sleep(rng.uniform(0.0, between))
            at = run.status()
            if at.state == "finished":
                print(f"It finished before kill {number + 1}.")
                break
            psutil.Process(at.pid).kill()
            began = time.monotonic()
            wait_until(run, "interrupted")
            seen = time.monotonic() - began
            check_files(run)
            print(f"kill {number + 1}: epoch {at.epoch}, step {at.step}; seen to be gone after {seen:.2f} s", flush=True)
            launcher.resume(run)
        wait_until(run, "failed", seconds=WHOLE_SECONDS)
        print(f"Killed and resumed: {run.status().state}, {accuracy(run)}", flush=True)
        kept, expected = (load_checkpoint(one.last)[0].state_dict() for one in (run, whole))
        left = [str(path.relative_to(run.path)) for path in run.path.rglob(".*.new")]
        print(f"Left half written: {', '.join(left) or 'nothing'}.")
        same = not left and all(torch.equal(kept[name], value) for name, value in expected.items())
        print("The same weights to the bit." if same else "The weights differ, or files are left.")
        return 0 if same else 1


def accuracy(run: RunFolder) -> str:
    """The finished run's accuracy on its test pictures, in words."""
    test = run.metrics("test")[-1]
    return f"{test['top1']:.2%} of {test['images']} test pictures right"


def check_files(run: RunFolder) -> None:
    """Read every file that the killed process may have been writing; raises if one is half written."""
    run.config()
    run.metrics(None)
    read_state(run)
    if run.has_checkpoint:
        load_checkpoint(run.best)


def wait_until(run: RunFolder, *states: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait until the run is in one of these states, or finished."""
    end = time.monotonic() + seconds
    while run.status().state not in (*states, "finished"):
        if time.monotonic() > end:
            raise SystemExit(f"The run is {run.status().state} after {seconds:.0f} s: {run.log_tail(5)}")
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
