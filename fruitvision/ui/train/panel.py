"""Train: choose pictures and a recipe, start, and watch. A run is a process of its own; the panel reads its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import AccessError, ConfigError, DataError, FruitVisionError
from fruitvision.recognition.taught.transfer import class_folders
from fruitvision.runs import launcher
from fruitvision.runs.config import MAX_PROCESSES, RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.prepare.sources import find_sources
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.data_shelf import SAMPLE, TYPED, DataShelf, Look
from fruitvision.ui.page.events import QUIET, SHOWN, notice
from fruitvision.ui.train.data import augmentation_grid, download_card, look_card
from fruitvision.ui.train.rate import RateSearch, build_rate, wire_rate
from fruitvision.ui.train.run_view import main_charts, status_line
from fruitvision.ui.train.runs import build_table, changed, wire_table, wire_view
from fruitvision.ui.train.settings import (
    DEFAULT_PRESET,
    FIELDS,
    Estimates,
    build_fields,
    configuration,
    fitting_words,
    preset_choices,
    preset_values,
)
from fruitvision.wording.text import say

TICK_SECONDS = 1.0
TAUGHT_PRESET = "robust"


@dataclass
class TrainPanel:
    """The panel's components, and what its handlers share."""

    page: Page
    data: DataShelf
    estimates: Estimates = field(default_factory=Estimates)
    rate: RateSearch = field(default_factory=RateSearch)
    parts: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> Context:
        """The app."""
        return self.page.context

    def __getitem__(self, name: str) -> Any:
        return self.parts[name]


def build(page: Page) -> None:
    """The panel, inside its tab."""
    panel = TrainPanel(page, page.context.pictures)
    with gr.Row(elem_classes="fv-train"):
        with gr.Column(scale=5, min_width=320):
            _build_choices(panel)
        with gr.Column(scale=6, min_width=320):
            _build_view(panel)
    _build_runs(panel)
    _wire_choices(panel)
    _wire_start(panel)
    wire_rate(page, panel.parts, panel.rate, {name: panel.fields[name] for name in FIELDS}, lambda *given: chosen(panel, *given))
    wire_view(page, panel.parts)
    wire_table(page, panel.parts)


def _build_choices(panel: TrainPanel) -> None:
    page, parts = panel.page, panel.parts
    parts["visitor"] = page.bind(gr.Markdown(visible=False, elem_id="train-visitor"), value="train.owner_only")
    _heading(page, "train.step_data")
    parts["data"] = page.bind(
        gr.Dropdown(panel.data.choices(page.context.language), value=SAMPLE, filterable=False, elem_id="train-data"),
        label="train.data",
        choices=panel.data.choices,
    )
    with gr.Row(visible=False) as parts["folder_row"]:
        parts["folder"] = page.bind(gr.Textbox("", elem_id="train-folder", max_lines=1), label="train.folder", info="train.folder_info")
        parts["look"] = page.bind(gr.Button(elem_id="train-look", scale=0, min_width=140), value="train.look")
    parts["found"] = gr.HTML(elem_id="train-found")
    with page.bind(gr.Accordion(open=False, elem_id="train-beside"), label="train.beside"):
        parts["photos"] = page.bind(gr.Textbox("", elem_id="train-photos", max_lines=1), label="train.photos", info="train.photos_info")
        parts["not_fruit"] = page.bind(
            gr.Textbox("", elem_id="train-not-fruit", max_lines=1), label="train.not_fruit", info="train.not_fruit_info"
        )
    with page.bind(gr.Accordion(open=True), label="train.grid"):
        parts["grid"] = gr.HTML(elem_id="train-grid")
        parts["again"] = page.bind(gr.Button(size="sm", elem_id="train-again"), value="train.grid_again")
    parts["download"] = page.bind(gr.Button(size="sm", elem_id="train-download-data"), value="train.download")
    parts["downloading"] = gr.HTML()
    _heading(page, "train.step_preset")
    parts["preset"] = page.bind(
        gr.Radio(
            preset_choices(panel.estimates, None, 0, page.context.language),
            value=DEFAULT_PRESET,
            elem_id="train-preset",
            elem_classes="fv-cards",
        ),
        label="train.preset",
    )
    parts["minutes"] = page.bind(
        gr.Number(None, elem_id="train-minutes", min_width=160), label="train.time_have", info="train.time_have_info"
    )
    parts["fitting"] = gr.HTML(elem_id="train-fitting")
    with page.bind(gr.Accordion(open=False, elem_id="train-settings"), label="train.settings"):
        panel.fields = build_fields(page)
        parts["processes"] = page.bind(
            gr.Number(1, precision=0, step=1, elem_id="train-processes"),
            label="train.processes",
            info="train.processes_info",
        )
    build_rate(page, parts)
    _heading(page, "train.step_start")
    parts["name"] = page.bind(
        gr.Textbox(elem_id="train-name", max_lines=1, max_length=100), label="train.name", placeholder="train.name_hint"
    )
    parts["start"] = page.bind(gr.Button(variant="primary", size="lg", elem_id="train-start"), value="train.start")
    parts["start_taught"] = page.bind(gr.Button(size="sm", elem_id="train-taught"), value="train.start_taught")
    parts["notice"] = gr.HTML(elem_id="train-notice")


