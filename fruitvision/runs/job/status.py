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
    """The status of one execution, written at most twice a second and at least as often as its heartbeat needs."""

    def __init__(self, folder: RunFolder, epochs: int) -> None:
        process, before = psutil.Process(), folder.status()
        self.folder = folder
        self.status = RunStatus(
            state="preparing",
            epochs=epochs,
            pid=process.pid,
            process_started=process.create_time(),
            started=time.time(),
            seconds=before.seconds,
            best_val_accuracy=before.best_val_accuracy,
            epoch=before.epoch,
            start=before.start,
            skipped=before.skipped,
            sources_before=before.sources_before,
        )
        self.was_waiting = before.state == "waiting"
        """Whether the run was waiting for this process, not for one that is gone."""
        self._seconds_before = before.seconds
        self._began = self._last_write = time.monotonic()

    def write(self) -> None:
        """Write the status with a fresh heartbeat. Raises DataError where it cannot be written."""
        self.status.heartbeat = time.time()
        self.status.seconds = self._seconds_before + time.monotonic() - self._began  # monotonic: the clock may be set meanwhile
        self.folder.write_status(self.status)
        self._last_write = time.monotonic()

    def write_if_due(self) -> None:
        """Write if the last time was half a second ago."""
        if time.monotonic() - self._last_write > STATUS_SECONDS:
            self.write()

    def beat(self) -> None:
        """Show that the process is alive if nothing else was written for a while."""
        if time.monotonic() - self._last_write > Heartbeat.INTERVAL_SECONDS / 2:
            self.write()

    def fail(self, error: BaseException) -> None:
        """Record why the run ended; what was saved before stands."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self.status.state = "interrupted"
        elif isinstance(error, FruitVisionError):
            self.status.state, self.status.error = "failed", error.as_dict()
        else:
            self.status.state = "failed"
            self.status.error = FruitVisionError("internal", error=f"{type(error).__name__}: {error}"[:300]).as_dict()
        self.status.eta_s = None
        # A full disk may take one of these and not the other; the caller raises the error itself.
        with contextlib.suppress(OSError, FruitVisionError):
            self.write()
        with contextlib.suppress(OSError, FruitVisionError):
            self.folder.log(f"ended: {self.status.error['message'] if self.status.error else self.status.state}")
