"""The left side of Train: the pictures, the preset, the settings, and Start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from fruitvision.errors import AccessError, FruitVisionError
from fruitvision.runs import launcher
from fruitvision.training import DEFAULT_PRESET
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.components import ListedDropdown
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.datasets import SAMPLE, TYPED, Scan
from fruitvision.ui.page.elements import note, notice
from fruitvision.ui.page.events import (
    QUEUED,
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
from fruitvision.ui.train.lr_finder import LrFinder, LrFinderPanel
from fruitvision.ui.train.pictures.collect import build_collect
from fruitvision.ui.train.pictures.drop import build_drop
from fruitvision.ui.train.pictures.view import augmentation_grid, download_card, scan_card
from fruitvision.ui.train.settings import FIELDS, build_fields, configuration, heading, preset_values, start_choices
from fruitvision.ui.train.start import Form, start_run, start_with_taught
from fruitvision.ui.train.times import Estimates, fitting_words, preset_choices
from fruitvision.wording.text import say

SOURCES = ("collect", "drop", "choose", "download")
"""The ids of the ways to provide pictures."""
UPDATED = ("found", "grid", "preset", "downloading", "data", "fitting", "weights", "start", "start_taught")
"""The names of the components that :func:`data_updates` updates."""


def source_choices(language: str) -> list[tuple[str, str]]:
    """(name, id) of each."""
    return [(say(f"train.way_{source}", language), source) for source in SOURCES]


@dataclass
class Training:
    """State that the panel's handlers share, one for all visitors of an app."""

    context: Context
    estimates: Estimates = field(default_factory=Estimates)
    lr_finder: LrFinder = field(default_factory=LrFinder)

    @property
    def idle(self) -> bool:
        """Whether nothing is training, so that times can be measured: otherwise they would be wrong, and slow the training down."""
        return not self.lr_finder.busy and launcher.running(self.context.runs) is None


class SetupPanel:
    """The components, in page order."""

    def __init__(self, page: Page, training: Training) -> None:
        context, language = page.context, page.context.language
        self.visitor = page.bind(gr.Markdown(visible=False, elem_id="train-visitor"), value="train.owner_only")
        heading(page, "train.step_data")
        self.source = page.bind(
            gr.Radio(source_choices(language), value="choose", interactive=True, show_label=False, container=False, elem_id="train-way"),
            label="train.way",
            choices=source_choices,
        )
        # pictures.css shows the selected one; the others stay mounted, so that a recording or an upload continues.
        sources = {name: gr.Column(elem_id=f"train-way-{name}") for name in SOURCES}
        with sources["collect"]:
            self.collect = build_collect(page)
        with sources["drop"]:
            self.drop = build_drop(page)
        with sources["choose"]:
            self.data = page.bind(
                ListedDropdown(context.datasets.choices(language), value=SAMPLE, filterable=False, elem_id="train-data"), label="train.data"
            )
            page.bind_initial(self.data, choices=context.datasets.choices)  # data_updates adds the owner's folders
            with gr.Row(visible=False) as self.folder_row:
                folder = gr.Textbox("", elem_id="train-folder", max_lines=1)
                self.folder = page.bind(folder, label="train.folder", info="train.folder_info")
                self.scan = page.bind(gr.Button(elem_id="train-look", scale=0, min_width=140), value="train.scan")
        with sources["download"]:
            page.bind(gr.HTML(), value=lambda language: note(say("train.download_info", language)))
            self.download = page.bind(gr.Button(elem_id="train-download-data"), value="train.download")
            self.downloading = gr.HTML()
        self.found = gr.HTML(elem_id="train-found")
        with page.bind(gr.Accordion(open=True), label="train.grid"):
            self.grid = gr.HTML(elem_id="train-grid")
            self.again = page.bind(gr.Button(size="sm", elem_id="train-again"), value="train.grid_again")
        with page.bind(gr.Accordion(open=False, elem_id="train-beside"), label="train.beside"):
            photos, not_fruit = (gr.Textbox("", elem_id=f"train-{name}", max_lines=1) for name in ("photos", "not-fruit"))
            self.photos = page.bind(photos, label="train.photos", info="train.photos_info")
            self.not_fruit = page.bind(not_fruit, label="train.not_fruit", info="train.not_fruit_info")
        heading(page, "train.step_preset")
        cards = preset_choices(training.estimates, None, language)
        self.preset = page.bind(
            gr.Radio(cards, value=DEFAULT_PRESET, elem_id="train-preset", elem_classes="fv-cards"), label="train.preset"
        )
        # A text field, since an empty gr.Number shows 0.
        minutes = gr.Textbox("", max_lines=1, max_length=12, elem_id="train-minutes")
        self.minutes = page.bind(minutes, label="train.time_have", info="train.time_have_info", placeholder="train.name_hint")
        self.fitting = gr.HTML(elem_id="train-fitting")
        with page.bind(gr.Accordion(open=False, elem_id="train-settings"), label="train.settings"):
            self.fields, fold = build_fields(page)
            self.weights = self.fields["start"]
            with fold:
                processes = gr.Number(1, precision=0, step=1, elem_id="train-processes")
                self.processes = page.bind(processes, label="train.processes", info="train.processes_info")
        self.lr_finder = LrFinderPanel(page)
        heading(page, "train.step_start")
        name = gr.Textbox(elem_id="train-name", max_lines=1, max_length=100)
        self.name = page.bind(name, label="train.name", placeholder="train.name_hint")
        self.start = page.bind(gr.Button(variant="primary", size="lg", elem_id="train-start"), value="train.start")
        self.start_taught = page.bind(gr.Button(visible=False, size="sm", elem_id="train-taught"), value="train.start_taught")
        self.notice = gr.HTML(elem_id="train-notice")
        self.scanned = gr.State("")  # the folder that the owner asked to scan
        self.seed, self.seen = gr.State(0), gr.State(None)

    @property
    def form(self) -> list[Any]:
        """The inputs of :meth:`Form.of`."""
        fields = [self.data, self.folder, self.photos, self.not_fruit, self.preset, self.processes, self.name]
        return fields + [self.fields[name] for name in FIELDS]


