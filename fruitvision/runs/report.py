"""A finished run's report, made by a process of its own: ``python -m fruitvision evaluate --report``, as a person would."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

import psutil

from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import RunError
from fruitvision.files import named_write_errors, write_text
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.launcher import spawn_command

State = Literal["none", "making", "ready", "failed"]


def report_file(run: RunFolder) -> Path:
    """Where a run's report lies, once it is made."""
    return run.path / "report" / "report.html"


def begin_report(run: RunFolder, language: str = "en") -> None:
    """Start making it, on the pictures that the run did not learn from. One that is being made is left alone.

    Raises RunError "report-not-finished" for a run that is not, "run-has-link"; DataError where its
    pictures are gone.
    """
    if run.status().state != "finished" or not run.has_checkpoint:
        raise RunError("report-not-finished", f"The run {run.name} is not finished.", "Wait until it is, or resume it.", run=run.name)
    if report_state(run) == "making":
        return
    data = run.config().data
    splits = list_pictures(data).split_folders
    split = next((name for name in ("test", "val") if name in splits), "test" if len(splits) == 1 else "train")
    run.refuse_links()
    with named_write_errors(run.path):
        report_file(run).unlink(missing_ok=True)
    words = ["evaluate", "--data", data, "--checkpoint", str(run.best), "--split", split, "--report", str(report_file(run).parent)]
    pid = spawn_command([*words, "--lang", language], run.path / "report.txt")
    try:
        born = psutil.Process(pid).create_time()
    except psutil.Error:
        born = time.time()
    write_text(_marker(run), json.dumps({"pid": pid, "started": born}) + "\n")


def report_state(run: RunFolder) -> State:
    """Whether there is one, or will be."""
    try:
        process = json.loads(_marker(run).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "ready" if report_file(run).is_file() else "none"
    if _alive(process):
        return "making"
    return "ready" if report_file(run).is_file() else "failed"


def _marker(run: RunFolder) -> Path:
    return run.path / "report.json"


def _alive(process: dict) -> bool:
    try:  # a pid may have been given to another process since; its time of birth tells
        found = psutil.Process(process["pid"])
        return abs(found.create_time() - process["started"]) < 2 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
