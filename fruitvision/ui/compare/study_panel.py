"""The tab that trains several norms under equal conditions. A study runs in its own process; the panel reads its folder."""

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
from fruitvision.ui.compare.study_results import study_charts, study_findings, study_table
from fruitvision.ui.compare.study_view import (
    SHIPPED,
    StudyTimes,
    find_visible_study,
    shipped_results,
    study_choices,
    study_status,
    visible_studies,
)
from fruitvision.ui.page.components import ListedDropdown
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.datasets import SAMPLE, TYPED
from fruitvision.ui.page.downloads import download_path
from fruitvision.ui.page.elements import note
from fruitvision.ui.page.events import (
    QUEUED,
    SAVE_FILE_JS,
    UNQUEUED,
    UNQUEUED_LAST,
    Seen,
    Updates,
    by_component,
    changed,
    fingerprint,
    for_owner,
    scroll_to_js,
)
from fruitvision.ui.page.norm_names import norm_choices
from fruitvision.wording.text import say

TICK_SECONDS = 1.0
UPDATED = ("status", "findings", "charts", "figures", "stop", "end", "resume", "csv", "seen")
"""The names of the components that :func:`study_updates` updates."""
SAVE_CHARTS_JS = Path(__file__).with_name("chart_png.js").read_text(encoding="utf-8")


class StudyPanel:
    """The tab's components, in page order."""

    def __init__(self, page: Page) -> None:
        language, datasets = page.context.language, page.context.datasets

        def folders(language: str) -> list[tuple[str, str]]:  # the owner's folders are added once the page knows who opened it
            return _without_typed(datasets.choices(language))

        page.bind(gr.HTML(), value=_heading)
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                data = ListedDropdown(folders(language), value=SAMPLE, filterable=False, elem_id="compare-data")
                self.data = page.bind_initial(page.bind(data, label="train.data"), choices=folders)
                norms = gr.CheckboxGroup(norm_choices(language), value=list(DEFAULT_NORMS), elem_id="compare-norms")
                self.norms = page.bind(norms, label="compare.norms", choices=norm_choices)
                budget = gr.Radio(_budgets(language), value="quick", elem_id="compare-budget", elem_classes="fv-cards")
                self.budget = page.bind(budget, label="compare.budget", choices=_budgets)
                self.time = gr.HTML(elem_id="compare-time")
                self.start = page.bind(gr.Button(variant="primary", size="lg", elem_id="compare-start"), value="compare.start")
                self.notice = gr.HTML(elem_id="compare-notice")
            with gr.Column(scale=7, min_width=320):
                study = ListedDropdown([], interactive=True, filterable=False, elem_id="compare-study", visible=False)
                self.study = page.bind(study, label="compare.study")
                status = gr.HTML(study_status(None, language), elem_id="compare-status")
                self.status = page.bind_initial(status, value=partial(study_status, None))
                with gr.Row():
                    self.stop = page.bind(gr.Button(visible=False, elem_id="compare-stop"), value="train.stop")
                    self.end = page.bind(gr.Button(visible=False, variant="stop", elem_id="compare-end"), value="train.end")
                    self.resume = page.bind(gr.Button(visible=False, elem_id="compare-resume"), value="train.resume")
                    self.csv = page.bind(gr.Button(visible=False, elem_id="compare-csv"), value="compare.csv")
                    self.png = page.bind(gr.Button(elem_id="compare-png"), value="compare.png")
                    self.file = gr.DownloadButton(visible="hidden")
                self.findings = gr.HTML(elem_id="compare-words")
                charts = gr.HTML(study_charts(None, language), elem_id="compare-charts")
                self.charts = page.bind_initial(charts, value=partial(study_charts, None))
        self.figures = gr.HTML(elem_id="compare-table")
        self.seen, self.timer = gr.State(None), page.timer(TICK_SECONDS)