def wire_setup(page: Page, training: Training, parts: SetupPanel, timer: gr.Timer) -> None:
    """Register the events of the form, of scans and downloads, and the regular update of what they show."""
    context, datasets = training.context, training.context.datasets
    parts.data.change(lambda choice: gr.update(visible=choice == TYPED), parts.data, parts.folder_row, **UNQUEUED)
    parts.again.click(lambda seed: seed + 1, parts.seed, parts.seed, **UNQUEUED)
    parts.preset.input(preset_values, parts.preset, [parts.fields[name] for name in FIELDS], **UNQUEUED)

    def scan(language: str, *values: Any) -> Updates:
        form = Form.of(*values)
        config = valid_configuration(form)
        if form.data != TYPED or form.folder.strip():
            datasets.scan(form.data, form.folder, depth=config.class_depth, boxes=config.boxes, again=True)
        return {parts.scanned: form.folder if form.data == TYPED else ""}

    gr.on(
        [parts.scan.click, parts.folder.submit, parts.data.input],
        for_owner(context, scan, parts.notice),
        [page.language, *parts.form],
        [parts.scanned, parts.notice],
        **QUEUED,
    )

    def select_latest(language: str) -> Updates:
        """Select the dataset that was collected or dropped last."""
        datasets.scan(datasets.latest, again=True)
        return {parts.data: gr.update(choices=datasets.owners_choices(language), value=datasets.latest)}

    for part in (parts.collect, parts.drop):
        part.click(for_owner(context, select_latest, parts.notice), page.language, [parts.data, parts.notice], **QUEUED)

    def download(language: str) -> Updates:
        return {parts.downloading: download_card(datasets.download(), language)}

    parts.download.click(for_owner(context, download, parts.downloading), page.language, parts.downloading, **QUEUED)

    def view(
        request: gr.Request, opened: bool, language: str, scanned: str, seed: int, seen: Seen | None, minutes: str | None, *values: Any
    ) -> Any:
        owner = context.access.is_owner(request)
        shown = data_updates(training, Form.of(*values), scanned, seed, seen, minutes, language, owner=owner, opened=opened)
        return by_component(vars(parts), shown)

    gr.on(
        [page.demo.load, page.opened.change, timer.tick, parts.seed.change, page.language.change],
        view,
        [page.opened, page.language, parts.scanned, parts.seed, parts.seen, parts.minutes, *parts.form],
        [getattr(parts, name) for name in (*UPDATED, "seen")],
        **UNQUEUED_LAST,
    )


