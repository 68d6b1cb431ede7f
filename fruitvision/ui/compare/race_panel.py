"""Race: several norms trained alike, watched while they run. A study is a process of its own; the panel reads its folder."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from fruitvision.comparison.provenance import study_pictures
from fruitvision.comparison.results import Results, frame_csv, results
from fruitvision.comparison.study import BUDGETS, DEFAULT_NORMS, StudyFolder, StudyPlan, list_studies
from fruitvision.errors import FruitVisionError, RunError
from fruitvision.files import write_text
from fruitvision.models.norms import NORMS
from fruitvision.report.markup import join, tag
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunFolder
from fruitvision.ui.compare.race_results import race_charts, race_table, race_words
from fruitvision.ui.compare.race_view import SHIPPED, RaceTimes, race_status, shipped_results, shown_studies, study_choices
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.datasets import SAMPLE, TYPED
from fruitvision.ui.page.downloads import to_download
from fruitvision.ui.page.elements import note
from fruitvision.ui.page.events import (
    QUIET,
    QUIET_LAST,
    SAVE_FILE,
    SHOWN,
    Seen,
    Updates,
    by_component,
    changed,
    fingerprint,
    for_owner,
    show,
)
from fruitvision.ui.page.norm_names import norm_choices
from fruitvision.wording.text import say

TICK_SECONDS = 1.0
WATCHED = ("status", "words", "charts", "figures", "stop", "end", "resume", "csv", "seen")
"""The components that :func:`race_view` updates."""
SAVE_CHARTS = Path(__file__).with_name("chart_png.js").read_text(encoding="utf-8")


class Race:
    """The components, in the order of the page."""

    def __init__(self, page: Page) -> None:
        language, datasets = page.context.language, page.context.datasets

        def folders(language: str) -> list[tuple[str, str]]:  # the owner's are added when the owner is known
            return _folders(datasets.choices(language))

        page.bind(gr.HTML(), value=_heading)
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                data = gr.Dropdown(folders(language), value=SAMPLE, filterable=False, elem_id="compare-data")
                self.data = page.bind(data, label="train.data", choices=folders)
                norms = gr.CheckboxGroup(norm_choices(language), value=list(DEFAULT_NORMS), elem_id="compare-norms")
                self.norms = page.bind(norms, label="compare.norms", choices=norm_choices)
                budget = gr.Radio(_budgets(language), value="quick", elem_id="compare-budget", elem_classes="fv-cards")
                self.budget = page.bind(budget, label="compare.budget", choices=_budgets)
                self.time = gr.HTML(elem_id="compare-time")
                self.start = page.bind(gr.Button(variant="primary", size="lg", elem_id="compare-start"), value="compare.start")
                self.notice = gr.HTML(elem_id="compare-notice")
            with gr.Column(scale=7, min_width=320):
                study = gr.Dropdown([], interactive=True, filterable=False, elem_id="compare-study", visible=False)
                self.study = page.bind(study, label="compare.study")
                status = gr.HTML(race_status(None, language), elem_id="compare-status")
                self.status = page.first(status, value=partial(race_status, None))
                with gr.Row():
                    self.stop = page.bind(gr.Button(visible=False, elem_id="compare-stop"), value="train.stop")
                    self.end = page.bind(gr.Button(visible=False, variant="stop", elem_id="compare-end"), value="train.end")
                    self.resume = page.bind(gr.Button(visible=False, elem_id="compare-resume"), value="train.resume")
                    self.csv = page.bind(gr.Button(visible=False, elem_id="compare-csv"), value="compare.csv")
                    self.png = page.bind(gr.Button(elem_id="compare-png"), value="compare.png")
                    self.file = gr.DownloadButton(visible="hidden")
                self.words = gr.HTML(elem_id="compare-words")
                charts = gr.HTML(race_charts(None, language), elem_id="compare-charts")
                self.charts = page.first(charts, value=partial(race_charts, None))
        self.figures = gr.HTML(elem_id="compare-table")
        self.seen, self.timer = gr.State(None), gr.Timer(TICK_SECONDS)


def _folders(choices: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [choice for choice in choices if choice[1] != TYPED]


def _heading(language: str) -> Markup:
    return join([tag("h2", say("compare.race", language), class_="fv-step"), tag("p", say("compare.race_meaning", language))])


def _budgets(language: str) -> list[tuple[str, str]]:
    return [(say(f"compare.budget_{name}", language), name) for name in BUDGETS]


def build(page: Page) -> None:
    """The tab's contents."""
    parts = Race(page)
    _wire_start(page, parts)
    _wire_study(page, parts)
    _wire_watch(page, parts)