def _build_view(panel: TrainPanel) -> None:
    page, parts, language = panel.page, panel.parts, panel.context.language
    parts["status"] = gr.HTML(status_line(None, language), elem_id="train-status")
    with gr.Row():
        parts["stop"] = page.bind(gr.Button(visible=False, elem_id="train-stop", min_width=110), value="train.stop")
        parts["end"] = page.bind(gr.Button(visible=False, variant="stop", elem_id="train-end", min_width=110), value="train.end")
        parts["resume"] = page.bind(gr.Button(visible=False, elem_id="train-resume", min_width=110), value="train.resume")
        parts["use"] = page.bind(gr.Button(visible=False, variant="primary", elem_id="train-use", min_width=150), value="train.use")
        parts["checkpoint"] = page.bind(gr.Button(visible=False, elem_id="train-checkpoint", min_width=150), value="train.checkpoint")
        parts["report"] = page.bind(gr.Button(visible=False, elem_id="train-report", min_width=150), value="train.report_none")
        parts["csv"] = page.bind(gr.Button(visible=False, elem_id="train-csv", min_width=150), value="train.csv")
        parts["packed"] = gr.DownloadButton(visible="hidden")
    parts["charts"] = gr.HTML(main_charts([], language), elem_id="train-charts")
    with page.bind(gr.Accordion(open=False, elem_id="train-more"), label="train.more"):
        parts["more"] = gr.HTML()
    with page.bind(gr.Accordion(open=False, elem_id="train-log-fold"), label="train.log"):
        parts["log"] = gr.Textbox(
            lines=10, max_lines=10, show_label=False, interactive=False, autoscroll=True, elem_id="train-log", container=False
        )


def _build_runs(panel: TrainPanel) -> None:
    page, parts = panel.page, panel.parts
    _heading(page, "train.runs")
    build_table(page, parts)
    parts["run"] = gr.State(None)  # the run in view, by id
    parts["data_seen"], parts["run_seen"] = gr.State(None), gr.State(None)
    parts["looked"] = gr.State("")  # the folder that the owner asked to be looked through
    parts["seed"] = gr.State(0)
    parts["timer"] = gr.Timer(TICK_SECONDS)


def _heading(page: Page, key: str) -> None:
    page.bind(gr.HTML(), value=lambda language: f'<h2 class="fv-step">{say(key, language)}</h2>')


# Choosing --------------------------------------------------------------------------------------------------------


