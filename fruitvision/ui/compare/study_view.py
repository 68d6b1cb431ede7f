"""The status of a study, its estimated duration, and the list of studies. HTML, without gradio."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

from fruitvision.comparison.estimate import study_seconds
from fruitvision.comparison.results import Results, read_shipped
from fruitvision.comparison.study import StudyFolder, StudyPlan, Trial, list_studies
from fruitvision.errors import FruitVisionError
from fruitvision.ui.page.background import Task
from fruitvision.ui.page.elements import status as status_box
from fruitvision.ui.page.elements import time_left
from fruitvision.ui.page.norm_names import norm_name
from fruitvision.wording.text import LIST_SEPARATOR, duration, say, say_error

SHIPPED = "measured-before"
"""The id of the shipped study, beside the ids of local ones."""


def study_status(study: StudyFolder | None, language: str, *, shipped: bool = False) -> Markup:
    """One line of text, and a progress bar while it trains. ``shipped``: the shipped study is selected."""
    if study is None:
        key = "compare.race_shipped" if shipped else "compare.race_idle"
        return status_box(say(key, language, **({"start": say("compare.start", language)} if shipped else {})))
    status = study.status()
    training = status.active and status.responding
    trial = next((one for one in study.plan().trials() if one.id == status.message), None)
    facts = {"done": status.epoch, "total": status.epochs, "now": _trial_name(trial, language) if trial else ""}
    state = status.state if status.responding else "unresponsive"
    words = [say(f"compare.race_{'between' if state == 'running' and not trial else state}", language, **facts)]
    if status.state == "failed" and status.error:
        words.append(say_error(status.error, language))
    if training and status.eta_s is not None:
        words.append(time_left(status.eta_s, language))
    done = (status.epoch + status.step / max(status.steps, 1)) / max(status.epochs, 1) if training else None
    return status_box(escape(" ".join(words)), status.state, done)


def _trial_name(trial: Trial, language: str) -> str:
    return say("compare.cell", language, size=trial.batch_size, norm=norm_name(trial.norm, language), seed=trial.seed)


def visible_studies(runs: str | Path, *, owner: bool) -> list[StudyFolder]:
    """The studies that the owner, or a visitor, may see, newest first: a visitor sees finished ones only."""
    return [study for study in list_studies(runs) if owner or study.status().state == "finished"]


def find_visible_study(runs: str | Path, study_id: str | None, *, owner: bool) -> StudyFolder | None:
    """The study with that id, or None if there is none that this user may see."""
    return next((study for study in visible_studies(runs, owner=owner) if study.id == study_id), None)


def study_choices(studies: list[StudyFolder], language: str) -> list[tuple[str, str]]:
    """(name, id) of the studies, newest first; the shipped one last."""
    choices = []
    for study in studies:
        plan = study.plan()
        norms = LIST_SEPARATOR[language].join(norm_name(norm, language) for norm in plan.norms)
        choices.append((f"{plan.name or study.id} · {norms}", study.id))
    return [*choices, (say("compare.shipped", language), SHIPPED)] if shipped_results() else choices


@cache
def shipped_results() -> Results | None:
    """The results of the shipped study, read once."""
    results = read_shipped()
    return results and Results(results.table, results.epochs, {**results.about, "shipped": True})


class StudyTimes:
    """Estimated durations by plan, measured in the background. Shared by all visitors of an app."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        """NaN where the time could not be measured."""
        self.task: Task[None] | None = None

    def describe(self, plan: StudyPlan, language: str, *, may_measure: bool) -> str:
        """ "36 runs, about 40 min here", or that it is being measured; the first call starts measuring if it may.

        Empty where the time could not be measured.
        """
        key, count = repr(plan.model_dump(exclude={"name", "created"})), len(plan.trials())
        seconds = self._seconds.get(key)
        if seconds is None:
            if may_measure and not (self.task and self.task.busy):
                self.task = Task(lambda progress: self._measure(key, plan), "study-time")
            return say("compare.time_measuring", language, count=count) if may_measure else ""
        if math.isnan(seconds):
            return ""
        about = say("train.time_about", language, time=duration(seconds, language))
        return say("compare.time_here", language, count=count, time=about)

    def _measure(self, key: str, plan: StudyPlan) -> None:
        try:
            self._seconds[key] = study_seconds(plan, in_subprocess=True)
        except (FruitVisionError, RuntimeError):  # then no duration is shown
            self._seconds[key] = math.nan
