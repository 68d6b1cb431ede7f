"""Communicating why one process of a run ended to the others, which only see a broken connection."""

from __future__ import annotations

import json
import time
from contextlib import suppress

from fruitvision.errors import FruitVisionError, TrainingError
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.status import RunStatus

REASON_NAME, REASON_SECONDS = "process-ended.txt", 3.0


def record_exit_reason(folder: RunFolder, status: RunStatus) -> None:
    """Leave the reason why this process ended for the others, if the run folder is on this machine."""
    if status.error and folder.exists:
        with suppress(OSError):
            (folder.path / REASON_NAME).write_text(json.dumps(status.error), encoding="utf-8")


def peer_error(folder: RunFolder, error: BaseException) -> BaseException:
    """For a broken connection, the reason that another process of this run left when it ended; else the error itself."""
    if isinstance(error, FruitVisionError) or not isinstance(error, RuntimeError) or "out of memory" in str(error).lower():
        return error
    end = time.monotonic() + REASON_SECONDS
    while not (folder.path / REASON_NAME).exists() and time.monotonic() < end:
        time.sleep(0.1)
    try:
        reason = json.loads((folder.path / REASON_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        reason = str(error)[:200]
    return TrainingError("process-ended", reason=reason)