def _wire_choices(panel: TrainPanel) -> None:
    page, p = panel.page, panel.parts
    fields = [panel.fields[name] for name in FIELDS]
    p["data"].change(lambda choice: gr.update(visible=choice == TYPED), p["data"], p["folder_row"], **QUIET)
    p["again"].click(lambda seed: seed + 1, p["seed"], p["seed"], **QUIET)
    p["preset"].input(preset_values, p["preset"], fields, **QUIET)

    def look(choice: str, folder: str, language: str, request: gr.Request) -> tuple[str, str]:
        try:
            panel.context.access.require_owner(request)
        except FruitVisionError as error:
            return "", notice(error, language)
        named = folder or ""
        if choice != TYPED or named.strip():
            panel.data.look(choice, named, again=True)
        return named if choice == TYPED else "", ""

    asked = [p["data"], p["folder"], page.language]
    gr.on([p["look"].click, p["folder"].submit, p["data"].input], look, asked, [p["looked"], p["notice"]], **SHOWN)

    def download(language: str, request: gr.Request) -> str:
        try:
            panel.context.access.require_owner(request)
        except FruitVisionError as error:
            return notice(error, language)
        return download_card(panel.data.download(), language)

    p["download"].click(download, page.language, p["downloading"], **SHOWN)

    def view(choice: str, looked: str, request: gr.Request, *given: Any) -> list[Any]:
        owner = panel.context.access.is_owner(request)
        return data_view(panel, choice, looked, *given, owner=owner)

    watched = [p["data"], p["looked"], p["preset"], p["seed"], p["data_seen"], page.language, p["minutes"], *fields]
    shown = [p["found"], p["grid"], p["preset"], p["downloading"], p["data"], p["fitting"], p["data_seen"]]
    gr.on([page.demo.load, p["timer"].tick, p["seed"].change], view, watched, shown, **QUIET)


def data_view(
    panel: TrainPanel,
    choice: str,
    looked: str,
    preset: str,
    seed: int,
    seen: Any,
    language: str,
    minutes: float | None,
    *values: Any,
    owner: bool,
) -> list[Any]:
    """What the panel shows of the chosen pictures, where it differs from what is shown already.

    A folder by its path is the owner's to name, and is looked through when asked, not while it is being typed. A visitor
    sees what the owner has looked at, and sets nothing going.
    """
    found, look = _found(panel.data, choice, looked, language, owner)
    known = look is not None and look.dataset is not None
    idle = not panel.estimates.done and not panel.rate.busy and launcher.running(panel.context.runs) is None
    if owner and known and idle:
        panel.estimates.begin()
    try:
        config = configuration(preset, values)
    except FruitVisionError:
        config = TrainConfig.from_preset(preset)
    recipe = (config.augmentation, config.crop_scale_min, config.flip, config.rotation)
    choices = panel.data.choices(language)
    loading = download_card(panel.data.downloading(), language)
    counts = (len(look.dataset.splits["train"]), _rest(look)) if known else (None, 0)
    cards = preset_choices(panel.estimates, *counts, language)
    fitting = fitting_words(panel.estimates, minutes, *counts, language)
    fitting = f'<p class="fv-note" role="status">{fitting}</p>' if fitting else ""
    now = repr((choice, looked, language, seed, known, recipe, found, loading, cards, choices, fitting))
    if seen and now == seen[0]:
        return [gr.skip()] * 7
    grid = augmentation_grid(look, config, seed, language) if known else ""
    return changed([found, grid, gr.update(choices=cards), loading, gr.update(choices=choices), fitting], seen, now)


def _found(data: DataShelf, choice: str, looked: str, language: str, owner: bool) -> tuple[str, Look | None]:
    """The card of the chosen pictures, and what is known of them."""
    if choice == TYPED and not owner:
        return notice(AccessError("owner-only", "Only the owner of this app may do that.", ""), language), None
    if choice == TYPED and not looked.strip():
        return "", None
    look = data.look(choice, looked) if owner else data.known(choice)
    if look is None:
        return "", None
    return look_card(look, language), look


def _rest(look: Any) -> int:
    return sum(len(split) for name, split in look.dataset.splits.items() if name != "train")


# Running ---------------------------------------------------------------------------------------------------------


