"""Apps and runs are killed: nothing that was shown as saved is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.endurance import wait_until
from fruitvision.runs.folder import RunFolder, list_runs
from tests.endurance.faulty import (
    EPOCHS,
    WRITES,
    Faults,
    after,
    click_table,
    command,
    expect,
    kept,
    same_weights,
    training,
)
from tests.endurance.outcome import Outcome
from tests.endurance.served import Asked, open_app


def killed_while_writing(asked: Asked, data: Path) -> Iterator[Outcome]:
    """A run kills itself (SIGKILL) in each of its writes, goes on, and ends with an undisturbed one's weights."""
    whole, run, faults = RunFolder(asked.folder / "whole" / "run"), RunFolder(asked.folder / "killed" / "run"), Faults()
    begun = command(*training(whole, data))
    expect(begun.returncode == 0, begun.stderr)
    names, rng, died = list(WRITES)[: 3 if asked.quick else None], random.Random(7), 0
    rounds = [(name, 0.004 * (number % 2)) for number, name in enumerate(names)]
    for name, delay in rounds:
        again = RunFolder(asked.folder / name.replace("/", "-") / f"{delay}") if name.startswith(("last", "environment")) else run
        with faults.attempt(f"killed in {name}"):
            fault = f"kill {name} {WRITES[name]} {delay * rng.random()}"
            ended = command(*training(again, data, epochs=EPOCHS if again is run else 1), fault=fault)
            died += ended.returncode == -9
            expect(ended.returncode in (-9, 0), f"it ended with {ended.returncode}: {ended.stderr[-300:]}")
            kept(again)
            if again is not run:
                ended = command(*training(again, data))
                expect(ended.returncode == 0 and again.status().state == "finished", ended.stderr[-300:])
                kept(again)
        if again is run and run.status().state == "finished":
            run = RunFolder(asked.folder / f"killed-{name.replace('/', '-')}" / "run")
    with faults.attempt("going on to the end"):
        ended = command(*training(run, data))
        expect(ended.returncode == 0 and run.status().state == "finished", ended.stderr[-300:])
        kept(run)
        expect(same_weights(run, whole), "the weights are not those of an undisturbed run")
        expect(not list(run.path.rglob(".*.new")), "something half written is left")
    yield faults.outcome(
        f"a run killed while it writes, at {len(names)} places",
        f"{died} died there; all that was shown loads, and the weights in the end are an undisturbed run's to the bit",
    )


def killed_apps(asked: Asked, data: Path) -> Iterator[Outcome]:
    """The app is killed while a run goes on: the run does not notice, and the next app finds it, stops it, goes on with it."""
    faults, together = Faults(), Faults()
    for number in range(1 if asked.quick else 2):
        both = number % 2 == 1 or asked.quick
        place = asked.folder / str(number)
        place.mkdir()
        with (together if both else faults).attempt("the app killed"):
            with open_app(place, data=data.parent) as app, app.owner() as owner:
                owner.train("folder:drawn", "under a killed app", epochs=1000)
                (run,) = list_runs(app.runs)
                wait_until(run, "running")
                after(run, epochs=2)
                psutil.Process(app.pid).kill()
                app.running.process.wait(30)
                if both:
                    psutil.Process(run.status().pid).kill()
            seen = len(run.metrics("step"))
            kept(run)
            if not both:
                after(run, steps=seen + 5)
            go_on_in_another_app(place, data, run, both)
    if faults.tried:
        yield faults.outcome("the app killed while a run goes on", "the run went on, and the next app stopped and resumed it")
    yield together.outcome("app and run killed at once", "the next app showed it as interrupted and went on with it")


def go_on_in_another_app(place: Path, data: Path, run: RunFolder, interrupted: bool) -> None:
    """Open the app again and do with the run what its owner would."""
    with open_app(place, data=data.parent) as app, app.owner() as owner:
        wait_until(run, "interrupted" if interrupted else "running")
        click_table(owner, run, "open")
        if not interrupted:
            owner.press("train-stop")
            wait_until(run, "stopped")
            kept(run)
        shown = len(run.metrics())
        owner.press("train-resume")
        wait_until(run, "running")
        after(run, epochs=shown + 1)
        owner.press("train-stop")
        wait_until(run, "stopped")
        kept(run)
