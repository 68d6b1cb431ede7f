"""The run folder: all that is known of a run, readable while the run writes.

config.json    what was asked for (RunConfig)
status.json    where it stands (RunStatus), replaced whole
metrics.jsonl  one JSON object a line, appended and flushed
log.txt        what was said
environment.json  versions, git commit, device and data of the last execution
report/        the page that shows its results, once it was asked for
resume/        everything for an exact resume
best/ last/    checkpoint folders
stop           an empty file that asks the run to stop (signals do not exist on Windows)
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fruitvision.errors import RunError
from fruitvision.files import (
    CHECKSUM,
    FileCache,
    checksum_matches,
    current_folder,
    json_with_checksum,
    remove_folder,
    retried,
    without_checksum,
    write_error,
    write_text,
)
from fruitvision.runs.figures import MOST_RUNS, Summary, coarse_records, parse_record, summary
from fruitvision.runs.process import beats, end_process, find_process, not_ended
from fruitvision.training.config import TrainConfig

State = Literal["waiting", "preparing", "running", "finished", "stopped", "failed", "interrupted"]
ACTIVE: tuple[State, ...] = ("waiting", "preparing", "running")
# A waiting run's process has not written its pid yet; importing torch takes its time on a slow disk.
START_SECONDS = 90.0
# Without a heartbeat for so long, a run that should be at work is not responding.
RESPONSE_SECONDS = 60.0
MOST_PROCESSES = 64
_WRITING = threading.Lock()  # a run's thread that shows its life writes the status too


class RunConfig(BaseModel):
    """What a run was asked to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    data: str
    photos: tuple[str, ...] = ()
    not_fruit: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    """Sources among these that neither train nor validate, by name."""
    study: str = ""
    """The folder of a finished study of sources left out, by whose answers the network is calibrated; empty is none."""
    training: TrainConfig = TrainConfig()
    processes: int = Field(1, ge=1, le=MOST_PROCESSES, description="How many processes of this machine the app trains it with.")
    created: float = Field(default_factory=time.time, description="Seconds since 1970.")


class RunStatus(BaseModel):
    """Where a run stands. Epochs and steps count from 1; 0 is before the first."""

    model_config = ConfigDict(extra="ignore")

    state: State = "waiting"
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    pid: int = 0
    process_started: float = 0.0
    heartbeat: float = 0.0
    started: float = 0.0
    seconds: float = 0.0
    eta_s: float | None = None
    start: str = ""
    best_val_accuracy: float | None = None
    skipped: int | None = None
    """Steps that were left out, in epochs that are done; None where an earlier version wrote it, without the two below."""
    test_top1: float | None = None
    test_images: int | None = None
    message: str = ""
    error: dict[str, Any] | None = None

    @field_validator("best_val_accuracy")
    @classmethod
    def _measured(cls, value: float | None) -> float | None:
        """Until November 2026 a run without any finite validation wrote -1."""
        return value if value is not None and value >= 0 else None

    @property
    def active(self) -> bool:
        """Whether a process is at work on it, or about to be."""
        return self.state in ACTIVE

    @property
    def responding(self) -> bool:
        """False where it is active, and its process was not heard of for a minute: stopped by the system, or hanging."""
        return not self.active or not self.pid or abs(time.time() - self.heartbeat) < RESPONSE_SECONDS


def _read_config(path: str) -> RunConfig:
    values = json.loads(retried(Path(path).read_bytes))
    if not checksum_matches(values):
        raise ValueError("not as it was written")
    return RunConfig.model_validate(without_checksum(values))


def _read_status(path: str) -> RunStatus:
    return RunStatus.model_validate_json(retried(Path(path).read_bytes))


_configs, _statuses = FileCache(_read_config, MOST_RUNS), FileCache(_read_status, MOST_RUNS)