def _wire_start(page: Page, parts: Race) -> None:
    """Start, and how long it will take."""
    context, times = page.context, RaceTimes()

    def start(language: str, data: str, norms: list[str], budget: str) -> Updates:
        begun = start_study(context, data, norms, budget)
        choices = study_choices(list_studies(context.runs), language)
        return {parts.study: gr.update(choices=choices, value=begun.id, visible=True), parts.seen: None}

    asked = [page.language, parts.data, parts.norms, parts.budget]
    begun = parts.start.click(for_owner(context, start, parts.notice), asked, [parts.study, parts.notice, parts.seen], **SHOWN)
    begun.then(None, None, None, js=show("#compare-status", unless="#compare-notice [role=alert]"))

    def count_time(opened: bool, language: str, data: str, norms: list[str], budget: str, request: gr.Request) -> Any:
        if not opened:
            return gr.skip()
        return note(time_words(context, times, data, norms, budget, language, owner=context.access.is_owner(request)))

    gr.on([parts.timer.tick, *(one.change for one in asked)], count_time, [page.opened, *asked], parts.time, **QUIET_LAST)


def _wire_study(page: Page, parts: Race) -> None:
    """What can be done with the study in view."""
    context, here = page.context, [page.language, parts.study]

    def stop(language: str, study: str | None) -> Updates:
        find_study(context, study).request_stop()
        return {parts.seen: None}

    def end(language: str, study: str | None) -> Updates:
        find_study(context, study).end()
        return {parts.seen: None}

    def resume(language: str, study: str | None) -> Updates:
        resume_study(find_study(context, study))
        return {parts.seen: None}

    for button, action in ((parts.stop, stop), (parts.end, end), (parts.resume, resume)):
        button.click(for_owner(context, action, parts.notice), here, [parts.notice, parts.seen], **SHOWN)

    def csv(language: str, study: str | None) -> Updates:
        return {parts.file: str(csv_file(results_of(context, study), study))}

    made = parts.csv.click(for_owner(context, csv, parts.notice), here, [parts.file, parts.notice], **SHOWN)
    made.success(None, [parts.file, parts.notice], None, js=SAVE_FILE)
    parts.png.click(None, None, None, js=SAVE_CHARTS)


def _wire_watch(page: Page, parts: Race) -> None:
    """Which studies there are, and the one in view."""
    context = page.context

    def choices(language: str, request: gr.Request) -> list[tuple[str, str]]:
        return study_choices(shown_studies(context.runs, owner=context.access.is_owner(request)), language)

    def newest(language: str, request: gr.Request) -> Updates:
        known = choices(language, request)
        chosen = known[0][1] if known else None
        study = gr.update(choices=known, value=chosen, visible=bool(known))
        return {parts.study: study, parts.start: gr.update(interactive=context.access.is_owner(request)), **folders(language, request)}

    def folders(language: str, request: gr.Request) -> Updates:
        if not context.access.is_owner(request):
            return {}
        return {parts.data: gr.update(choices=_folders(context.datasets.owners_choices(language)))}

    def rename(language: str, request: gr.Request) -> Updates:
        return {parts.study: gr.update(choices=choices(language, request)), **folders(language, request)}

    def watch(study: str | None, seen: Seen | None, language: str, request: gr.Request) -> Any:
        return by_component(vars(parts), race_view(context, study, seen, language, owner=context.access.is_owner(request)))

    page.demo.load(newest, page.language, [parts.study, parts.start, parts.data], **QUIET)
    page.language.change(rename, page.language, [parts.study, parts.data], **QUIET)
    gr.on(
        [page.demo.load, parts.timer.tick, parts.study.change, page.language.change],
        watch,
        [parts.study, parts.seen, page.language],
        [getattr(parts, name) for name in WATCHED],
        **QUIET_LAST,
    )


