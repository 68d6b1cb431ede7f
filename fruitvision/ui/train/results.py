"""The evaluation of a finished run on the page. It is computed by a separate process, and stored in the run's folder."""

from __future__ import annotations

import time
from pathlib import Path

from markupsafe import Markup

from fruitvision.report.markup import join, tag
from fruitvision.report.results import read_results, results_html
from fruitvision.runs.folder import RunFolder, RunStatus
from fruitvision.runs.report import State, begin_report, report_file, report_state
from fruitvision.ui.page.background import Task
from fruitvision.ui.page.elements import card, note
from fruitvision.wording.text import say

MAX_AUTOMATIC_PICTURES = 3000
"""Maximum size of the test split for the automatic evaluation of a run that has just finished."""


def results_view(run: RunFolder | None, status: RunStatus | None, report: State, language: str) -> Markup:
    """The results of a finished run; or that they are being computed, or how to get them."""
    if run is None or status is None or status.state != "finished" or not run.has_checkpoint:
        return Markup()
    heading = tag("h2", say("train.results", language), class_="fv-step")
    results = read_results(report_file(run).parent) if report == "ready" else None
    if results is not None:
        return join([heading, results_html(results, language)])
    if report == "making":
        return join([heading, card(tag("p", say("train.results_making", language)))])
    return join([heading, note(say("train.results_none", language))])


class AutoReports:
    """Starts the evaluation of each run that finishes while this app is open, once, unless it has many test pictures."""

    def __init__(self) -> None:
        self._opened = time.time()
        self._started: dict[str, Task[None]] = {}

    def start_if_due(self, runs: Path, run_id: str, language: str) -> None:
        """Start it in the background if it is due. Errors are shown when the owner asks for the results."""
        if run_id in self._started:
            return
        run = RunFolder(runs / run_id)
        status = run.status()
        if status.state != "finished" or status.heartbeat < self._opened or not run.has_checkpoint:
            return
        if 0 < (status.test_images or 0) <= MAX_AUTOMATIC_PICTURES and report_state(run) == "none":
            self._started[run_id] = Task(lambda progress: begin_report(run, language), "results")
