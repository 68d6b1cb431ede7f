"""Train: choose pictures and a recipe, start, and watch. A run is a process of its own; the panel reads its folder."""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.data.listing import list_pictures
from fruitvision.errors import FruitVisionError, RunError
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunConfig, RunFolder, list_runs
from fruitvision.training.config import TrainConfig
from fruitvision.ui.context import Context, Page
from fruitvision.ui.run_view import main_charts, more_charts, run_table, status_line
from fruitvision.ui.text import say, say_error
from fruitvision.ui.train_data import SAMPLE, TYPED, DataShelf, augmentation_grid, download_card, look_card
from fruitvision.ui.train_settings import (
    DEFAULT_PRESET, FIELDS, Estimates, build_fields, configuration, preset_choices, preset_values,
)  # fmt: skip

TICK_SECONDS = 1.0
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
SHOWN: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# A button in the table of runs says what to do with which run.
TABLE_CLICKS = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-action]');
  if (button) trigger('click', { action: button.dataset.action, run: button.dataset.run });
});"""


@dataclass
class TrainPanel:
    """The panel's components, and what its handlers share."""

    page: Page
    data: DataShelf
    estimates: Estimates = field(default_factory=Estimates)
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
    panel = TrainPanel(page, DataShelf(page.context.data))
    with gr.Row(elem_classes="fv-train"):
        with gr.Column(scale=5, min_width=320):
            _build_choices(panel)
        with gr.Column(scale=6, min_width=320):
            _build_view(panel)
    _build_runs(panel)
    _wire_choices(panel)
    _wire_run(panel)
    _wire_runs(panel)


def _build_choices(panel: TrainPanel) -> None:
    page, parts = panel.page, panel.parts
    parts["visitor"] = page.bind(gr.Markdown(visible=False, elem_id="train-visitor"), value="train.owner_only")
    _heading(page, "train.step_data")
    parts["data"] = page.bind(
        gr.Dropdown(panel.data.choices(page.context.language), value=SAMPLE, filterable=False, elem_id="train-data"),
        label="train.data", choices=panel.data.choices,
    )
    with gr.Row(visible=False) as parts["folder_row"]:
        parts["folder"] = page.bind(gr.Textbox(elem_id="train-folder", max_lines=1), label="train.folder", info="train.folder_info")
        parts["look"] = page.bind(gr.Button(elem_id="train-look", scale=0, min_width=140), value="train.look")
    parts["found"] = gr.HTML(elem_id="train-found")
    with page.bind(gr.Accordion(open=True), label="train.grid"):
        parts["grid"] = gr.HTML(elem_id="train-grid")
        parts["again"] = page.bind(gr.Button(size="sm", elem_id="train-again"), value="train.grid_again")
    parts["download"] = page.bind(gr.Button(size="sm", elem_id="train-download-data"), value="train.download")
    parts["downloading"] = gr.HTML()
    _heading(page, "train.step_preset")
    parts["preset"] = page.bind(
        gr.Radio(
            preset_choices(panel.estimates, None, 0, page.context.language), value=DEFAULT_PRESET, elem_id="train-preset",
            elem_classes="fv-cards",
        ),
        label="train.preset",
    )
    with page.bind(gr.Accordion(open=False, elem_id="train-settings"), label="train.settings"):
        panel.fields = build_fields(page)
    _heading(page, "train.step_start")
    parts["name"] = page.bind(
        gr.Textbox(elem_id="train-name", max_lines=1, max_length=100), label="train.name", placeholder="train.name_hint"
    )
    parts["start"] = page.bind(gr.Button(variant="primary", size="lg", elem_id="train-start"), value="train.start")
    parts["notice"] = gr.HTML(elem_id="train-notice")