def data_updates(
    training: Training,
    form: Form,
    scanned: str,
    seed: int,
    seen: Seen | None,
    minutes: str | None,
    language: str,
    *,
    owner: bool,
    opened: bool = True,
) -> dict[str, Any]:
    """Updates of what the panel shows of the chosen pictures, by component; unchanged ones are left out.

    Only the owner may name a folder by its path; it is scanned on request, not while it is being typed. A visitor sees only the sample
    set, and starts no scan. Until the panel is ``opened``, nothing is augmented or timed, since both need torch.
    """
    datasets, estimates = training.context.datasets, training.estimates
    config = valid_configuration(form)
    found, scan = _scan_card(training.context, form.data, scanned, config, language, owner)
    result = scan.result if scan else None
    if owner and opened and result and not estimates.done and training.idle:
        estimates.begin()
    splits = result.splits if result else None
    values = {
        "found": found,
        "preset": gr.update(choices=preset_choices(estimates, splits, language)),
        "downloading": download_card(datasets.downloading(), language) if owner else "",
        "data": gr.update(choices=datasets.owners_choices(language) if owner else datasets.choices(language)),
        "fitting": note(fitting_words(estimates, minutes, splits, language), role="status"),
        # Visitors must not see the names of folders.
        "weights": gr.update(choices=start_choices(training.context.models.imported() if owner else [], language)),
        # A second start is refused with an explanation, so the button stays enabled.
        "start": gr.update(variant="primary" if launcher.running(training.context.runs) is None else "secondary"),
        "start_taught": gr.update(visible=owner and _is_taught(training.context)),
    }
    recipe = (config.augmentation, config.crop_scale_min, config.flip, config.rotation)
    key = fingerprint(form.data, scanned, language, seed, opened and result is not None, recipe, values)
    if seen and key == seen[0]:
        return {}
    values["grid"] = augmentation_grid(result, config, seed, language) if opened and result else ""
    return changed(values, seen, key)


def _is_taught(context: Context) -> bool:
    try:
        return context.teaching.store.index().pictures > 0
    except FruitVisionError:  # the index is damaged: the button says so when it is pressed
        return True


def valid_configuration(form: Form) -> TrainConfig:
    """The configuration that the settings give, or that of the preset alone if they are invalid."""
    try:
        return configuration(form.preset, form.values)
    except FruitVisionError:
        return TrainConfig.from_preset(form.preset)


def _scan_card(context: Context, choice: str, scanned: str, config: TrainConfig, language: str, owner: bool) -> tuple[str, Scan | None]:
    """The card about the chosen pictures, and their scan, which follows the level of the class folders and the cropping of boxes."""
    if choice != SAMPLE and not owner:
        return notice(AccessError("owner-only"), language), None
    if choice == TYPED and not scanned.strip():
        return "", None
    datasets = context.datasets
    scan = datasets.scan(choice, scanned, depth=config.class_depth, boxes=config.boxes) if owner else datasets.known(choice)
    if not scan:
        return "", None
    return scan_card(scan, language, datasets.parent(choice) if scan.error else None), scan


def wire_start(page: Page, training: Training, parts: SetupPanel, run: gr.State) -> None:
    """Register the two start buttons. ``run``: the id of the displayed run."""
    context = training.context

    def start(language: str, *values: Any) -> Updates:
        return {run: start_run(context, Form.of(*values)).id}

    def start_taught(language: str, *values: Any) -> Updates:
        return {run: start_with_taught(context, Form.of(*values)).id}

    for button, action in ((parts.start, start), (parts.start_taught, start_taught)):
        pressed = button.click(for_owner(context, action, parts.notice), [page.language, *parts.form], [run, parts.notice], **QUEUED)
        pressed.then(
            None, None, None, js=scroll_to_js("#train-status", unless="#train-notice [role=alert]", event="fruitvision-run-started")
        )