def _wire_start(panel: TrainPanel) -> None:
    page, p, context = panel.page, panel.parts, panel.context

    def start(
        choice: str,
        folder: str,
        photos: str,
        not_fruit: str,
        preset: str,
        name: str,
        processes: float | None,
        language: str,
        request: gr.Request,
        *values: Any,
    ) -> tuple[Any, str]:
        try:
            context.access.require_owner(request)
            beside = photos or "", not_fruit or ""
            return start_run(panel, choice, folder or "", preset, name, values, beside, processes=processes).id, ""
        except FruitVisionError as error:
            return gr.skip(), notice(error, language)

    asked = [p["data"], p["folder"], p["photos"], p["not_fruit"], p["preset"], p["name"], p["processes"], page.language]
    asked += (panel.fields[name] for name in FIELDS)
    p["start"].click(start, asked, [p["run"], p["notice"]], **SHOWN)

    def start_taught(
        choice: str, folder: str, photos: str, not_fruit: str, name: str, language: str, request: gr.Request
    ) -> tuple[Any, str]:
        try:
            context.access.require_owner(request)
            return start_with_taught(panel, choice, folder or "", name, (photos or "", not_fruit or "")).id, ""
        except FruitVisionError as error:
            return gr.skip(), notice(error, language)

    asked = [p["data"], p["folder"], p["photos"], p["not_fruit"], p["name"], page.language]
    p["start_taught"].click(start_taught, asked, [p["run"], p["notice"]], **SHOWN)

    def greet(request: gr.Request) -> list[Any]:
        return visitor_view(context, request)

    changing = [p[name] for name in ("start", "stop", "end", "resume", "download", "look", "start_taught")]
    page.demo.load(greet, None, [p["visitor"], *changing], **QUIET)


def start_run(
    panel: TrainPanel,
    choice: str,
    folder: str,
    preset: str,
    name: str,
    values: Any,
    beside: tuple[str, str] = ("", ""),
    more_photos: tuple[str, ...] = (),
    processes: float | None = 1,
) -> RunFolder:
    """Check what was asked for and start its process, or processes. Raises FruitVisionError, before anything is made.

    ``beside``: a folder of photos, and one of pictures without fruit, as they were typed; empty for none.
    ``more_photos``: folders of photos that were not typed.
    """
    runs = panel.context.runs
    launcher.refuse_if_busy(runs)
    if processes is None or not 1 <= processes <= MAX_PROCESSES or processes != int(processes):
        raise ConfigError(
            "bad-processes",
            f"{processes} is no number of processes.",
            f"Give a whole number from 1 to {MAX_PROCESSES}.",
            given=processes if processes is not None else "–",
            most=MAX_PROCESSES,
        )
    path, config = chosen(panel, choice, folder, preset, values)
    called = " ".join((name or "").split()) or f"{'sample' if choice == SAMPLE else path.name}-{preset}"
    photos, not_fruit = (_typed(one) for one in beside)
    photos += more_photos
    asked = RunConfig(name=called, data=str(path.absolute()), training=config, photos=photos, not_fruit=not_fruit, processes=int(processes))
    find_sources(asked)
    return launcher.start(runs, asked)


def chosen(panel: TrainPanel, choice: str, folder: str, preset: str, values: Any) -> tuple[Path, TrainConfig]:
    """The pictures and the configuration that the panel is set to. Raises FruitVisionError for what cannot be used."""
    config = configuration(preset, values)
    look = panel.data.look(choice, folder)
    if look.error:
        look = panel.data.look(choice, folder, again=True)
    path = look.path or panel.data.path(choice, folder)
    if choice != SAMPLE:
        list_pictures(path)  # what is wrong with it is said before anything is made
    return path, config


def start_with_taught(panel: TrainPanel, choice: str, folder: str, name: str, beside: tuple[str, str] = ("", "")) -> RunFolder:
    """Start the preset robust on the chosen data, with what was taught in Classify as photos beside it."""
    launcher.refuse_if_busy(panel.context.runs)
    store = panel.context.lessons.store
    if not store.index().pictures:
        raise DataError("nothing-taught", "Nothing was taught yet.", "Teach some kinds in Classify first.")
    photos = (str(class_folders(store, panel.context.runs)),)
    return start_run(panel, choice, folder, TAUGHT_PRESET, name, preset_values(TAUGHT_PRESET), beside, photos)


def _typed(folder: str) -> tuple[str, ...]:
    """A path as a person typed or pasted it, perhaps in quotation marks."""
    folder = folder.strip().strip('"')
    return (str(Path(folder).expanduser().absolute()),) if folder else ()


def visitor_view(context: Context, request: gr.Request) -> list[Any]:
    """A visitor reads that he is one, and finds the changing buttons at rest."""
    owner = context.access.is_owner(request)
    return [gr.update(visible=not owner), *[gr.update(interactive=owner)] * 7]