def _build_view(panel: TrainPanel) -> None:
    page, parts, language = panel.page, panel.parts, panel.context.language
    parts["status"] = gr.HTML(status_line(None, language), elem_id="train-status")
    with gr.Row():
        parts["stop"] = page.bind(gr.Button(visible=False, elem_id="train-stop", min_width=110), value="train.stop")
        parts["resume"] = page.bind(gr.Button(visible=False, elem_id="train-resume", min_width=110), value="train.resume")
        parts["use"] = page.bind(
            gr.Button(visible=False, variant="primary", elem_id="train-use", min_width=150), value="train.use"
        )
        parts["checkpoint"] = page.bind(
            gr.DownloadButton(visible=False, elem_id="train-checkpoint", min_width=150), label="train.checkpoint"
        )
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
    parts["table"] = gr.HTML(elem_id="train-runs", js_on_load=TABLE_CLICKS)
    with gr.Row(visible=False, elem_id="train-rename-row") as parts["rename_row"]:
        parts["new_name"] = page.bind(gr.Textbox(elem_id="train-new-name", max_lines=1, max_length=100), label="train.new_name")
        parts["save_name"] = page.bind(gr.Button(elem_id="train-save-name", scale=0, min_width=110), value="train.save")
    with gr.Row(visible=False, elem_id="train-delete-row") as parts["delete_row"]:
        parts["delete_ask"] = gr.Markdown()
        parts["delete_yes"] = page.bind(
            gr.Button(variant="stop", elem_id="train-delete-yes", scale=0, min_width=110), value="train.delete_yes"
        )
        parts["delete_no"] = page.bind(gr.Button(elem_id="train-delete-no", scale=0, min_width=110), value="train.cancel")
    parts["run"] = gr.State(None)  # the run in view, by id
    parts["overlaid"] = gr.State([])
    parts["acting"] = gr.State(None)  # the run that the rename or delete row is about
    parts["data_seen"], parts["run_seen"] = gr.State(""), gr.State("")
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

    def look(choice: str, folder: str, request: gr.Request) -> None:
        if choice == TYPED:
            panel.context.access.require_owner(request)
        panel.data.look(choice, folder, again=True)

    gr.on([p["look"].click, p["folder"].submit, p["data"].input], look, [p["data"], p["folder"]], None, **SHOWN)

    def download(language: str, request: gr.Request) -> str:
        try:
            panel.context.access.require_owner(request)
        except FruitVisionError as error:
            return notice(error, language)
        return download_card(panel.data.download(), language)

    p["download"].click(download, page.language, p["downloading"], **SHOWN)

    watched = [p["data"], p["folder"], p["preset"], p["seed"], p["data_seen"], page.language, *fields]
    shown = [p["found"], p["grid"], p["preset"], p["downloading"], p["data"], p["data_seen"]]
    gr.on([page.demo.load, p["timer"].tick, p["seed"].change], lambda *given: data_view(panel, *given), watched, shown, **QUIET)


def data_view(
    panel: TrainPanel, choice: str, folder: str, preset: str, seed: int, seen: str, language: str, *values: Any
) -> list[Any]:
    """What the panel shows of the chosen pictures, where it differs from what is shown already."""
    look = panel.data.downloading() if choice == TYPED and not folder.strip() else panel.data.look(choice, folder)
    known = look is not None and look.dataset is not None
    if known and not panel.estimates.done and launcher.running(panel.context.runs) is None:
        panel.estimates.begin()
    download = panel.data.downloading()
    try:
        config = configuration(preset, values)
    except FruitVisionError:
        config = TrainConfig.from_preset(preset)
    recipe = (config.augmentation, config.crop_scale_min, config.flip, config.rotation)
    choices = panel.data.choices(language)
    found = "" if choice == TYPED and not folder.strip() else look_card(look, language)
    loading = download_card(download, language)
    now = repr((choice, folder, language, seed, known, recipe, found, loading, panel.estimates.done, choices))
    if now == seen:
        return [gr.skip()] * 6
    grid = augmentation_grid(look, config, seed, language) if known else ""
    counts = (len(look.dataset.splits["train"]), _rest(look)) if known else (None, 0)
    cards = preset_choices(panel.estimates, *counts, language)
    return [found, grid, gr.update(choices=cards), loading, gr.update(choices=choices), now]


def _rest(look: Any) -> int:
    return sum(len(split) for name, split in look.dataset.splits.items() if name != "train")


def notice(error: FruitVisionError, language: str) -> str:
    """An error as a sentence under the button that led to it."""
    return f'<div class="fv-data fv-wrong" role="alert"><p>{escape(say_error(error, language))}</p></div>'


# Running ---------------------------------------------------------------------------------------------------------


