"""Processes that are struck by a fault, small disks, and what must be left of a run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.endurance import check_files
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.resume import read_state
from tests.endurance.faults.sitecustomize import BALLAST, FAULT
from tests.endurance.outcome import Outcome
from tests.endurance.served import PROJECT, SMALL, Asked, Person

FAULTS = Path(__file__).parent / "faults"
EPOCHS, DISK_MB = 12, 48
LINUX_ROOT = sys.platform == "linux" and os.geteuid() == 0
NO_DISK = "only Linux's root can mount a small disk"
#: What a run writes, by the names under which ``faults`` knows it, and the how many-eth time is taken.
WRITES = {
    "best/model.safetensors": 2,
    "best/config.json": 2,
    "best/README.md": 2,
    "best": 3,
    "resume/state.pt": 2,
    "metrics.jsonl": 20,
    "log.txt": 5,
    "status.json": 4,
    "environment.json": 1,
    "last/model.safetensors": 1,
    "last": 1,
}
#: Of those, what a full disk can hit; and what is written before the first step.
FILLED = {**{name: nth for name, nth in WRITES.items() if name not in ("best", "last", "metrics.jsonl", "log.txt")}, "metrics.jsonl": 1}
STORE = {"pixels-1.bin": 1, "index.partial": 1}


class Lost(Exception):
    """Something that was shown as saved is not there, or does not load."""


def kept(run: RunFolder) -> None:
    """Read all that a run showed as saved. Raises Lost, or what reading it raised."""
    check_files(run)
    shown, status = run.metrics(), run.status()
    if shown and not run.has_checkpoint:
        raise Lost(f"{run.id} shows {len(shown)} epochs, and there is no checkpoint")
    state = read_state(run)
    if shown and (state is None or state["progress"]["epoch"] < shown[-1]["epoch"]):
        raise Lost(f"{run.id} shows epoch {shown[-1]['epoch']}, and what it would go on from is older")
    if run.has_checkpoint:
        best = load_checkpoint(run.best)[1].metrics.get("validation", {}).get("top1", 1.0)
        wanted = max([*(record["val_accuracy"] for record in shown), status.best_val_accuracy or 0.0])
        if best < wanted - 1e-6:
            raise Lost(f"{run.id} shows an accuracy of {wanted}, and its best checkpoint has {best}")
    if status.state == "finished":
        load_checkpoint(run.last)


def struck(fault: str = "", **environment: str) -> dict[str, str]:
    """The environment of a process with a fault."""
    paths = [str(PROJECT), str(FAULTS), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path), FAULT: fault, **environment}


def command(*words: object, fault: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m fruitvision WORDS``, with a fault."""
    return subprocess.run(
        [sys.executable, "-m", "fruitvision", *map(str, words)],
        env=struck(fault, **environment),
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=PROJECT,
        timeout=900,
    )


def training(run: RunFolder, data: Path, *, epochs: int = EPOCHS, **settings: object) -> list[str]:
    """The words that begin a run, or go on with it."""
    if run.exists:
        return ["train", "--run", str(run.path), "--resume"]
    chosen = {**SMALL, "width": 16, "epochs": epochs, **settings}
    return ["train", "--run", str(run.path), "--data", str(data), "--set", *(f"{name}={value}" for name, value in chosen.items())]


def same_weights(one: RunFolder, other: RunFolder) -> bool:
    """Whether two finished runs ended with the same weights, to the bit."""
    ours, theirs = (load_checkpoint(run.last)[0].state_dict() for run in (one, other))
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


@dataclass
class Faults:
    """What went wrong, of how many tries."""

    tried: int = 0
    first: str = ""
    count: int = 0

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """One try: whatever it raises is a promise that failed."""
        self.tried += 1
        try:
            yield
        except Exception as error:
            self.count += 1
            self.first = self.first or f"{name}: {type(error).__name__}: {error}"[:300]

    def outcome(self, tried: str, came: str) -> Outcome:
        """As a line of the table."""
        said = f"{self.count} of {self.tried} failed; the first, {self.first}" if self.count else came
        return Outcome("chaos", tried, self.tried, said, not self.count and self.tried > 0)


def expect(held: bool, sentence: str) -> None:
    """Raise Lost unless it held."""
    if not held:
        raise Lost(sentence)


def after(run: RunFolder, *, epochs: int = 0, steps: int = 0, seconds: float = 120) -> None:
    """Wait until the run has done so much."""
    end = time.monotonic() + seconds
    while len(run.metrics()) < epochs or len(run.metrics("step")) < steps:
        expect(time.monotonic() < end, f"{run.id} does not go on: {run.status().state}, {run.log_tail(3)}")
        time.sleep(0.1)


@contextmanager
def small_disk(place: Path, megabytes: int = DISK_MB) -> Iterator[Path]:
    """A disk of its own, in memory, under ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


def free(disk: Path) -> None:
    """Take away what filled it."""
    (disk / BALLAST).unlink(missing_ok=True)


def disks(asked: Asked) -> Outcome | None:
    """Why no disk can be made here; None where one can."""
    if not LINUX_ROOT:
        return Outcome("chaos", "a full disk", 0, NO_DISK, None)
    try:
        with small_disk(asked.folder / "try", 1):
            return None
    except (OSError, subprocess.CalledProcessError):
        return Outcome("chaos", "a full disk", 0, "mounting is not allowed here", None)


def said_in_a_line(ended: subprocess.CompletedProcess[str]) -> None:
    """The disk is full, in one line, with exit code 1."""
    last = ended.stderr.strip().splitlines()[-1:] or [""]
    expect(ended.returncode == 1, f"it ended with {ended.returncode}: {ended.stderr[-300:]}")
    expect("Traceback" not in ended.stderr and "disk is full" in last[0], ended.stderr[-400:])


def click_table(owner: Person, run: RunFolder, action: str) -> str:
    """Click one of the run's buttons in the table of runs."""
    number = owner.function("train-runs", "click")
    return owner.call(number, owner.values(number), {"action": action, "run": run.id})
