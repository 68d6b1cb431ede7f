"""Kills, full disks, a clock set back, a folder made read-only: whatever was shown as saved is there and loads."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from benchmarks.endurance import check, wait_until
from fruitvision.data.synthetic.sample import draw_sample
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunFolder, list_runs
from fruitvision.runs.job.resume import read_state
from tests.endurance.faults.sitecustomize import BALLAST, CLOCK, DISK, FAULT, fill, set_clocks
from tests.endurance.outcome import Outcome
from tests.endurance.served import PROJECT, SMALL, Asked, Person, Served, open_app
from tests.ui.visitor import data_url, picture_bytes

FAULTS = Path(__file__).parent / "faults"
KINDS = ("Apple", "Banana", "Orange", "Kiwi")
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


def chaos(asked: Asked) -> Iterator[Outcome]:
    """All of it, one after the other."""
    data = draw_sample(asked.folder / "data" / "drawn", train_per_class=12, test_per_class=4, size=64, classes=KINDS)
    parts: dict[str, Callable[[Asked, Path], Iterator[Outcome]]] = {
        "app killed": killed_apps,
        "run killed": killed_while_writing,
        "disk full in a run": full_disks,
        "disk full elsewhere": full_commands,
        "disk full under the app": full_app,
        "clock": clock_set_back,
        "read-only": read_only,
    }
    for name, part in parts.items():
        if asked.wants(name):
            place = asked.folder / name.replace(" ", "-")
            place.mkdir()
            yield from part(Asked(place, asked.quick), data)


def kept(run: RunFolder) -> None:
    """Read all that a run showed as saved. Raises Lost, or what reading it raised."""
    check(run)
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


# Processes that are struck ----------------------------------------------------------------------------------------


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


# Killed -----------------------------------------------------------------------------------------------------------


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


def click_table(owner: Person, run: RunFolder, action: str) -> str:
    """Click one of the run's buttons in the table of runs."""
    number = owner.function("train-runs", "click")
    return owner.call(number, owner.values(number), {"action": action, "run": run.id})


def after(run: RunFolder, *, epochs: int = 0, steps: int = 0, seconds: float = 120) -> None:
    """Wait until the run has done so much."""
    end = time.monotonic() + seconds
    while len(run.metrics()) < epochs or len(run.metrics("step")) < steps:
        expect(time.monotonic() < end, f"{run.id} does not go on: {run.status().state}, {run.log_tail(3)}")
        time.sleep(0.1)


# A full disk ------------------------------------------------------------------------------------------------------


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


def full_disks(asked: Asked, data: Path) -> Iterator[Outcome]:
    """The disk is full from one of a run's writes on: a sentence, nothing lost, and with room again it goes on to the end."""
    if refused := disks(asked):
        yield refused
        return
    faults, names = Faults(), list({**FILLED, **STORE}.items())[: 2 if asked.quick else None]
    for name, nth in names:
        with faults.attempt(f"full at {name}"), small_disk(asked.folder / name.replace("/", "-")) as disk:
            run, cache = RunFolder(disk / "runs" / "run"), str(disk / "cache")
            ended = command(
                *training(run, data, epochs=40 if name.endswith("jsonl") else 4),
                fault=f"fill {name} {nth} 0",
                FRUITVISION_CACHE=cache,
                **{DISK: str(disk)},
            )
            said_in_a_line(ended)
            kept(run)
            free(disk)
            kept(run)
            ended = command(*training(run, data), FRUITVISION_CACHE=cache)
            expect(ended.returncode == 0 and run.status().state == "finished", ended.stderr[-300:])
            kept(run)
    yield faults.outcome(
        f"the disk full at each of a run's writes: {', '.join(name for name, _ in names)}",
        "each said so in a line, kept what was shown, and went on to the end with room again",
    )


def full_commands(asked: Asked, data: Path) -> Iterator[Outcome]:
    """The other commands that write."""
    if refused := disks(asked):
        yield refused
        return
    faults = Faults()
    run = RunFolder(asked.folder / "finished" / "run")
    ended = command(*training(run, data, epochs=1))
    expect(ended.returncode == 0, ended.stderr)
    of = ["--checkpoint", run.best, "--data", data]
    small = [f"{name}={value}" for name, value in SMALL.items() if name not in ("start", "batch_size", "first_image_size")]
    commands: dict[str, tuple[str, Callable[[Path], Sequence[object]]]] = {
        "data sample": ("jpg", lambda disk: ["data", "sample", disk / "sample"]),
        "export": ("model.onnx", lambda disk: ["export", *of, "--format", "onnx", "--out", disk / "model.onnx"]),
        "evaluate --report": ("html", lambda disk: ["evaluate", *of, "--report", disk / "report"]),
        "compare": (
            "about.json",
            lambda disk: [
                "compare",
                "--data",
                data,
                "--out",
                disk / "study",
                "--norms",
                "batch,group",
                "--batch-sizes",
                8,
                "--seeds",
                0,
                "--set",
                "epochs=1",
                *small,
            ],
        ),
    }
    for name, (written, words) in list(commands.items())[: 1 if asked.quick else None]:
        with faults.attempt(f"full in {name}"), small_disk(asked.folder / name.replace(" ", "")) as disk:
            given = words(disk)
            said_in_a_line(command(*given, fault=f"fill {written} 1 0", **{DISK: str(disk)}))
            free(disk)
            ended = command(*given)
            expect(ended.returncode == 0, ended.stderr[-300:])
    tried = ", ".join(list(commands)[: faults.tried])
    yield faults.outcome(f"the disk full in {tried}", "each said so in a line, and did it with room again")


