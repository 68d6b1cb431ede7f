"""The report of a finished run, made by another process: ``python -m fruitvision evaluate --report``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

import psutil

from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import RunError
from fruitvision.files import FileCache, named_write_errors, read_json, write_text
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.launcher import spawn_command
from fruitvision.runs.metrics import MAX_RUNS
from fruitvision.runs.process import START_TIME_TOLERANCE

State = Literal["none", "making", "ready", "failed"]
REPORT, RESULTS = "report.html", "results.json"
"""The files by which this recognizes a finished report."""


def report_file(run: RunFolder) -> Path:
    """The path of a run's report, whether it exists yet or not."""
    return run.path / "report" / REPORT


def begin_report(run: RunFolder, language: str = "en") -> None:
    """Start making the report, on the test or validation pictures, or on those of training if there are none.

    Does nothing while a report is being made. Raises RunError "report-not-finished" for a run that is not finished, "run-has-link";
    DataError if its pictures are missing.
    """
    if run.status().state != "finished" or not run.has_checkpoint:
        raise RunError("report-not-finished", run=run.name)
    if report_state(run) == "making":
        return
    config = run.config()
    data, training, tested = config.data, config.training, run.summary(run.status()).test_top1 is not None
    splits = list_pictures(data, depth=training.class_depth, boxes=training.boxes).split_folders
    split = next((name for name in ("test", "val") if name in splits), "test" if len(splits) == 1 and tested else "train")
    run.refuse_links()
    with named_write_errors(run.path):
        report_file(run).unlink(missing_ok=True)
    words = ["evaluate", "--data", data, "--checkpoint", str(run.best), "--split", split, "--report", str(report_file(run).parent)]
    words += ["--depth", str(training.class_depth)] if training.class_depth else []
    words += ["--boxes"] if training.crop_boxes else []
    pid = spawn_command([*words, "--lang", language], run.path / "report.txt")
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        started = time.time()
    write_text(_marker(run), json.dumps({"pid": pid, "started": started}) + "\n")


def report_state(run: RunFolder) -> State:
    """Whether there is a report, or it is being made."""
    try:
        process = _markers(str(_marker(run)))
    except (OSError, ValueError):
        return "ready" if _is_made(run) else "none"
    if _alive(process):
        return "making"
    if report_file(run).is_file():  # a report of an earlier version has no results
        return "ready" if _is_made(run) else "none"
    return "failed"


def _is_made(run: RunFolder) -> bool:
    folder = report_file(run).parent
    return report_file(run).is_file() and (folder / RESULTS).is_file()


def _marker(run: RunFolder) -> Path:
    return run.path / "report.json"


_markers = FileCache(read_json, MAX_RUNS, max_bytes=2**12)


def _alive(process: dict) -> bool:
    try:  # a reused pid is recognized by its start time
        found = psutil.Process(process["pid"])
        return abs(found.create_time() - process["started"]) < START_TIME_TOLERANCE and found.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):  # or the content is not ours
        return False
