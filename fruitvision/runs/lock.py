"""A lock that allows one training at a time in a folder of runs; the system releases it when the process dies."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import filelock

from fruitvision.errors import RunError
from fruitvision.files import write_error, write_text

LOCK_NAME, HOLDER_NAME = ".training.lock", ".training.name"


def hold_lock(path: Path, name: str) -> AbstractContextManager[object]:
    """Context manager: hold the lock on the parent folder of ``path`` while training in ``path``.

    ``name``: what is reported to others meanwhile. Raises RunError "busy", DataError if the lock file cannot be created.
    """
    root = path.absolute().parent
    lock = filelock.FileLock(root / LOCK_NAME)
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = lock.acquire(timeout=0)
        write_text(root / HOLDER_NAME, name)
    except filelock.Timeout:
        raise RunError("busy", run=lock_holder(root)) from None
    except OSError as error:
        raise write_error(error, root) from error
    return held


def refuse_if_locked(root: Path, *, wait: float) -> None:
    """Raise RunError "busy" while a process holds the lock of ``root``, after ``wait`` seconds."""
    if not root.is_dir():
        return
    try:
        with filelock.FileLock(root / LOCK_NAME).acquire(timeout=wait):
            return
    except filelock.Timeout:
        raise RunError("busy", run=lock_holder(root)) from None
    except OSError as error:
        raise write_error(error, root) from error


def lock_holder(root: Path) -> str:
    """The name of the run or study that holds the lock of ``root``; "?" if unknown."""
    try:
        return (root / HOLDER_NAME).read_text(encoding="utf-8")
    except OSError:
        return "?"