def full_app(asked: Asked, data: Path) -> Iterator[Outcome]:
    """The app on a full disk: whatever its owner does is a sentence; what was taught stays; visitors are answered again."""
    if refused := disks(asked):
        yield refused
        return
    faults = Faults()
    with small_disk(asked.folder / "disk") as disk:
        (disk / "tmp").mkdir()
        where = {"GRADIO_TEMP_DIR": str(disk / "uploads"), "TMPDIR": str(disk / "tmp")}
        with open_app(asked.folder, "--runs", str(disk / "runs"), "--taught", str(disk / "taught"), data=data.parent, **where) as app:
            on_a_full_disk(app, disk, faults)
    yield faults.outcome("what the app writes on a full disk", "each was a sentence, nothing was lost, and all of it went with room again")


def on_a_full_disk(app: Served, disk: Path, faults: Faults) -> None:
    """Everything that the owner can have written, before, on and after a full disk."""
    store = TaughtStore(disk / "taught")
    picture = next((app.folder.parent / "data" / "drawn" / "Test").rglob("*.jpg"))
    with app.owner() as owner, app.person() as visitor:

        def teach(colour: int) -> dict:
            image = data_url(picture_bytes(colour=(colour, 90, 90)))
            return owner.serve("classify-teach", "teach_picture", {"image": image, "name": "Quince", "language": "en"}).json()

        def export() -> dict:
            return owner.serve("classify-teach", "export_taught", {"language": "en"}).json()

        with faults.attempt("before"):
            expect("error" not in teach(10) and "error" not in teach(60), "teaching does not go")
            expect("error" not in export(), "exporting does not go")
            owner.train("folder:drawn", "before", epochs=1)
            (run,) = list_runs(disk / "runs")
            wait_until(run, "finished")
        file = export()
        before = store.index()
        fill(str(disk))
        doings: dict[str, Callable[[], str]] = {
            "teaching": lambda: str(teach(200)),
            "exporting what was taught": lambda: str(export()),
            "importing it": lambda: owner.serve("classify-teach", "import_taught", {"language": "en", "file": file.get("file")}).text,
            "starting a run": lambda: owner.train("folder:drawn", "on a full disk", epochs=1),
            "renaming a run": lambda: click_table(owner, run, "rename") and owner.press("train-save-name", train_new_name="renamed"),
            "a report": lambda: owner.press("train-report"),
            "a checkpoint to download": lambda: owner.press("train-checkpoint"),
            "figures to download": lambda: owner.press("train-csv"),
        }
        for name, do in doings.items():
            with faults.attempt(name):
                said = do()
                expect("full" in said, f"no sentence: {said[-300:]}")
        with faults.attempt("what was there"):
            expect(store.index() == before, "what was taught is not what it was")
            kept(run)
        with faults.attempt("a visitor's upload"):
            with contextlib.suppress(Exception):
                visitor.classify(picture)
            frame = {"image": data_url(picture.read_bytes()), "language": "en"}
            with app.person() as another:  # that connection was hung up on
                expect("fv-name" in another.serve("classify-live", "answer_frame", frame).text, "no answer to a frame")
        free(disk)
        with faults.attempt("room again"):
            expect(bool(visitor.classify(picture).names), "no answer")
            expect("error" not in teach(200) and store.index().pictures == before.pictures + 1, "teaching does not go")
            kept(run)


# The clock, and a folder that may be read alone -------------------------------------------------------------------


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
    from fruitvision.runs.folder import RunConfig
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


@contextmanager
def mounted_read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written to the folder any more: it is mounted over itself, to be read alone."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True, capture_output=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def read_only(asked: Asked, data: Path) -> Iterator[Outcome]:
    """The runs folder can be read alone from one moment on."""
    if refused := disks(asked):
        yield refused
        return
    faults = Faults()
    with small_disk(asked.folder / "disk") as disk, open_app(asked.folder, "--runs", str(disk / "runs"), data=data.parent) as app:
        with app.owner() as owner, app.person() as visitor:
            with faults.attempt("midway in a run"):
                owner.train("folder:drawn", "midway", epochs=1000)
                (run,) = list_runs(disk / "runs")
                wait_until(run, "running")
                after(run, epochs=2)
                pid = run.status().pid
                with mounted_read_only(disk / "runs"):
                    psutil.wait_procs([psutil.Process(pid)], timeout=90)
                    expect(run.status().state in ("failed", "interrupted"), f"it is {run.status().state}")
                    kept(run)
                    said = owner.train("folder:drawn", "another", epochs=1)
                    expect("cannot be written" in said, f"no sentence: {said[-300:]}")
                    said = owner.press("train-resume")
                    expect("cannot be written" in said, f"no sentence: {said[-300:]}")
                    picture = next((data / "Test").rglob("*.jpg"))
                    expect(bool(visitor.classify(picture).names), "a visitor is not answered")
            with faults.attempt("writable again"):
                owner.press("train-resume")
                wait_until(run, "running")
                after(run, epochs=len(run.metrics()) + 1)
                owner.press("train-stop")
                wait_until(run, "stopped")
                kept(run)
    yield faults.outcome(
        "the runs folder made read-only midway, and writable again",
        "the run ended, all that it showed loads, the app said why nothing can be started, and it went on afterwards",
    )