def _without_typed(choices: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [choice for choice in choices if choice[1] != TYPED]


def _heading(language: str) -> Markup:
    return join([tag("h2", say("compare.race", language), class_="fv-step"), tag("p", say("compare.race_meaning", language))])


def _budgets(language: str) -> list[tuple[str, str]]:
    return [(say(f"compare.budget_{name}", language), name) for name in BUDGETS]


def build(page: Page) -> None:
    """Build the tab's contents."""
    panel = StudyPanel(page)
    _wire_start(page, panel)
    _wire_actions(page, panel)
    _wire_updates(page, panel)


def _wire_start(page: Page, panel: StudyPanel) -> None:
    """Register the start button and the estimate of the duration."""
    context, times = page.context, StudyTimes()

    def start(language: str, data: str, norms: list[str], budget: str) -> Updates:
        study = start_study(context, data, norms, budget)
        choices = study_choices(list_studies(context.runs), language)
        return {panel.study: gr.update(choices=choices, value=study.id, visible=True), panel.seen: None}

    inputs = [page.language, panel.data, panel.norms, panel.budget]
    started = panel.start.click(for_owner(context, start, panel.notice), inputs, [panel.study, panel.notice, panel.seen], **QUEUED)
    started.then(None, None, None, js=scroll_to_js("#compare-status", unless="#compare-notice [role=alert]"))

    def estimate(opened: bool, language: str, data: str, norms: list[str], budget: str, request: gr.Request) -> Any:
        if not opened:
            return gr.skip()
        return note(time_estimate(context, times, data, norms, budget, language, owner=context.access.is_owner(request)))

    changes = [component.change for component in inputs]
    gr.on([panel.timer.tick, *changes], estimate, [page.opened, *inputs], panel.time, **UNQUEUED_LAST)


def _wire_actions(page: Page, panel: StudyPanel) -> None:
    """Register the buttons that act on the selected study."""
    context, inputs = page.context, [page.language, panel.study]

    def stop(language: str, study: str | None) -> Updates:
        find_study(context, study).request_stop()
        return {panel.seen: None}

    def end(language: str, study: str | None) -> Updates:
        find_study(context, study).end()
        return {panel.seen: None}

    def resume(language: str, study: str | None) -> Updates:
        resume_study(find_study(context, study))
        return {panel.seen: None}

    for button, action in ((panel.stop, stop), (panel.end, end), (panel.resume, resume)):
        button.click(for_owner(context, action, panel.notice), inputs, [panel.notice, panel.seen], **QUEUED)

    def csv(language: str, study: str | None) -> Updates:
        return {panel.file: str(csv_file(load_results(context, study), study))}

    written = panel.csv.click(for_owner(context, csv, panel.notice), inputs, [panel.file, panel.notice], **QUEUED)
    written.success(None, [panel.file, panel.notice], None, js=SAVE_FILE_JS)
    panel.png.click(None, None, None, js=SAVE_CHARTS_JS)


def _wire_updates(page: Page, panel: StudyPanel) -> None:
    """Keep the list of studies and the selected study up to date."""
    context = page.context

    def choices(language: str, request: gr.Request) -> list[tuple[str, str]]:
        return study_choices(visible_studies(context.runs, owner=context.access.is_owner(request)), language)

    def select_newest(language: str, request: gr.Request) -> Updates:
        studies = choices(language, request)
        newest = studies[0][1] if studies else None
        study = gr.update(choices=studies, value=newest, visible=bool(studies))
        return {panel.study: study, panel.start: gr.update(interactive=context.access.is_owner(request)), **folders(language, request)}

    def folders(language: str, request: gr.Request) -> Updates:
        datasets = context.datasets
        choices = datasets.owners_choices if context.access.is_owner(request) else datasets.choices
        return {panel.data: gr.update(choices=_without_typed(choices(language)))}

    def translate(language: str, request: gr.Request) -> Updates:
        return {panel.study: gr.update(choices=choices(language, request)), **folders(language, request)}

    def update(study: str | None, seen: Seen | None, language: str, request: gr.Request) -> Any:
        return by_component(vars(panel), study_updates(context, study, seen, language, owner=context.access.is_owner(request)))

    page.demo.load(select_newest, page.language, [panel.study, panel.start, panel.data], **UNQUEUED)
    page.language.change(translate, page.language, [panel.study, panel.data], **UNQUEUED)
    gr.on(
        [page.demo.load, panel.timer.tick, panel.study.change, page.language.change],
        update,
        [panel.study, panel.seen, page.language],
        [getattr(panel, name) for name in UPDATED],
        **UNQUEUED_LAST,
    )


def start_study(context: Context, data: str, norms: list[str], budget: str) -> StudyFolder:
    """Validate the choices, create the study's folder and start its process. Raises FruitVisionError."""
    launcher.refuse_if_busy(context.runs)
    plan = study_plan(context, data, norms, budget)
    study_pictures(plan)
    stem = time.strftime("study-%Y%m%d-%H%M%S")
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 100))
    study = StudyFolder(next(context.runs / name for name in names if not (context.runs / name).exists()))
    study.create(plan)
    resume_study(study)
    return study


