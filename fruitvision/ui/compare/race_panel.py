"""Race: several norms trained alike, watched while they run. A study is a process of its own; the panel reads its folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.comparison.results import Results, frame_csv, results
from fruitvision.comparison.study import BUDGETS, DEFAULT_NORMS, StudyFolder, StudyPlan, list_studies
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import FruitVisionError, RunError
from fruitvision.files import write_text
from fruitvision.models.norms import NORMS
from fruitvision.runs import launcher
from fruitvision.ui.compare.norm_words import norm_choices
from fruitvision.ui.compare.race_results import race_charts, race_table, race_words
from fruitvision.ui.compare.race_time import RaceTimes
from fruitvision.ui.compare.race_view import BROUGHT, brought_results, race_status, shown_studies, study_choices
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.datasets import SAMPLE, TYPED, Datasets
from fruitvision.ui.page.downloads import to_download
from fruitvision.ui.page.events import QUIET, SHOWN, notice
from fruitvision.ui.train.panel import TICK_SECONDS
from fruitvision.ui.train.runs import SAVE_FILE
from fruitvision.wording.text import say

SAVE_CHARTS = Path(__file__).with_name("chart_png.js").read_text(encoding="utf-8")


def build(page: Page) -> None:
    """The tab's contents."""
    context, language = page.context, page.context.language
    shelf = context.datasets
    page.bind(gr.HTML(), value=_race_heading)
    with gr.Row():
        with gr.Column(scale=4, min_width=320):
            parts = _race_choices(page, shelf)
        with gr.Column(scale=7, min_width=320):
            study = page.bind(
                gr.Dropdown([], interactive=True, filterable=False, elem_id="compare-study", visible=False), label="compare.study"
            )
            status = gr.HTML(race_status(None, language), elem_id="compare-status")
            with gr.Row():
                stop = page.bind(gr.Button(visible=False, elem_id="compare-stop"), value="train.stop")
                end = page.bind(gr.Button(visible=False, variant="stop", elem_id="compare-end"), value="train.end")
                resume = page.bind(gr.Button(visible=False, elem_id="compare-resume"), value="train.resume")
                csv = page.bind(gr.Button(visible=False, elem_id="compare-csv"), value="compare.csv")
                png = page.bind(gr.Button(elem_id="compare-png"), value="compare.png")
                made = gr.DownloadButton(visible="hidden")
            words = gr.HTML(elem_id="compare-words")
            charts = gr.HTML(race_charts(None, language), elem_id="compare-charts")
            figures = gr.HTML(elem_id="compare-table")
    seen, timer = gr.State(""), gr.Timer(TICK_SECONDS)
    _wire_race(
        page,
        shelf,
        {
            **parts,
            "study": study,
            "status": status,
            "stop": stop,
            "end": end,
            "resume": resume,
            "csv": csv,
            "png": png,
            "made": made,
            "words": words,
            "charts": charts,
            "figures": figures,
            "seen": seen,
            "timer": timer,
        },
    )


def _race_heading(language: str) -> str:
    return f'<h2 class="fv-step">{say("compare.race", language)}</h2><p>{say("compare.race_meaning", language)}</p>'


def _race_choices(page: Page, shelf: Datasets) -> dict[str, Any]:
    def folders(language: str) -> list[tuple[str, str]]:
        return [choice for choice in shelf.choices(language) if choice[1] != TYPED]

    def budgets(language: str) -> list[tuple[str, str]]:
        return [(say(f"compare.budget_{name}", language), name) for name in BUDGETS]

    return {
        "data": page.bind(
            gr.Dropdown(folders(page.context.language), value=SAMPLE, filterable=False, elem_id="compare-data"),
            label="train.data",
            choices=folders,
        ),
        "norms": page.bind(
            gr.CheckboxGroup(norm_choices(page.context.language), value=list(DEFAULT_NORMS), elem_id="compare-norms"),
            label="compare.norms",
            choices=norm_choices,
        ),
        "budget": page.bind(
            gr.Radio(budgets(page.context.language), value="quick", elem_id="compare-budget", elem_classes="fv-cards"),
            label="compare.budget",
            choices=budgets,
        ),
        "time": gr.HTML(elem_id="compare-time"),
        "start": page.bind(gr.Button(variant="primary", size="lg", elem_id="compare-start"), value="compare.start"),
        "notice": gr.HTML(elem_id="compare-notice"),
    }


