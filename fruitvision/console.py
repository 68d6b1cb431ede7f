"""Speaking with a terminal: words in, results out, whatever its encoding."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from fruitvision.comparison.study import StudyFolder, StudyPlan
    from fruitvision.runs.folder import RunFolder


class ManyValues(TyperCommand):
    """A command whose repeatable options take several values at once: ``--photos A B`` is ``--photos A --photos B``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        option, has_value = None, False
        for word in args:
            if word.startswith("-"):
                name, equals, _ = word.partition("=")
                option, has_value = (name if name in repeatable else None), bool(equals)
            elif option and has_value:
                spread.append(option)
            else:
                has_value = True
            spread.append(word)
        return super().parse_args(ctx, spread)


def give(result: dict[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """The result of a command, once. ASCII alone in JSON: it passes through a console of any encoding."""
    if as_json:
        print(json.dumps(_finite(result)))
    else:
        print("\n".join(lines))


def _finite(value: Any) -> Any:
    # JSON knows no NaN: the recall of a class without pictures is null
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def progress(label: str) -> Callable[[int, int | None], None] | None:
    """A counter on one line of standard error, redrawn at most five times a second; None where nobody watches."""
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


def follow(log: Path) -> Callable[[], None]:
    """A function that prints what was appended to ``log`` since it was last called."""
    position = log.stat().st_size if log.exists() else 0

    def show() -> None:
        nonlocal position
        if log.exists() and log.stat().st_size > position:
            with log.open("rb") as file:
                file.seek(position)
                added = file.read()
            position += len(added)
            print(added.decode("utf-8", errors="replace"), end="", flush=True)

    return show


def run_to_its_end(folder: RunFolder, *, quiet: bool) -> bool:
    """Run the folder in this process, showing its log as it grows; whether Ctrl-C ended it.

    The first Ctrl-C (or SIGTERM) asks the run to stop after its step, the second one ends the process.
    """
    from fruitvision.runs.job import execute

    asked = threading.Event()

    def ask_to_stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        asked.set()
        print("Stopping after this step. Press Ctrl-C again to leave at once.", file=sys.stderr, flush=True)

    show_log = follow(folder.path / "log.txt") if not quiet else lambda: None

    def on_event(event: object) -> None:
        if asked.is_set() and folder.exists:  # on a second machine it does not
            folder.request_stop()
        show_log()

    before = [signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        execute(folder.path, on_event=on_event)
    finally:
        show_log()
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    return asked.is_set()


def say_time(plan: StudyPlan, study: StudyFolder) -> None:
    """How long what is left of a study will take here, on standard error."""
    from fruitvision.comparison.estimate import study_seconds

    seconds = study_seconds(plan, study)
    if seconds:
        minutes = f"{max(seconds / 60, 1):.0f} min"
        print(f"About {minutes} on this machine. Ctrl-C leaves; the same command goes on.", file=sys.stderr, flush=True)


def write_report(folder: Path, result: dict[str, Any]) -> list[Path]:
    """The result as JSON, and its table of classes as CSV that a spreadsheet opens."""
    from fruitvision.files import csv_text, write_text

    names = list(dict.fromkeys(name for own in result["per_class"].values() for name in own))
    rows = ([name, *(own.get(one) for one in names)] for name, own in result["per_class"].items())
    write_text(folder / "evaluation.json", json.dumps(result, indent=2, ensure_ascii=False))
    write_text(folder / "per_class.csv", csv_text(["class", *names], rows))
    return [folder / "evaluation.json", folder / "per_class.csv"]
