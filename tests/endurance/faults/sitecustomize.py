"""Python itself imports this at its start where this folder is on PYTHONPATH. Does one thing to the process that it is in.

FRUITVISION_FAULT="kill NAME NTH DELAY": the process kills itself, DELAY seconds after it opened NAME for writing for the
NTH time, or is about to rename something to it. "fill NAME NTH DELAY": fills the disk instead, at that moment.
FRUITVISION_CLOCK=FILE: all clocks of the day, and the time of the system's start, are off by the seconds in FILE.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

FAULT, CLOCK, DISK = "FRUITVISION_FAULT", "FRUITVISION_CLOCK", "FRUITVISION_DISK"
BALLAST = "ballast"


def fill(disk: str) -> None:
    """Leave not a byte on the disk."""
    with open(os.path.join(disk, BALLAST), "ab", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def arrange_fault(kind: str, name: str, nth: int, delay: float) -> None:
    """Watch what is opened and renamed, and strike once."""
    seen = 0

    def watch(event: str, given: tuple) -> None:
        nonlocal seen
        if event == "open":
            path, mode = str(given[0]), given[1]
            writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
        elif event == "os.rename":
            path, writes = str(given[1]), True
        else:
            return
        if not writes or seen >= nth or not matches(path, name) or not room_is_short(path, kind):
            return
        seen += 1
        if seen == nth and kind == "fill":
            fill(os.environ[DISK])
        elif seen == nth:
            threading.Thread(target=strike, args=(delay,), daemon=True).start() if delay else strike(0)

    sys.addaudithook(watch)


def matches(path: str, name: str) -> bool:
    """Whether a path is NAME, FOLDER/NAME or ends in .NAME; files that are written beside theirs count as those."""
    parts = path.replace("\\", "/").split("/")
    last = parts[-1]
    plain = ".".join(last.split(".")[1:-2]) if last.startswith(".") and last.endswith(".new") else last
    folder = parts[-2] if len(parts) > 1 else ""
    folder = ".".join(folder.split(".")[1:-2]) if folder.startswith(".") and folder.endswith(".new") else folder
    return name in (plain, f"{folder}/{plain}") or plain.endswith(f".{name}")


def room_is_short(path: str, kind: str) -> bool:
    """A line is appended to a full disk as long as its last block has room: wait for one that has not."""
    if kind != "fill" or not path.endswith((".jsonl", ".txt")):
        return True
    return os.path.exists(path) and os.path.getsize(path) % 4096 > 4096 - 60


def strike(delay: float) -> None:
    """Die without a chance to tidy up."""
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)


def set_clocks(file: str) -> None:
    """Let every clock of the day of this process follow the file, from now on."""
    real = time.time

    def off() -> float:
        try:
            with open(file, "rb") as text:
                return float(text.read() or 0)
        except (OSError, ValueError):
            return 0.0

    time.time = lambda: real() + off()
    time.time_ns = lambda: int(time.time() * 1e9)
    try:
        from psutil import _pslinux
    except ImportError:
        return
    started = _pslinux.boot_time
    _pslinux.boot_time = lambda: started() + off()  # Linux moves it with the clock


if os.environ.get(FAULT):
    _kind, _name, _nth, _delay = os.environ[FAULT].split()
    arrange_fault(_kind, _name, int(_nth), float(_delay))
if os.environ.get(CLOCK):
    set_clocks(os.environ[CLOCK])