def _wire_race(page: Page, shelf: Datasets, p: dict[str, Any]) -> None:
    context = page.context

    def start(data: str, norms: list[str], budget: str, language: str, study: str | None, request: gr.Request) -> tuple[Any, ...]:
        try:
            context.access.require_owner(request)
            begun = start_study(context, shelf, data, norms, budget)
        except FruitVisionError as error:
            return gr.skip(), notice(error, language), gr.skip()
        choices = study_choices(list_studies(context.runs), language)
        return gr.update(choices=choices, value=begun.id, visible=True), "", ""

    p["start"].click(start, [p["data"], p["norms"], p["budget"], page.language, p["study"]], [p["study"], p["notice"], p["seen"]], **SHOWN)

    def changing(action: Any) -> Any:
        def change(study: str | None, language: str, request: gr.Request) -> tuple[str, str]:
            try:
                context.access.require_owner(request)
                action(find_study(context, study))
            except FruitVisionError as error:
                return notice(error, language), ""
            return "", ""

        return change

    for name, action in (("stop", StudyFolder.request_stop), ("end", StudyFolder.end), ("resume", resume_study)):
        p[name].click(changing(action), [p["study"], page.language], [p["notice"], p["seen"]], **SHOWN)

    def save(study: str | None, language: str, request: gr.Request) -> tuple[str | None, str]:
        try:
            context.access.require_owner(request)
            return str(csv_file(results_of(context, study), study)), ""
        except FruitVisionError as error:
            return None, notice(error, language)

    p["csv"].click(save, [p["study"], page.language], [p["made"], p["notice"]], **SHOWN).success(None, p["made"], None, js=SAVE_FILE)
    p["png"].click(None, None, None, js=SAVE_CHARTS)
    times = RaceTimes()

    def count_time(data: str, norms: list[str], budget: str, language: str, request: gr.Request) -> Any:
        said = time_words(context, shelf, times, data, norms, budget, language, owner=context.access.is_owner(request))
        return f'<p class="fv-note">{said}</p>' if said else ""

    asked = [p["data"], p["norms"], p["budget"], page.language]
    gr.on([p["timer"].tick, *(one.change for one in asked)], count_time, asked, p["time"], **QUIET)

    def newest(language: str, request: gr.Request) -> list[Any]:
        choices = study_choices(shown_studies(context.runs, owner=context.access.is_owner(request)), language)
        chosen = choices[0][1] if choices else None
        return [gr.update(choices=choices, value=chosen, visible=bool(choices)), gr.update(interactive=context.access.is_owner(request))]

    page.demo.load(newest, page.language, [p["study"], p["start"]], **QUIET)

    def rename(language: str, request: gr.Request) -> Any:
        return gr.update(choices=study_choices(shown_studies(context.runs, owner=context.access.is_owner(request)), language))

    page.language.change(rename, page.language, p["study"], **QUIET)

    def watch(study: str | None, seen: str, language: str, request: gr.Request) -> list[Any]:
        return race_view(context, study, seen, language, owner=context.access.is_owner(request))

    shown = [p[name] for name in ("status", "words", "charts", "figures", "stop", "end", "resume", "csv", "seen")]
    gr.on(
        [page.demo.load, p["timer"].tick, p["study"].change, page.language.change],
        watch,
        [p["study"], p["seen"], page.language],
        shown,
        **QUIET,
    )