def study_plan(context: Context, data: str, norms: list[str], budget: str) -> StudyPlan:
    """The plan for these choices. Raises ConfigError, DataError."""
    chosen, path = BUDGETS.get(budget, BUDGETS["quick"]), context.datasets.path(data)
    return StudyPlan.parse(
        {
            "data": str(path.absolute()),
            "norms": [norm for norm in NORMS if norm in norms],
            "batch_sizes": chosen.batch_sizes,
            "seeds": chosen.seeds,
            "rate_rule": chosen.rate_rule,
            "training": chosen.settings,
            "name": f"{path.name}, {budget}",
        }
    )


def time_estimate(context: Context, times: StudyTimes, data: str, norms: list[str], budget: str, language: str, *, owner: bool) -> str:
    """How long the chosen study will take, as a sentence. Measuring waits while anything is training.

    Empty for an invalid choice, and for visitors: counting the sample set's pictures would draw them first.
    """
    if not owner:
        return ""
    idle = launcher.running(context.runs) is None and not any(study.status().active for study in list_studies(context.runs))
    try:
        return times.describe(study_plan(context, data, norms, budget), language, may_measure=idle)
    except FruitVisionError:
        return ""


def load_results(context: Context, study_id: str | None) -> Results:
    """The results of a local study, or of the shipped one. Raises RunError "study-missing"."""
    shipped = shipped_results() if study_id == SHIPPED else None
    return shipped or results(find_study(context, study_id))


def csv_file(results: Results, name: str | None) -> Path:
    """Write a study's table to a temporary file for one download."""
    path = download_path(name or "", "csv", fallback="study")
    write_text(path, frame_csv(results.table))
    return path


def resume_study(study: StudyFolder) -> None:
    """Start the process that trains the unfinished runs. Raises RunError."""
    launcher.refuse_if_busy(study.path.parent)
    launcher.spawn_into(RunFolder(study.path), ["compare", "--out", str(study.path)])


def find_study(context: Context, study_id: str | None) -> StudyFolder:
    """The study with that id. Raises RunError "study-missing"."""
    for study in list_studies(context.runs):
        if study.id == study_id:
            return study
    raise RunError("study-missing", path=str(study_id))


def study_updates(context: Context, study_id: str | None, seen: Seen | None, language: str, *, owner: bool) -> dict[str, Any]:
    """Updates of the ``UPDATED`` components by name; unchanged ones are left out."""
    study = find_visible_study(context.runs, study_id, owner=owner)
    shipped = study is None and study_id == SHIPPED
    status = study.status() if study else None
    position = (status.state, status.responding, status.epoch, status.step, status.eta_s) if status else ()
    key = fingerprint(study_id, language, owner, position)
    if seen and key == seen[0]:
        return {}
    state = status.state if status else ""
    try:
        measured = results(study) if study else shipped_results() if shipped else None
    except RunError:  # it was removed, or damaged, since it was listed
        study, measured = None, None
    values = {
        "status": study_status(study, language, shipped=shipped),
        "findings": study_findings(measured, language),
        "charts": study_charts(measured, language),
        "figures": study_table(measured, language),
        "stop": gr.update(visible=bool(owner and status and status.active and status.responding)),
        "end": gr.update(visible=bool(owner and status and not status.responding)),
        "resume": gr.update(visible=owner and state in ("stopped", "interrupted", "failed")),
        "csv": gr.update(visible=owner and (state == "finished" or shipped)),
    }
    return changed(values, seen, key)
