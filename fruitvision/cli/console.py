"""Printing to a terminal of any encoding: results, progress, a growing log."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fruitvision.wording.text import plain, say


def print_result(result: dict[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """Print the result of a command, as JSON or as lines. The JSON is ASCII, so that any console encoding can print it."""
    if as_json:
        print(json.dumps(_finite(result)))
    else:
        print(plain("\n".join(lines)))


def synthetic_note(dataset: Mapping[str, Any]) -> list[str]:
    """A warning line for a network that was trained on synthetic pictures, by its ``CheckpointConfig.dataset``; none for others."""
    return [say("classify.synthetic", "en")] if dataset.get("synthetic") else []


def _finite(value: Any) -> Any:
    # JSON has no NaN: the recall of a class without pictures is null
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def progress(label: str) -> Callable[[int, int | None], None] | None:
    """A progress counter on one line of standard error, updated at most five times a second; None if that is not a terminal."""
    if not sys.stderr.isatty():
        return None
    shown = 0.0

    def show(done: int, total: int | None) -> None:
        nonlocal shown
        if time.monotonic() - shown > 0.2 or done == total:
            shown = time.monotonic()
            end = "\n" if done == total else ""
            print(f"\r{label}: {done:,}" + (f" of {total:,}" if total else ""), end=end, file=sys.stderr, flush=True)

    return show


def log_follower(log: Path) -> Callable[[], None]:
    """A function that prints what was appended to ``log`` since the last call."""
    position = log.stat().st_size if log.exists() else 0

    def show() -> None:
        nonlocal position
        if log.exists() and log.stat().st_size > position:
            with log.open("rb") as file:
                file.seek(position)
                added = file.read()
            position += len(added)
            print(plain(added.decode("utf-8", errors="replace")), end="", flush=True)

    return show