def start_study(context: Context, shelf: Datasets, data: str, norms: list[str], budget: str) -> StudyFolder:
    """Check what was asked for, write the study's folder and start its process. Raises FruitVisionError."""
    launcher.refuse_if_busy(context.runs)
    plan = race_plan(shelf, data, norms, budget)
    list_pictures(Path(plan.data))
    stem = time.strftime("study-%Y%m%d-%H%M%S")
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 100))
    study = StudyFolder(next(context.runs / name for name in names if not (context.runs / name).exists()))
    study.create(plan)
    resume_study(study)
    return study


def race_plan(shelf: Datasets, data: str, norms: list[str], budget: str) -> StudyPlan:
    """The study that the choices ask for. Raises ConfigError, DataError."""
    spent, path = BUDGETS.get(budget, BUDGETS["quick"]), shelf.path(data)
    return StudyPlan.parse(
        {
            "data": str(path.absolute()),
            "norms": [norm for norm in NORMS if norm in norms],
            "batch_sizes": spent.batch_sizes,
            "seeds": spent.seeds,
            "training": spent.settings,
            "name": f"{path.name}, {budget}",
        }
    )


def time_words(
    context: Context, shelf: Datasets, times: RaceTimes, data: str, norms: list[str], budget: str, language: str, *, owner: bool
) -> str:
    """How long the chosen race will take; measured while nothing trains. Empty where nothing can be said, and for a visitor:
    to count the drawn pictures is to draw them, on first use."""
    if not owner:
        return ""
    quiet = launcher.running(context.runs) is None and not any(study.status().active for study in list_studies(context.runs))
    try:
        return times.words(race_plan(shelf, data, norms, budget), language, may_measure=quiet)
    except FruitVisionError:
        return ""


def results_of(context: Context, study_id: str | None) -> Results:
    """The figures of a study made here, or of the one that the program brings. Raises RunError "study-missing"."""
    brought = brought_results() if study_id == BROUGHT else None
    return brought or results(find_study(context, study_id))


def csv_file(found: Results, name: str | None) -> Path:
    """A study's table as a file that is made for one download."""
    path = to_download(name or "", "csv", otherwise="study")
    write_text(path, frame_csv(found.table))
    return path


def resume_study(study: StudyFolder) -> None:
    """Start the process that trains what is not finished yet. Raises RunError."""
    launcher.refuse_if_busy(study.path.parent)
    study.stop_file.unlink(missing_ok=True)  # what was asked of the process before; from here on it is meant for the new one
    study.write_status(study.status().model_copy(update={"state": "waiting", "pid": 0, "heartbeat": time.time(), "error": None}))
    launcher.spawn_command(["compare", "--out", str(study.path)], study.path / "output.txt")


def find_study(context: Context, study_id: str | None) -> StudyFolder:
    """The study of that id. Raises RunError "study-missing"."""
    for study in list_studies(context.runs):
        if study.id == study_id:
            return study
    raise RunError("study-missing", "That study is not there any more.", "Start a new one.", path=str(study_id))


def race_view(context: Context, study_id: str | None, seen: str, language: str, *, owner: bool) -> list[Any]:
    """What the race's side shows, where it differs from what is shown already."""
    study = next((one for one in shown_studies(context.runs, owner=owner) if one.id == study_id), None)
    brought = study is None and study_id == BROUGHT
    status = study.status() if study else None
    now = repr((study_id, language, owner, (status.state, status.responding, status.epoch, status.step, status.eta_s) if status else ()))
    if now == seen:
        return [gr.skip()] * 9
    state = status.state if status else ""
    found = results(study) if study else brought_results() if brought else None
    return [
        race_status(study, language, brought=brought),
        race_words(found, language),
        race_charts(found, language),
        race_table(found, language),
        gr.update(visible=bool(owner and status and status.active and status.responding)),
        gr.update(visible=bool(owner and status and not status.responding)),
        gr.update(visible=bool(owner and state in ("stopped", "interrupted", "failed"))),
        gr.update(visible=owner and (state == "finished" or brought)),
        now,
    ]