def _wire_run(panel: TrainPanel) -> None:
    page, p, context = panel.page, panel.parts, panel.context

    def start(
        choice: str, folder: str, preset: str, name: str, language: str, run: str | None, request: gr.Request, *values: Any
    ) -> tuple[Any, ...]:
        try:
            context.access.require_owner(request)
            return start_run(panel, choice, folder, preset, name, values).id, "", ""
        except FruitVisionError as error:
            return run, notice(error, language), gr.skip()

    def changing(action: Any) -> Any:
        def change(run: str | None, language: str, request: gr.Request) -> tuple[str, str]:
            try:
                context.access.require_owner(request)
                action(find_run(context, run))
            except FruitVisionError as error:
                return notice(error, language), ""
            return "", ""

        return change

    fields = [panel.fields[name] for name in FIELDS]
    asked = [p["data"], p["folder"], p["preset"], p["name"], page.language, p["run"], *fields]
    p["start"].click(start, asked, [p["run"], p["notice"], p["run_seen"]], **SHOWN)
    here = [p["run"], page.language]
    for name, action in (("stop", launcher.stop), ("resume", launcher.resume)):
        p[name].click(changing(action), here, [p["notice"], p["run_seen"]], **SHOWN)
    p["use"].click(lambda run, language: use_run(context, run, language), here, [page.model, page.tabs], **SHOWN)

    def first_run() -> str | None:
        going = launcher.running(context.runs)
        newest = next(iter(list_runs(context.runs)), None)
        return (going or newest).id if going or newest else None

    page.demo.load(first_run, None, p["run"], **QUIET)
    def greet(request: gr.Request) -> list[Any]:
        return visitor_view(context, request)

    def watch(run: str | None, overlaid: list[str], seen: str, language: str, request: gr.Request) -> list[Any]:
        return run_view(context, run, overlaid, seen, language, request)

    page.demo.load(greet, None, [p["visitor"], p["start"], p["stop"], p["resume"], p["download"]], **QUIET)
    shown = [
        p["status"], p["charts"], p["more"], p["log"], p["stop"], p["resume"], p["use"], p["checkpoint"], p["table"],
        page.model, p["run_seen"],
    ]  # fmt: skip
    gr.on(
        [page.demo.load, p["timer"].tick, p["run"].change, p["overlaid"].change],
        watch, [p["run"], p["overlaid"], p["run_seen"], page.language], shown, **QUIET,
    )


def start_run(panel: TrainPanel, choice: str, folder: str, preset: str, name: str, values: Any) -> RunFolder:
    """Check what was asked for and start its process. Raises FruitVisionError, before anything is made."""
    runs = panel.context.runs
    launcher.refuse_if_busy(runs)
    config = configuration(preset, values)
    look = panel.data.look(choice, folder)
    if look.error:
        look = panel.data.look(choice, folder, again=True)
    path = look.path or panel.data.path(choice, folder)
    if choice != SAMPLE:
        list_pictures(path)  # what is wrong with it is said before there is a run
    called = " ".join((name or "").split()) or f"{'sample' if choice == SAMPLE else path.name}-{preset}"
    return launcher.start(runs, RunConfig(name=called, data=str(path.absolute()), training=config))


def find_run(context: Context, run_id: str | None) -> RunFolder:
    """The run of that id. Raises RunError "run-gone"."""
    for run in list_runs(context.runs):
        if run.id == run_id:
            return run
    raise RunError("run-gone", "That run is not there any more.", "Choose another one.")


def use_run(context: Context, run_id: str | None, language: str) -> tuple[Any, Any]:
    """Let Classify answer with this run's network, and go there."""
    return gr.update(choices=context.models.choices(language), value=f"run:{run_id}"), gr.update(selected="classify")


def visitor_view(context: Context, request: gr.Request) -> list[Any]:
    """A visitor reads that he is one, and finds the changing buttons at rest."""
    owner = context.access.is_owner(request)
    return [gr.update(visible=not owner), *[gr.update(interactive=owner)] * 4]


