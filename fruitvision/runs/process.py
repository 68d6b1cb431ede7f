"""The process of a run: its heartbeat, finding it, and killing it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from fruitvision.errors import FruitVisionError, RunError

# A heartbeat is recent if it is younger than this; a run writes them several times as often.
RECENT_SECONDS = 10.0
START_TIME_TOLERANCE = 2.0
END_SECONDS = 10.0
COMMANDS = {"train": "--run", "compare": "--out", "evaluate-sources": "--out"}
"""The commands that train, and the option that names their folder."""


class Heartbeat:
    """Calls ``beat`` every few seconds from a thread while the work makes progress.

    It stops in a suspended process, and in one that hangs, for example in a driver, after ``HUNG_SECONDS`` without :meth:`notify`; a
    single step or a download may take long without reporting progress.
    """

    INTERVAL_SECONDS, HUNG_SECONDS = 5.0, 300.0

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat, self._last_progress, self._ended = beat, time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="fruitvision-heartbeat", daemon=True)

    def notify(self) -> None:
        """Report that the work has made progress."""
        self._last_progress = time.monotonic()

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self.INTERVAL_SECONDS):
            if time.monotonic() - self._last_progress < self.HUNG_SECONDS:
                with contextlib.suppress(FruitVisionError, OSError):  # for example a full disk, which the run itself reports
                    self._beat()


def find_process(pid: int, started: float, folder: Path) -> psutil.Process | None:
    """The process with that pid, if it started at that time (seconds since 1970) or works on ``folder``.

    A pid may have been reused by another process, which has a different start time. When the clock is changed, Linux shifts all start
    times; then the process is recognized by its command line, which names the folder.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        same = abs(process.create_time() - started) < START_TIME_TOLERANCE
        return process if same or works_on(process, folder) else None
    except psutil.Error:
        return None


def seen_recently(pid: int, heartbeat: float) -> bool:
    """Whether the heartbeat is recent and the pid belongs to one of our commands: enough to wait for it, but not to kill it."""
    try:
        process = psutil.Process(pid)
        recent = abs(time.time() - heartbeat) < RECENT_SECONDS and process.status() != psutil.STATUS_ZOMBIE
        return recent and bool(_command(process.cmdline()))
    except psutil.Error:
        return False


def works_on(process: psutil.Process, folder: Path) -> bool:
    """Whether the process is one of our commands training in ``folder`` or a parent of it."""
    try:
        words = process.cmdline()
        option = COMMANDS.get(_command(words))
        given = _value(words, option) if option else ""
        if not given:
            return False
        place, named = folder.resolve(), Path(process.cwd(), given).resolve()
        return named == place or named in place.parents
    except (psutil.Error, OSError):
        return False


def _command(words: list[str]) -> str:
    """The name of the training command; empty for any other process."""
    return next((word for word in words if word in COMMANDS), "") if any(Path(word).stem == "fruitvision" for word in words) else ""


def _value(words: list[str], option: str) -> str:
    """The value of ``--option VALUE`` or ``--option=VALUE``; empty if missing."""
    for at, word in enumerate(words):
        if word == option:
            return "".join(words[at + 1 : at + 2])
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return ""


def end_process(process: psutil.Process, folder: Path, name: str) -> None:
    """Kill a process, its children, and the parents that work on the same run (torchrun); returns when they are gone.

    This uses SIGKILL, which also ends a suspended process; TerminateProcess on Windows. Raises RunError "run-not-ended".
    """
    processes: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        top = process
        for parent in process.parents():
            if not works_on(parent, folder):
                break
            top = parent
        processes = [top, *top.children(recursive=True)]
    for one in processes:
        if one.pid != os.getpid():
            with contextlib.suppress(psutil.Error):  # a process that may not be killed is found below
                one.kill()
    _, left = psutil.wait_procs(processes, timeout=END_SECONDS)
    remaining = [one.pid for one in left if _remains(one)]
    if remaining:
        raise RunError("run-not-ended", run=name, pid=remaining[0])


def _remains(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
