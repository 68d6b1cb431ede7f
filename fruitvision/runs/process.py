"""The process that works on a run: whether it is still the one that said so, its sign of life, and how it is ended."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from fruitvision.errors import FruitVisionError, RunError

# A run says so many times oftener than this that it is at work.
BEAT_SECONDS = 10.0
BIRTH_SECONDS = 2.0
END_SECONDS = 10.0
COMMANDS = {"train": "--run", "compare": "--out", "evaluate-sources": "--out"}
"""What trains, and the option that names its folder."""


class Pulse:
    """Calls ``beat`` every few seconds from a thread of its own, while what it watches over makes progress.

    A process that is stopped beats no more. Nor does one that hangs, in a driver for example, once ``HUNG_SECONDS`` have passed
    without a :meth:`sign`: a single step or a download may take long, and has no sign of its own meanwhile.
    """

    PULSE_SECONDS, HUNG_SECONDS = 5.0, 300.0

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat, self._last_sign, self._over = beat, time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="fruitvision-pulse", daemon=True)

    def sign(self) -> None:
        """Something was done."""
        self._last_sign = time.monotonic()

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *given: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._over.wait(self.PULSE_SECONDS):
            if time.monotonic() - self._last_sign < self.HUNG_SECONDS:
                with contextlib.suppress(FruitVisionError, OSError):  # the disk is full: the run itself will say so
                    self._beat()


def find_process(pid: int, born: float, folder: Path) -> psutil.Process | None:
    """The process of that pid, where it is the one that was born then and works on ``folder``.

    A pid may have been given to another process since; its time of birth tells. Where the clock was set, Linux moves all births
    with it: then it is believed by its command, which names the folder.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process if abs(process.create_time() - born) < BIRTH_SECONDS or works_on(process, folder) else None
    except psutil.Error:
        return None


def beats(pid: int, heartbeat: float) -> bool:
    """Whether it was heard of just now, and that pid is one of our commands: enough to wait for it, and not to end it."""
    try:
        process = psutil.Process(pid)
        heard = abs(time.time() - heartbeat) < BEAT_SECONDS and process.status() != psutil.STATUS_ZOMBIE
        return heard and bool(_command(process.cmdline()))
    except psutil.Error:
        return False


def works_on(process: psutil.Process, folder: Path) -> bool:
    """Whether it is a command of ours that trains in ``folder``, or in a folder around it."""
    try:
        words = process.cmdline()
        option = COMMANDS.get(_command(words))
        given = next((_value(words, at, option) for at in range(len(words)) if _is(words[at], option)), None) if option else None
        if not given:
            return False
        place, named = folder.resolve(), Path(process.cwd(), given).resolve()
        return named == place or named in place.parents
    except (psutil.Error, OSError):
        return False


def _command(words: list[str]) -> str:
    """The name of our command that trains; empty for any other process."""
    return next((word for word in words if word in COMMANDS), "") if any(Path(word).stem == "fruitvision" for word in words) else ""


def _is(word: str, option: str) -> bool:
    return word == option or word.startswith(f"{option}=")


def _value(words: list[str], at: int, option: str) -> str:
    return words[at].removeprefix(f"{option}=") if words[at] != option else "".join(words[at + 1 : at + 2])


def end_process(process: psutil.Process, folder: Path, name: str) -> None:
    """Kill it, all that it started, and what started it for the same run (torchrun); return when they are gone.

    SIGKILL reaches a stopped process too; on Windows it is TerminateProcess. Raises RunError "run-not-ended".
    """
    everything: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        top = process
        for parent in process.parents():
            if not works_on(parent, folder):
                break
            top = parent
        everything = [top, *top.children(recursive=True)]
    for one in everything:
        if one.pid != os.getpid():
            with contextlib.suppress(psutil.Error):  # what may not be ended is among those that are left
                one.kill()
    _, left = psutil.wait_procs(everything, timeout=END_SECONDS)
    remaining = [one.pid for one in left if _remains(one)]
    if remaining:
        raise not_ended(name, remaining[0])


def not_ended(name: str, pid: int) -> RunError:
    """A process that the system does not end, or that is not surely the run's."""
    return RunError(
        "run-not-ended",
        f"The process {pid} of {name} cannot be ended: it may wait for a device, or be another person's.",
        "Try again in a moment, or restart the computer.",
        run=name,
        pid=pid,
    )


def _remains(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