def start_study(context: Context, data: str, norms: list[str], budget: str) -> StudyFolder:
    """Check what was asked for, write the study's folder and start its process. Raises FruitVisionError."""
    launcher.refuse_if_busy(context.runs)
    plan = race_plan(context, data, norms, budget)
    study_pictures(plan)
    stem = time.strftime("study-%Y%m%d-%H%M%S")
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 100))
    study = StudyFolder(next(context.runs / name for name in names if not (context.runs / name).exists()))
    study.create(plan)
    resume_study(study)
    return study


def race_plan(context: Context, data: str, norms: list[str], budget: str) -> StudyPlan:
    """The study that the choices ask for. Raises ConfigError, DataError."""
    spent, path = BUDGETS.get(budget, BUDGETS["quick"]), context.datasets.path(data)
    return StudyPlan.parse(
        {
            "data": str(path.absolute()),
            "norms": [norm for norm in NORMS if norm in norms],
            "batch_sizes": spent.batch_sizes,
            "seeds": spent.seeds,
            "rate_rule": spent.rate_rule,
            "training": spent.settings,
            "name": f"{path.name}, {budget}",
        }
    )


def time_words(context: Context, times: RaceTimes, data: str, norms: list[str], budget: str, language: str, *, owner: bool) -> str:
    """How long the chosen race will take; measured while nothing trains.

    Empty where there is no race, and for a visitor: the sample set's pictures are drawn when they are first counted.
    """
    if not owner:
        return ""
    idle = launcher.running(context.runs) is None and not any(study.status().active for study in list_studies(context.runs))
    try:
        return times.words(race_plan(context, data, norms, budget), language, may_measure=idle)
    except FruitVisionError:
        return ""


def results_of(context: Context, study_id: str | None) -> Results:
    """The figures of a study made here, or of the one that the program ships with. Raises RunError "study-missing"."""
    found = shipped_results() if study_id == SHIPPED else None
    return found or results(find_study(context, study_id))


def csv_file(found: Results, name: str | None) -> Path:
    """A study's table as a file that is made for one download."""
    path = to_download(name or "", "csv", otherwise="study")
    write_text(path, frame_csv(found.table))
    return path


def resume_study(study: StudyFolder) -> None:
    """Start the process that trains what is not finished yet. Raises RunError."""
    launcher.refuse_if_busy(study.path.parent)
    launcher.spawn_into(RunFolder(study.path), ["compare", "--out", str(study.path)])


def find_study(context: Context, study_id: str | None) -> StudyFolder:
    """The study of that id. Raises RunError "study-missing"."""
    for study in list_studies(context.runs):
        if study.id == study_id:
            return study
    raise RunError("study-missing", path=str(study_id))


def race_view(context: Context, study_id: str | None, seen: Seen | None, language: str, *, owner: bool) -> dict[str, Any]:
    """Updates of ``WATCHED``, by name; what did not change is left out."""
    study = next((one for one in shown_studies(context.runs, owner=owner) if one.id == study_id), None)
    shipped = study is None and study_id == SHIPPED
    status = study.status() if study else None
    position = (status.state, status.responding, status.epoch, status.step, status.eta_s) if status else ()
    key = fingerprint(study_id, language, owner, position)
    if seen and key == seen[0]:
        return {}
    state = status.state if status else ""
    found = results(study) if study else shipped_results() if shipped else None
    values = {
        "status": race_status(study, language, shipped=shipped),
        "words": race_words(found, language),
        "charts": race_charts(found, language),
        "figures": race_table(found, language),
        "stop": gr.update(visible=bool(owner and status and status.active and status.responding)),
        "end": gr.update(visible=bool(owner and status and not status.responding)),
        "resume": gr.update(visible=owner and state in ("stopped", "interrupted", "failed")),
        "csv": gr.update(visible=owner and (state == "finished" or shipped)),
    }
    return changed(values, seen, key)
