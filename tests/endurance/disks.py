"""A full disk, and one that can be read alone: a sentence, and with room again it goes on."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.endurance import wait_until
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.runs.folder import RunFolder, list_runs
from tests.endurance.faults.sitecustomize import DISK, fill
from tests.endurance.faulty import (
    FILLED,
    STORE,
    Faults,
    after,
    click_table,
    command,
    disks,
    expect,
    free,
    kept,
    said_in_a_line,
    small_disk,
    training,
)
from tests.endurance.outcome import Outcome
from tests.endurance.served import SMALL, Asked, Served, open_app
from tests.ui.visitor import data_url, picture_bytes


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
            "a report": lambda: owner.press("train-show"),
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
