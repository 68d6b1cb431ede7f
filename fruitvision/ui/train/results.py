"""What a finished run confuses, on the page: evaluated by a process of its own, and kept in the run's folder."""

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
"""Of the test split, up to which a run that has just finished is evaluated without being asked."""


def results_view(run: RunFolder | None, status: RunStatus | None, report: State, language: str) -> Markup:
    """The results of a finished run; or that they are being made, or how to have them."""
    if run is None or status is None or status.state != "finished" or not run.has_checkpoint:
        return Markup()
    heading = tag("h2", say("train.results", language), class_="fv-step")
    found = read_results(report_file(run).parent) if report == "ready" else None
    if found is not None:
        return join([heading, results_html(found, language)])
    if report == "making":
        return join([heading, card(tag("p", say("train.results_making", language)))])
    return join([heading, note(say("train.results_none", language))])


class FirstResults:
    """Begins the evaluation of each run that finishes while this app is open and has few test pictures, once."""

    def __init__(self) -> None:
        self._opened = time.time()
        self._begun: dict[str, Task[None]] = {}

    def consider(self, runs: Path, run_id: str, language: str) -> None:
        """Begin it in the background where it is due. What stops it is said when the owner asks for the results."""
        if run_id in self._begun:
            return
        run = RunFolder(runs / run_id)
        status = run.status()
        if status.state != "finished" or status.heartbeat < self._opened or not run.has_checkpoint:
            return
        if 0 < (status.test_images or 0) <= MAX_AUTOMATIC_PICTURES and report_state(run) == "none":
            self._begun[run_id] = Task(lambda progress: begin_report(run, language), "results")