class RunFolder:
    """One run, by its folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunFolder) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def id(self) -> str:
        """The folder's name: what a list and a browser know the run by."""
        return self.path.name

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / "best"

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.path / "last"

    @property
    def resume_file(self) -> Path:
        """The training state."""
        return self.path / "resume" / "state.pt"

    @property
    def exists(self) -> bool:
        """Whether a run was ever set up here."""
        return (self.path / "config.json").is_file()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to classify with."""
        return (current_folder(self.best) / "config.json").is_file()

    def create(self, config: RunConfig) -> RunFolder:
        """Write the configuration of a new run, or of one that was turned away before it began, since another one went on.

        Raises RunError "run-exists", DataError where it cannot be written.
        """
        if self.exists and not self._turned_away():
            raise RunError(
                "run-exists",
                f"There is a run in {self.path} already.",
                "Go on with it by --resume, or choose another folder.",
                path=str(self.path),
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, self.path) from error
        self._write_config(config)
        self.write_status(RunStatus(epochs=config.training.epochs, heartbeat=time.time()))
        return self

    def _turned_away(self) -> bool:
        status = self.status()
        busy = status.state == "failed" and (status.error or {}).get("code") == "busy"
        return busy and not status.epoch and not self.resume_file.exists()

    def config(self) -> RunConfig:
        """Read ``config.json``. Raises RunError where there is no run, or none that can be read."""
        path = os.path.join(self.path, "config.json")
        try:
            return _configs(path)
        except FileNotFoundError:
            raise RunError(
                "run-missing",
                f"There is no run in {self.path}.",
                "Check the folder, or start a new run.",
                path=str(self.path),
            ) from None
        except (ValueError, AttributeError, RecursionError, OSError) as error:
            raise RunError(
                "run-damaged",
                f"{path} cannot be read as a run's configuration, or is not as it was written.",
                f"Delete the run, or restore the file; if you changed it yourself, take its line {CHECKSUM} out.",
                path=str(path),
            ) from error

    @property
    def name(self) -> str:
        """What the person calls it; the folder's name where they called it nothing."""
        return self.config().name or self.id

    def rename(self, name: str) -> None:
        """Give the run another name; its folder stays where it is. Raises RunError for an empty name."""
        name = " ".join(name.split())[:100]
        if not name:
            raise RunError("run-name-empty", "A run needs a name.", "Type at least one letter.")
        self._write_config(self.config().model_copy(update={"name": name}))

    def _write_config(self, config: RunConfig) -> None:
        write_text(self.path / "config.json", json_with_checksum(config.model_dump(mode="json")))

    def refuse_if_active(self) -> None:
        """Raise RunError "run-active" while a process is at work on it, "run-not-responding" where that one must be ended."""
        status = self.status()
        if not status.active:
            return
        if not status.responding:
            raise not_responding(self.name)
        raise RunError("run-active", f"The run {self.name} is going on.", "Stop it first.", run=self.name)

    def delete(self) -> None:
        """Remove the folder and all in it; of one that is a link, the link alone.

        Raises RunError while a process is at work on it.
        """
        self.refuse_if_active()
        if not self.exists:  # never remove a folder that is no run
            raise RunError(
                "run-missing",
                f"There is no run in {self.path}.",
                "Check the folder, or start a new run.",
                path=str(self.path),
            )
        try:
            retried(lambda: remove_folder(self.path))
        except OSError as error:
            raise write_error(error, self.path) from error

    def refuse_links(self) -> None:
        """Raise RunError "run-has-link" where something in the folder leads out of it: writing there would write elsewhere.

        The folder itself may be a link.
        """
        link = next((path for path in self.path.rglob("*") if path.is_symlink()), None)
        if link is not None:
            raise RunError(
                "run-has-link",
                f"{link} is a link, and a run writes nowhere but into its own folder.",
                "Put a copy of what it leads to in its place, or start a new run.",
                path=str(link),
            )

    def write_status(self, status: RunStatus) -> None:
        """Replace ``status.json``."""
        with _WRITING:
            write_text(self.path / "status.json", status.model_dump_json(indent=1) + "\n")

    def status(self) -> RunStatus:
        """Where the run stands now: "interrupted" where its process is gone without having said so."""
        try:
            status = _statuses(os.path.join(self.path, "status.json")).model_copy()
        except (OSError, ValidationError):
            status = RunStatus(state="interrupted")
        if status.active and not self._process_alive(status):
            status = status.model_copy(update={"state": "interrupted", "eta_s": None})
        return status

    def _process_alive(self, status: RunStatus) -> bool:
        if not status.pid:
            return abs(time.time() - status.heartbeat) < START_SECONDS
        process = find_process(status.pid, status.process_started, self.path)
        return process is not None or beats(status.pid, status.heartbeat)

    def end(self) -> None:
        """End the run's process at once, and what belongs to it; what it saved stands, and it can go on from there.

        For one that is not responding, which hears no :meth:`request_stop`. Does nothing where there is none. Raises RunError
        "run-not-ended", also for one that is not surely its own.
        """
        status = self.status()
        if not status.active or not status.pid:
            return
        process, name = find_process(status.pid, status.process_started, self.path), self.name if self.exists else self.id
        if process is None:
            raise not_ended(name, status.pid)
        end_process(process, self.path, name)
        status = self.status()
        if status.state == "interrupted":  # it may have come to its end meanwhile
            self.stop_file.unlink(missing_ok=True)
            self.write_status(status)
            self.log("ended at once, on request")

    @property
    def metrics_file(self) -> Path:
        """One record a line."""
        return self.path / "metrics.jsonl"

    def summary(self, status: RunStatus | None = None) -> Summary:
        """What the table shows of its figures, where ``status`` (by default the run's) has them; read of all figures otherwise."""
        status = status or self.status()
        if status.skipped is None:  # written by an earlier version
            return summary(self.metrics_file)
        return Summary(status.skipped, status.test_top1, status.test_images)

    @property
    def stop_file(self) -> Path:
        """Its presence asks the run to stop."""
        return self.path / "stop"

    def request_stop(self) -> None:
        """Ask the run to stop after the step it is in, keeping everything."""
        write_text(self.stop_file, "")

    def append(self, record: dict[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``; a number that is not finite becomes null."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        path = self.metrics_file
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(clean) + "\n")
        except OSError as error:
            raise write_error(error, path) from error

    def metrics(self, kind: str | None = "epoch") -> list[dict[str, Any]]:
        """The records of one kind, or all; a line that is still being written, or was damaged, is left out."""
        records = self._records() if kind in (None, "step") else coarse_records(self.metrics_file)
        return [r for r in records if kind is None or r.get("kind") == kind]

    def _records(self) -> Iterator[dict[str, Any]]:
        try:
            lines = self.metrics_file.read_bytes().split(b"\n")
        except OSError:
            return
        for line in lines:
            if (record := parse_record(line)) is not None:
                yield record

    def forget_after(self, epoch: int, step: int) -> None:
        """Drop the records past a position: those of steps that a resume will take again.

        ``epoch`` whole epochs are done, and ``step`` steps of the one after.
        """
        kept = [
            r
            for r in self._records()
            if r.get("kind") not in ("epoch", "step")
            and r.get("kind") != "test"
            or r.get("kind") == "epoch"
            and r["epoch"] <= epoch
            or r.get("kind") == "step"
            and (r["epoch"], r["step"]) <= (epoch + 1, step)
        ]
        write_text(self.metrics_file, "".join(json.dumps(r) + "\n" for r in kept))

    def log(self, line: str) -> None:
        """Append a line to ``log.txt``, with the time. Raises DataError "disk-full" or "cannot-write"."""
        path = self.path / "log.txt"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")
        except OSError as error:
            raise write_error(error, path) from error

    def log_tail(self, lines: int = 200) -> str:
        """The end of the log."""
        try:
            with (self.path / "log.txt").open("rb") as file:
                file.seek(max(0, os.path.getsize(file.name) - lines * 200))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def not_responding(name: str) -> RunError:
    """Its process is there, and does nothing."""
    return RunError(
        "run-not-responding",
        f"The run {name} is not responding: its process was stopped, or hangs.",
        "End it: with --force where you stop it, or by the button in the app; it can go on from its last save.",
        run=name,
    )


def new_run(root: str | Path, config: RunConfig) -> RunFolder:
    """Create a run under ``root``, named by the time and its name, never over another."""
    slug = re.sub(r"[^\w-]+", "-", config.name).strip("-")[:40]
    stem = time.strftime("%Y%m%d-%H%M%S", time.localtime(config.created)) + (f"-{slug}" if slug else "")
    for number in range(1, 1000):
        folder = RunFolder(Path(root) / (stem if number == 1 else f"{stem}-{number}"))
        if not folder.path.exists():
            return folder.create(config)
    raise RunError("run-exists", f"There is a run in {folder.path} already.", "Choose another name.", path=str(folder.path))


def list_runs(root: str | Path) -> list[RunFolder]:
    """The runs directly under ``root``, newest first; folders that are no runs are passed over."""
    root = Path(root)
    if not root.is_dir():
        return []
    dated = []
    for run in map(RunFolder, root.iterdir()):
        try:
            dated.append((run.config().created, run))
        except RunError:
            continue
    return [run for _, run in sorted(dated, key=lambda pair: (pair[0], pair[1].id), reverse=True)]