def run_view(
    context: Context, run_id: str | None, overlaid: list[str], seen: str, language: str, request: gr.Request
) -> list[Any]:
    """The right side and the table, where they differ from what is shown already."""
    runs = list_runs(context.runs)
    run = next((one for one in runs if one.id == run_id), None)
    owner = context.access.is_owner(request)
    status = run.status() if run else None
    state = status.state if status else ""
    facts = [(one.id, one.name, s.state, s.best_val_accuracy) for one in runs for s in [one.status()]]
    position = (status.epoch, status.step, status.eta_s, status.heartbeat, status.error) if status else ()
    now = repr((run_id, overlaid, language, owner, facts, position if state not in ("finished",) else ()))
    if now == seen:
        return [gr.skip()] * 11
    others = [one for one in runs if one.id in overlaid and one.id != run_id]
    drawn = [*([run] if run else []), *others]
    done = state == "finished"
    checkpoint = gr.update(visible=False, value=None)
    if done and owner and run.has_checkpoint:
        checkpoint = gr.update(visible=True, value=str(packed(run)))
    return [
        status_line(run, language), main_charts(drawn, language), more_charts(drawn, language), run.log_tail() if run else "",
        gr.update(visible=bool(status and status.active)), gr.update(visible=state in ("stopped", "interrupted", "failed")),
        gr.update(visible=done and run.has_checkpoint), checkpoint,
        run_table(runs, [one.id for one in others], language, owner=owner),
        gr.update(choices=context.models.choices(language)), now,
    ]  # fmt: skip


def packed(run: RunFolder) -> Path:
    """The run's best checkpoint as one ZIP file, made once."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()) / "fruitvision-checkpoints"
    changed = (run.best / "config.json").stat().st_mtime_ns
    path = folder / f"{run.id}-{changed}.zip"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.part")
        with zipfile.ZipFile(beside, "w") as archive:
            for file in sorted(run.best.iterdir()):
                archive.write(file, f"{run.id}/{file.name}")
        beside.replace(path)
    return path


# The table of runs -----------------------------------------------------------------------------------------------


def _wire_runs(panel: TrainPanel) -> None:
    page, p, context = panel.page, panel.parts, panel.context

    def act(run: str | None, overlaid: list[str], language: str, event: gr.EventData) -> list[Any]:
        return table_action(context, str(event.action), str(event.run), run, overlaid, language)

    shown = [
        p["run"], p["overlaid"], p["acting"], p["rename_row"], p["new_name"], p["delete_row"], p["delete_ask"], page.model,
        page.tabs,
    ]  # fmt: skip
    p["table"].click(act, [p["run"], p["overlaid"], page.language], shown, **SHOWN)

    def rename(run: str | None, name: str, language: str, request: gr.Request) -> tuple[Any, str]:
        try:
            context.access.require_owner(request)
            find_run(context, run).rename(name)
        except FruitVisionError as error:
            return gr.skip(), notice(error, language)
        return gr.update(visible=False), ""

    gr.on(
        [p["save_name"].click, p["new_name"].submit], rename, [p["acting"], p["new_name"], page.language],
        [p["rename_row"], p["notice"]], **SHOWN,
    )

    def delete(run: str | None, language: str, request: gr.Request) -> tuple[Any, str]:
        try:
            context.access.require_owner(request)
            find_run(context, run).delete()
        except FruitVisionError as error:
            return gr.update(visible=False), notice(error, language)
        return gr.update(visible=False), ""

    p["delete_yes"].click(delete, [p["acting"], page.language], [p["delete_row"], p["notice"]], **SHOWN)
    p["delete_no"].click(lambda: gr.update(visible=False), None, p["delete_row"], **SHOWN)


def table_action(
    context: Context, action: str, target: str, run: str | None, overlaid: list[str], language: str
) -> list[Any]:
    """What a button of the table does: to the run in view, the overlaid runs, the rename and delete rows, the header."""
    keep: list[Any] = [gr.skip()] * 9
    names = {one.id: one.name for one in list_runs(context.runs)}
    if target not in names:
        return keep
    if action == "open":
        keep[0] = target
    elif action in ("overlay", "hide"):
        keep[1] = [one for one in overlaid if one != target] + ([target] if action == "overlay" else [])
    elif action == "classify":
        keep[7:] = use_run(context, target, language)
    elif action == "rename":
        keep[2:6] = target, gr.update(visible=True), names[target], gr.update(visible=False)
    elif action == "delete":
        asked = say("train.delete_ask", language, name=names[target])
        keep[2:7] = target, gr.update(visible=False), "", gr.update(visible=True), asked
    return keep
