"""The clock goes back under a run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.endurance import wait_until
from fruitvision.runs import launcher
from tests.endurance.faults.sitecustomize import CLOCK, set_clocks
from tests.endurance.faulty import (
    Faults,
    after,
    expect,
    kept,
    struck,
)
from tests.endurance.outcome import Outcome
from tests.endurance.served import SMALL, Asked


def clock_set_back(asked: Asked, data: Path) -> Iterator[Outcome]:
    """The clock goes back an hour, and on a day, under a run: it stays seen, its times stay sensible, it stops and goes on."""
    faults, clock = Faults(), asked.folder / "clock"
    clock.write_text("0", encoding="utf-8")
    real, real_ns, before = time.time, time.time_ns, dict(os.environ)
    from psutil import _pslinux

    booted = _pslinux.boot_time
    try:
        set_clocks(str(clock))
        os.environ.update(struck(**{CLOCK: str(clock)}))
        for number, offset in enumerate((-3600,) if asked.quick else (-3600, 86400, -30 * 86400)):
            with faults.attempt(f"{offset} s"):
                clock.write_text("0", encoding="utf-8")
                under_another_clock(asked.folder / str(number), data, clock, offset)
    finally:
        time.time, time.time_ns, _pslinux.boot_time = real, real_ns, booted
        os.environ.clear()
        os.environ.update(before)
    yield faults.outcome(
        "the clock set back an hour, on a day and back a month under a run, for every process",
        "the run stayed seen, its times sensible; it was stopped, resumed and finished",
    )


def under_another_clock(place: Path, data: Path, clock: Path, offset: int) -> None:
    """One run, with the clock set in its midst."""
    from fruitvision.runs.config import RunConfig
    from fruitvision.training.config import TrainConfig

    config = RunConfig(data=str(data), training=TrainConfig.from_preset("fast", **{**SMALL, "epochs": 400}))
    run = launcher.start(place, config)
    wait_until(run, "running")
    after(run, epochs=2)
    before = run.status()
    clock.write_text(str(offset), encoding="utf-8")
    end, shown, lost = time.monotonic() + 4, len(run.metrics("step")), 0
    while time.monotonic() < end:
        lost += run.status().state != "running"
        time.sleep(0.1)
    status = run.status()
    expect(lost <= 10, f"it was seen as gone {lost} times of 40")
    expect(len(run.metrics("step")) > shown, "it does not go on")
    expect(launcher.running(place) == run, "another run could be started beside it")
    expect(before.seconds <= status.seconds < before.seconds + 60, f"it says that it took {status.seconds} s, before {before.seconds}")
    expect(all(record["seconds"] >= 0 for record in run.metrics()), "an epoch took less than nothing")
    launcher.stop(run, wait=60)
    expect(run.status().state == "stopped", f"it is {run.status().state}")
    kept(run)
    launcher.resume(run)
    wait_until(run, "running")
    after(run, epochs=len(run.metrics()) + 1)
    launcher.stop(run, wait=60)
    kept(run)
