"""The run folder: everything about a run, readable while the run writes.

config.json    the configuration (RunConfig)
status.json    its current state (RunStatus), replaced as a whole
metrics.jsonl  one JSON object a line, appended and flushed
log.txt        messages, with the time
environment.json  versions, git commit, device and data of the last execution
report/        the HTML report, if it was requested
resume/        everything for an exact resume
best/ last/    checkpoint folders
stop           an empty file that requests a stop (Windows has no signals)
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
from typing import Any

from pydantic import ValidationError

from fruitvision.errors import FruitVisionError, RunError
from fruitvision.files import (
    CHECKSUM,
    FileCache,
    checksum_matches,
    current_folder,
    json_with_checksum,
    remove_folder,
    retry,
    without_checksum,
    write_error,
    write_text,
)
from fruitvision.runs.config import RunConfig
from fruitvision.runs.metrics import MAX_RUNS, Summary, coarse_records, parse_record, summary
from fruitvision.runs.process import end_process, find_process, seen_recently
from fruitvision.runs.status import RunStatus

# The process of a waiting run has not written its pid yet; importing torch may take long on a slow disk.
START_SECONDS = 90.0
MAX_JSON_BYTES = 4 * 2**20  # of config.json or status.json, which usually have a few kilobytes
_WRITING = threading.Lock()  # the heartbeat thread writes the status, too


def _read_config(path: str) -> RunConfig:
    values = json.loads(retry(Path(path).read_bytes))
    if not checksum_matches(values):
        raise ValueError("its checksum differs")
    return RunConfig.model_validate(without_checksum(values))


def _read_status(path: str) -> RunStatus:
    return RunStatus.model_validate_json(retry(Path(path).read_bytes))


_configs = FileCache(_read_config, MAX_RUNS, max_bytes=MAX_JSON_BYTES)
_statuses = FileCache(_read_status, MAX_RUNS, max_bytes=MAX_JSON_BYTES)


class RunFolder:
    """A run, by its folder."""

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
        """The folder's name, which identifies the run in lists and in the browser."""
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
        """Whether the folder holds a run."""
        return (self.path / "config.json").is_file()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to classify with."""
        return (current_folder(self.best) / "config.json").is_file()

    def create(self, config: RunConfig) -> RunFolder:
        """Write the configuration of a new run, or of one that could not start because of another run.

        Raises RunError "run-exists", DataError if it cannot be written.
        """
        if self.exists and not self._kept_from_starting():
            raise RunError("run-exists", path=str(self.path))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, self.path) from error
        self.replace_config(config)
        self.write_status(RunStatus(epochs=config.training.epochs, heartbeat=time.time()))
        return self

    def _kept_from_starting(self) -> bool:
        status = self.status()
        busy = status.state == "failed" and (status.error or {}).get("code") == "busy"
        return busy and not status.epoch and not self.resume_file.exists()

    @property
    def unstarted(self) -> bool:
        """Whether the run was created but no process has started it yet."""
        try:
            status = _statuses(os.path.join(self.path, "status.json"))
        except (OSError, ValidationError):
            return False
        return self.exists and status.state == "waiting" and not status.pid and not self.resume_file.exists()

    def config(self) -> RunConfig:
        """Read ``config.json``. Raises RunError "run-missing", or "run-damaged" if it cannot be read."""
        path = os.path.join(self.path, "config.json")
        try:
            return _configs(path)
        except FileNotFoundError:
            raise RunError("run-missing", path=str(self.path)) from None
        except (ValueError, AttributeError, RecursionError, OSError) as error:
            raise RunError("run-damaged", path=path, checksum=CHECKSUM) from error

    @property
    def name(self) -> str:
        """The name that the user gave the run, or the folder's name."""
        return self.config().name or self.id

    def replace_config(self, config: RunConfig) -> None:
        """Replace the configuration. Raises DataError if it cannot be written."""
        write_text(self.path / "config.json", json_with_checksum(config.model_dump(mode="json")))

    def refuse_if_active(self) -> None:
        """Raise RunError "run-active" while a process is working on it, "run-not-responding" where that process hangs."""
        status = self.status()
        if not status.active:
            return
        if not status.responding:
            raise RunError("run-not-responding", run=self.name)
        raise RunError("run-active", run=self.name)

    def delete(self) -> None:
        """Remove the folder and everything in it; if it is a link, only the link.

        Raises RunError while a process is working on it.
        """
        self.refuse_if_active()
        if not self.exists:  # never remove a folder that is not a run
            raise RunError("run-missing", path=str(self.path))
        try:
            retry(lambda: remove_folder(self.path))
        except OSError as error:
            raise write_error(error, self.path) from error

    def refuse_links(self) -> None:
        """Raise RunError "run-has-link" if the folder contains a symbolic link: writing through it would write elsewhere.

        The folder itself may be a link.
        """
        link = next((path for path in self.path.rglob("*") if path.is_symlink()), None)
        if link is not None:
            raise RunError("run-has-link", path=str(link))

    def write_status(self, status: RunStatus) -> None:
        """Replace ``status.json``."""
        with _WRITING:
            write_text(self.path / "status.json", status.model_dump_json(indent=1) + "\n")

    def status(self) -> RunStatus:
        """The current status; "interrupted" if the process is gone without having recorded its end."""
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
        return process is not None or seen_recently(status.pid, status.heartbeat)

    def mark_not_started(self, error: FruitVisionError) -> None:
        """Record why the run did not start, unless a process is working on it, which writes the status itself."""
        status = self.status()
        if status.state == "finished" or status.active and status.pid:
            return
        try:
            self.write_status(status.model_copy(update={"state": "failed", "eta_s": None, "error": error.as_dict()}))
            self.log(f"not started: {error}")
        except FruitVisionError:
            pass  # the caller raises the error itself

    def end(self) -> None:
        """Kill the run's process and its children; the run can be resumed from its last save.

        This is for a process that is not responding and ignores :meth:`request_stop`. Does nothing if there is no process. Raises
        RunError "run-not-ended", also for a process that may not be the run's.
        """
        status = self.status()
        if not status.active or not status.pid:
            return
        process, name = find_process(status.pid, status.process_started, self.path), self.name if self.exists else self.id
        if process is None:
            raise RunError("run-not-ended", run=name, pid=status.pid)
        end_process(process, self.path, name)
        status = self.status()
        if status.state == "interrupted":  # the process may have finished meanwhile
            self.stop_file.unlink(missing_ok=True)
            self.write_status(status)
            self.log("process killed on request")

    @property
    def metrics_file(self) -> Path:
        """The file of metrics, with one JSON record per line."""
        return self.path / "metrics.jsonl"

    def summary(self, status: RunStatus | None = None) -> Summary:
        """Skipped steps and test accuracy, from ``status`` (by default the run's current one) or, if it lacks them, from all metrics."""
        status = status or self.status()
        if status.skipped is None:  # written by an earlier version
            return summary(self.metrics_file)
        return Summary(status.skipped, status.test_top1, status.test_images)

    @property
    def stop_file(self) -> Path:
        """The file whose presence requests a stop."""
        return self.path / "stop"

    def request_stop(self) -> None:
        """Request a stop after the current step; the run can be resumed."""
        write_text(self.stop_file, "")

    def append(self, record: dict[str, Any]) -> None:
        """Append a record to ``metrics.jsonl``; non-finite numbers become null."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        path = self.metrics_file
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(clean) + "\n")
        except OSError as error:
            raise write_error(error, path) from error

    def metrics(self, kind: str | None = "epoch") -> list[dict[str, Any]]:
        """The records of one kind, or all; incomplete and damaged lines are skipped."""
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
        """Remove the records that a resumed run will write again: those after ``epoch`` epochs and ``step`` steps of the next."""

        def kept(record: dict[str, Any]) -> bool:
            match record.get("kind"):
                case "epoch":
                    return record["epoch"] <= epoch
                case "step":
                    return (record["epoch"], record["step"]) <= (epoch + 1, step)
                case kind:
                    return kind != "test"

        write_text(self.metrics_file, "".join(json.dumps(record) + "\n" for record in self._records() if kept(record)))

    def log(self, line: str) -> None:
        """Append a line to ``log.txt``, with the time. Raises DataError "disk-full" or "cannot-write"."""
        path = self.path / "log.txt"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")
        except OSError as error:
            raise write_error(error, path) from error

    def log_tail(self, lines: int = 200) -> str:
        """The last lines of the log."""
        try:
            with (self.path / "log.txt").open("rb") as file:
                file.seek(max(0, os.path.getsize(file.name) - lines * 200))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def new_run(root: str | Path, config: RunConfig) -> RunFolder:
    """Create a run under ``root`` in a new folder, named after the time and the run's name."""
    slug = re.sub(r"[^\w-]+", "-", config.name).strip("-")[:40]
    stem = time.strftime("%Y%m%d-%H%M%S", time.localtime(config.created)) + (f"-{slug}" if slug else "")
    number, folder = 1, RunFolder(Path(root) / stem)
    while folder.path.exists():
        number += 1
        folder = RunFolder(Path(root) / f"{stem}-{number}")
    return folder.create(config)


def list_runs(root: str | Path) -> list[RunFolder]:
    """The runs directly under ``root``, newest first; other folders are skipped."""
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
