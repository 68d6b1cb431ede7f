"""Reading ``metrics.jsonl`` while it grows, without parsing the whole file again each time."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import threading
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fruitvision.files import FileCache

STEP = ("epoch", "step", "steps", "loss", "lr", "grad_norm", "images_per_s")
STEP_MARK = b'"kind": "step"'
"""Part of the JSON of every step's record, by which these are recognized without parsing; most lines are steps."""
MAX_READERS, MAX_RUNS = 4, 2000
TAIL = 64
MAX_BYTES = 256 * 2**20
"""A larger metrics file is not read; 15,000 steps take 3 MB."""
LARGEST, SMALLEST = 1e15, 1e-300
"""Larger numbers count as missing in plots, and smaller ones as zero."""


class Summary(NamedTuple):
    """The metrics of a whole run that are shown in the table of runs."""

    skipped: int
    """The number of skipped steps."""
    test_top1: float | None
    test_images: int | None


def parse_record(line: bytes) -> dict[str, Any] | None:
    """The record in a line of ``metrics.jsonl``; None if it is incomplete or damaged."""
    try:
        record = json.loads(line.decode("utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _has_position(record) else None


def _has_position(record: dict[str, Any]) -> bool:
    """Whether an epoch's record has its epoch, and a step's record its epoch and step; a damaged one may not."""
    wanted = {"epoch": ("epoch",), "step": ("epoch", "step")}.get(str(record.get("kind")), ())
    return all(isinstance(record.get(name), int) and 0 <= record[name] < LARGEST for name in wanted)


def _read_coarse(path: str) -> tuple[dict[str, Any], ...]:
    lines = Path(path).read_bytes().split(b"\n")
    return tuple(record for line in lines if STEP_MARK not in line if (record := parse_record(line)))


_coarse = FileCache(_read_coarse, MAX_RUNS, max_bytes=MAX_BYTES)


def coarse_records(path: Path) -> list[dict[str, Any]]:
    """All records of a metrics file except those of steps; cached until the file changes; none if there is no file."""
    try:
        return [dict(record) for record in _coarse(str(path)) if record.get("kind") != "step"]
    except OSError:
        return []


def summary(path: Path) -> Summary:
    """Skipped steps and test accuracy of the whole run."""
    records = coarse_records(path)
    skipped = sum(number(record.get("skipped")) or 0 for record in records if record.get("kind") == "epoch")
    test = next((record for record in reversed(records) if record.get("kind") == "test"), {})
    return Summary(int(skipped), number(test.get("top1")), number(test.get("images")))


def number(value: Any) -> Any:
    """A number of a record within bounds, NaN or an infinity; None for anything else, which a damaged or foreign file may hold."""
    if not isinstance(value, int | float) or abs(value) > LARGEST:
        return value if isinstance(value, float) and not math.isfinite(value) else None
    return value if abs(value) >= SMALLEST else 0.0


class MetricsReader:
    """Reads the epochs and steps of a metrics file; each call only parses what was appended since the last one."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._mark: Hashable = None
        self._inode, self._at, self._tail, self._rest = 0, 0, b"", b""
        self._epochs: list[dict[str, Any]] = []
        self._steps: list[dict[str, Any]] = []

    def read(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """(epochs, steps) in their order."""
        with self._lock:
            try:
                info = os.stat(self.path)
                if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_BYTES:
                    raise OSError(errno.EFBIG, "not a metrics file", str(self.path))
                if (mark := (info.st_ino, info.st_size, info.st_mtime_ns)) != self._mark:
                    self._read_on(info)
                    self._mark = mark
            except OSError:
                self._forget()
            found = list(self._epochs), list(self._steps)
            if self._rest:  # the last line may be complete although its newline is missing
                _put(self._rest, *found)
            return found

    def _read_on(self, info: os.stat_result) -> None:
        with self.path.open("rb") as file:
            file.seek(max(0, self._at - TAIL))
            grown = info.st_ino == self._inode and info.st_size > self._at and file.read(min(self._at, TAIL)) == self._tail
            if not grown:  # the file was replaced: a resume removes the records that it will repeat
                self._forget()
            file.seek(self._at)
            *lines, rest = file.read().split(b"\n")
        for line in lines:
            _put(line, self._epochs, self._steps)
        read = b"\n".join([*lines, b""])
        self._inode, self._at, self._tail = info.st_ino, self._at + len(read), (self._tail + read)[-TAIL:]
        self._rest = rest


def _put(line: bytes, epochs: list[dict[str, Any]], steps: list[dict[str, Any]]) -> None:
    """Append the record of a line to its list, if it can be plotted."""
    record = parse_record(line) or {}
    if record.get("kind") == "epoch":
        epochs.append({name: number(value) for name, value in record.items()})
    elif record.get("kind") == "step" and number(record.get("steps")):
        steps.append({name: number(record.get(name)) for name in STEP})


@lru_cache(maxsize=MAX_READERS)
def metrics_reader(path: Path) -> MetricsReader:
    """The reader of a file that all pages share."""
    return MetricsReader(path)
