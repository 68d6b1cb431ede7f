"""What a page shows of a run's figures while it grows, without reading ``metrics.jsonl`` whole each time it looks."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fruitvision.files import FileCache

STEP = ("epoch", "step", "steps", "loss", "lr", "grad_norm", "images_per_s")
STEP_MARK = b'"kind": "step"'
"""What stands in the line of every step, as json writes it: by far the most lines, which need not be parsed to be told apart."""
MOST_FOLLOWED, MOST_RUNS = 4, 2000
TAIL = 64


class Summary(NamedTuple):
    """Of a whole run."""

    skipped: int
    """Steps that were left out."""
    test_top1: float | None
    test_images: int | None


def parse_record(line: bytes) -> dict[str, Any] | None:
    """The record in a line of ``metrics.jsonl``; None for one that is still being written, or was damaged."""
    try:
        record = json.loads(line.decode("utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _placed(record) else None


def _placed(record: dict[str, Any]) -> bool:
    """Whether an epoch's or a step's record says where it belongs; one that was damaged since may not."""
    wanted = {"epoch": ("epoch",), "step": ("epoch", "step")}.get(str(record.get("kind")), ())
    return all(isinstance(record.get(name), int) for name in wanted)


def _read_coarse(path: str) -> tuple[dict[str, Any], ...]:
    lines = Path(path).read_bytes().split(b"\n")
    return tuple(record for line in lines if STEP_MARK not in line if (record := parse_record(line)))


_coarse = FileCache(_read_coarse, MOST_RUNS)


def coarse_records(path: Path) -> list[dict[str, Any]]:
    """All records of a metrics file but those of single steps, read again only after it changed; none where it is not there."""
    try:
        return [dict(record) for record in _coarse(str(path)) if record.get("kind") != "step"]
    except OSError:
        return []


def summary(path: Path) -> Summary:
    """What a metrics file says of the whole run."""
    records = coarse_records(path)
    skipped = sum(_number(record.get("skipped")) or 0 for record in records if record.get("kind") == "epoch")
    test = next((record for record in reversed(records) if record.get("kind") == "test"), {})
    return Summary(int(skipped), _number(test.get("top1")), _number(test.get("images")))


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else None


class Followed:
    """The epochs and steps of a metrics file, read on from where it was read to before."""

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
                if (mark := (info.st_ino, info.st_size, info.st_mtime_ns)) != self._mark:
                    self._read_on(info)
                    self._mark = mark
            except OSError:
                self._forget()
            found = list(self._epochs), list(self._steps)
            if self._rest:  # the end of a file that was cut off may be whole all the same
                _put(self._rest, *found)
            return found

    def _read_on(self, info: os.stat_result) -> None:
        with self.path.open("rb") as file:
            file.seek(max(0, self._at - TAIL))
            grown = info.st_ino == self._inode and info.st_size > self._at and file.read(min(self._at, TAIL)) == self._tail
            if not grown:  # another file, or another content, since a resume drops what it will do again
                self._forget()
            file.seek(self._at)
            *lines, rest = file.read().split(b"\n")
        for line in lines:
            _put(line, self._epochs, self._steps)
        read = b"\n".join([*lines, b""])
        self._inode, self._at, self._tail = info.st_ino, self._at + len(read), (self._tail + read)[-TAIL:]
        self._rest = rest


def _put(line: bytes, epochs: list[dict[str, Any]], steps: list[dict[str, Any]]) -> None:
    """Add a line's record to its list, where it can be drawn."""
    record = parse_record(line) or {}
    if record.get("kind") == "epoch":
        epochs.append({name: _number(value) for name, value in record.items()})
    elif record.get("kind") == "step" and _number(record.get("steps")):
        steps.append({name: _number(record.get(name)) for name in STEP})


@lru_cache(maxsize=MOST_FOLLOWED)
def followed(path: Path) -> Followed:
    """The one reader of a file that all pages share."""
    return Followed(path)
