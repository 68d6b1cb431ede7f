"""Keeping ``status.json`` up to date while a run executes."""

from __future__ import annotations

import contextlib
import time

import psutil

from fruitvision.errors import FruitVisionError
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.process import Heartbeat
from fruitvision.runs.status import RunStatus

STATUS_SECONDS = 0.5


class StatusWriter:
    """Writes the status of a run or study that this process executes: at most twice a second, and as often as its heartbeat needs.

    Args:
        status: the status to begin with; ``seconds`` are those of earlier executions.
    """

    def __init__(self, folder: RunFolder, status: RunStatus) -> None:
        process = psutil.Process()
        self.folder, self.status = folder, status
        status.pid, status.process_started, status.started = process.pid, process.create_time(), time.time()
        self.was_waiting = folder.status().state == "waiting"
        """Whether the run was waiting for this process to start."""
        self._seconds_before = status.seconds
        self._began = self._last_write = time.monotonic()

    @classmethod
    def of_run(cls, folder: RunFolder, epochs: int) -> StatusWriter:
        """For a run of so many epochs, new or resumed."""
        before = folder.status()
        status = RunStatus(
            state="preparing",
            epochs=epochs,
            seconds=before.seconds,
            best_val_accuracy=before.best_val_accuracy,
            epoch=before.epoch,
            start=before.start,
            skipped=before.skipped,
            sources_before=before.sources_before,
        )
        return cls(folder, status)

    def write(self) -> None:
        """Write the status with a fresh heartbeat. Raises DataError if it cannot be written."""
        self.status.heartbeat = time.time()
        self.status.seconds = self._seconds_before + time.monotonic() - self._began  # monotonic: the wall clock may be changed meanwhile
        self.folder.write_status(self.status)
        self._last_write = time.monotonic()

    def write_if_due(self) -> None:
        """Write unless the status was written within the last ``STATUS_SECONDS``."""
        if time.monotonic() - self._last_write > STATUS_SECONDS:
            self.write()

    def beat(self) -> None:
        """Write a fresh heartbeat unless the status was written a moment ago."""
        if time.monotonic() - self._last_write > Heartbeat.INTERVAL_SECONDS / 2:
            self.write()

    def fail(self, error: BaseException) -> None:
        """Record why the run ended; earlier saves are kept."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self.status.state = "interrupted"
        elif isinstance(error, FruitVisionError):
            self.status.state, self.status.error = "failed", error.as_dict()
        else:
            self.status.state = "failed"
            self.status.error = FruitVisionError("internal", error=f"{type(error).__name__}: {error}"[:300]).as_dict()
        self.status.eta_s = None
        # On a full disk one of these may fail; the caller raises the error itself.
        with contextlib.suppress(OSError, FruitVisionError):
            self.write()
        with contextlib.suppress(OSError, FruitVisionError):
            self.folder.log(f"ended: {self.status.error['message'] if self.status.error else self.status.state}")
