"""The Classify panel: the answer to a picture, or a live view of the camera."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from markupsafe import Markup

from fruitvision.data.fruits import display_name
from fruitvision.data.read.decode_gate import decoding_for
from fruitvision.data.read.picture import load_capped, load_pixels
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import FruitVisionError
from fruitvision.report.markup import data_url, join, render, tag
from fruitvision.ui.classify.answer import accuracy_note, announcement, answer_card, correction_form, empty_card, error_card
from fruitvision.ui.classify.teaching.teach import build_teaching
from fruitvision.ui.gradio_internals import wrapping_tabs
from fruitvision.ui.page.components import CheckedImage, data_url_bytes
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.events import UNQUEUED_LAST
from fruitvision.ui.page.export.buttons import build_page_export
from fruitvision.wording.text import LANGUAGES, say

if TYPE_CHECKING:
    from fruitvision.recognition.classifier import Prediction

MAX_FRAME_BYTES = 2**20
MAX_EMPTY_SIDE = 256
HEATMAP_SIDE, HEATMAP_LONG_SIDE = 720, 1280
"""Maximum sides of a heatmap in pixels: enough for a screen, and bounded for 64 concurrent visitors."""
PREVIEW_SIDE = 480
# Each answer is one short call. So many run concurrently, and are classified in small batches (see Batcher).
CONCURRENCY_LIMIT = 64
EXAMPLES = {"Banana": ("white", 3), "Apple": ("cloth", 91), "Kiwi": ("white", 6), "Cherry": ("white", 0), "Pineapple": ("wood", 11)}
"""Drawn example fruits, with the background and the seed at which the shipped default model is sure of them."""
EXAMPLE_SIDE = 224
START_WORDS = ("camera", "examples", "example", "upload", "webcam", "clipboard", "remove", "fullscreen")
CAMERA = {"video": {"width": {"ideal": 1280}, "facingMode": {"ideal": "environment"}}}
LIVE_WORDS = (
    "intro",
    "start",
    "stop",
    "switch",
    "empty",
    "empty_why",
    "forget",
    "hint",
    "known",
    "video",
    "denied",
    "none",
    "busy",
    "insecure",
    "lost",
    "fix",
)


@dataclass(frozen=True)
class PictureTab:
    """The components of the tab that classifies one picture."""

    picture: CheckedImage
    heat: gr.Checkbox
    answer: gr.HTML
    heatmap: gr.Image


def build(page: Page) -> None:
    """Build the panel inside its tab."""
    with gr.Tabs(elem_classes="fv-ways", **wrapping_tabs()):
        with page.bind(gr.Tab(id="picture", elem_id="classify-picture-tab"), label="classify.picture"):
            tab = _build_picture(page)
        with page.bind(gr.Tab(id="live", elem_id="classify-live-tab"), label="classify.live"):
            gr.HTML(
                html_template=live_view(),
                js_on_load=_script("live.js"),
                server_functions=[_live_handler(page.context)],
                elem_id="classify-live",
            )
    use_taught = page.bind(gr.Checkbox(value=True, elem_id="classify-use-taught"), label="classify.use_taught")
    _wire_picture(page, tab, use_taught, build_teaching(page))
    note = gr.HTML(elem_id="classify-note")
    build_page_export(page)
    gr.on(
        [page.demo.load, page.model.change, page.language.change],
        lambda *given: model_note(page.context, *given),
        [page.model, page.language],
        note,
        **UNQUEUED_LAST,
    )


def _build_picture(page: Page) -> PictureTab:
    context = page.context
    with gr.Row(elem_classes="fv-classify"):
        with gr.Column(scale=5, min_width=320):
            picture = page.bind(
                CheckedImage(
                    sources=["upload", "clipboard", "webcam"],
                    type="filepath",
                    height=420,
                    show_label=False,
                    elem_id="classify-picture",
                    buttons=["fullscreen"],
                    webcam_options=gr.WebcamOptions(mirror=False, constraints=CAMERA),
                ),
                label="classify.picture",
                placeholder="classify.drop",
            )
            gr.HTML(
                html_template=start_view(),
                js_on_load=_script("start.js"),
                elem_id="classify-start",
                server_functions=[_preload_handler(context)],
            )
        with gr.Column(scale=4, min_width=320):
            answer = page.bind_initial(gr.HTML(empty_card(context.language), elem_id="classify-answer"), value=empty_card)
            heat = page.bind(gr.Checkbox(elem_id="classify-heat"), label="classify.heat", info="classify.heat_info")
            heatmap = page.bind(
                gr.Image(
                    visible=False, interactive=False, height=320, show_label=False, elem_id="classify-heatmap", buttons=["fullscreen"]
                ),
                label="classify.heat_picture",
            )
    return PictureTab(picture, heat, answer, heatmap)


def _wire_picture(page: Page, tab: PictureTab, taught: gr.Checkbox, teaching: gr.HTML) -> None:
    """``taught``: the switch for both tabs, shown to the owner if something was taught; ``live.js`` reads it."""
    context = page.context

    def answer(given: Path | bytes | None, heat: bool, use_taught: bool, model: str | None, language: str, request: gr.Request) -> Any:
        owner = context.access.is_owner(request)
        with decoding_for(*context.access.quota_keys(request)):
            card, heatmap = answer_picture(context, given, heat, model, language, owner=owner, use_taught=use_taught)
        return {tab.answer: card, tab.heatmap: heatmap}

    answered = gr.on(
        [tab.picture.change, tab.heat.change, taught.change, page.model.change, page.language.change, teaching.click],
        answer,
        [tab.picture, tab.heat, taught, page.model, page.language],
        [tab.answer, tab.heatmap],
        show_progress="minimal",
        show_progress_on=tab.answer,
        concurrency_limit=CONCURRENCY_LIMIT,
        api_visibility="private",
        trigger_mode="always_last",
        js="(...given) => { window.fruitvisionAsked?.(given[0]); return given; }",
    )
    answered.then(None, tab.picture, None, js="(picture) => window.fruitvisionAnswered?.(picture)")


def answer_picture(
    context: Context,
    picture: Path | bytes | None,
    heat: bool,
    model: str | None,
    language: str,
    *,
    owner: bool = False,
    use_taught: bool = True,
) -> tuple[Markup, dict[str, Any]]:
    """The answer's HTML and the update of the heatmap; for a picture that cannot be read, the error's HTML.

    Taught classes are used only for the owner, and only with ``use_taught``.
    """
    hidden = gr.update(value=None, visible=False)
    if picture is None:
        return empty_card(language), hidden
    try:
        taught = context.teaching.head(model, owner=owner and use_taught)
        batcher = context.models.batcher(model)
        from fruitvision.recognition.classifier import FrameContext

        prediction = batcher.submit(picture, FrameContext(taught=taught))
        card = join([answer_card(prediction, language, batcher.classifier.config, owner=owner), _preview(picture)])
        if not heat:
            return card, hidden
        heatmap = prediction.heatmap(HEATMAP_SIDE)
        heatmap.thumbnail((HEATMAP_LONG_SIDE, HEATMAP_LONG_SIDE))
        return card, gr.update(value=heatmap, visible=True)
    except FruitVisionError as error:
        return error_card(error, language), hidden


def _preview(picture: Path | bytes) -> Markup:
    """For a HEIC or AVIF, a small JPEG, which prepare_upload.js displays if the browser cannot decode the original."""
    try:
        with picture.open("rb") if isinstance(picture, Path) else io.BytesIO(picture) as file:
            if file.read(8)[4:] != b"ftyp":
                return Markup()
    except OSError:  # deleted meanwhile
        return Markup()
    return tag("img", src=data_url(load_capped(picture, PREVIEW_SIDE), quality=85), class_="fv-shown", alt="", hidden=True)


def answer_frame(context: Context, frame: Any, *, owner: bool = False) -> dict[str, str]:
    """The answer to one frame of the live view, as {"html", "memory", "said"}, and for the owner "fix", see :func:`correction_form`.

    "said" is the text for screen readers. ``frame`` is untrusted: {"image": JPEG data URL, "model", "language"}, and optionally "empty",
    a picture of the place without fruit, "memory" of the last answer of this model, and "taught", false to leave out taught classes.
    The browser keeps the empty place and the memory, so that the server has no state between frames.
    """
    data = frame if isinstance(frame, dict) else {}
    language, model = context.valid_language(data.get("language")), data.get("model")
    model = model if isinstance(model, str) else ""
    try:
        picture = data_url_bytes(data.get("image"), MAX_FRAME_BYTES)
        batcher = context.models.batcher(model)
        empty, taught = data.get("empty"), context.teaching.head(model, owner=owner and data.get("taught") is not False)
        from fruitvision.recognition.classifier import FrameContext

        frame_context = FrameContext(
            None if not empty else load_pixels(data_url_bytes(empty, MAX_FRAME_BYTES), MAX_EMPTY_SIDE),
            _decode_memory(data.get("memory"), len(batcher.classifier.classes) + (len(taught.names) if taught else 0)),
            taught,
        )
        prediction = batcher.submit(picture, frame_context)
        config = batcher.classifier.config
        card, text = answer_card(prediction, language, config, live=True), announcement(prediction, language, config)
        fix = {"fix": correction_form(prediction, language, config)} if owner else {}
        return {"html": card, "memory": _encode_memory(prediction), "said": text, **fix}
    except FruitVisionError as error:
        return {"html": error_card(error, language)}


def _encode_memory(prediction: Prediction) -> str:
    """The probabilities of the classes as float16, base64-encoded."""
    return base64.b64encode(prediction.probabilities.astype("<f2").tobytes()).decode()


def _decode_memory(memory: Any, classes: int) -> np.ndarray | None:
    """(classes,) float32 with sum 1, from the result of :func:`_encode_memory`; None for any other value."""
    try:
        raw = base64.b64decode(memory, validate=True) if isinstance(memory, str) and len(memory) <= 2**16 else b""
    except ValueError:
        return None
    if len(raw) != 2 * classes:
        return None
    probabilities = np.frombuffer(raw, "<f2").astype(np.float32)
    if not (np.isfinite(probabilities).all() and (probabilities >= 0).all() and 0.9 < probabilities.sum() < 1.1):
        return None
    return probabilities / probabilities.sum()


def _live_handler(context: Context) -> Any:
    """The function that ``live.js`` calls for each frame."""

    def handle(frame: Any, request: gr.Request) -> dict[str, str]:
        owner = context.access.is_owner(request)
        with decoding_for(*context.access.quota_keys(request)):
            return answer_frame(context, frame, owner=owner)

    handle.__name__ = "answer_frame"  # by which live.js calls it
    return handle


def _preload_handler(context: Context) -> Any:
    """The function that ``start.js`` calls when the user is about to choose a picture: the network is loaded meanwhile."""

    def prepare(model: Any) -> None:
        if not model or model == context.models.default:
            context.models.preload()

    return prepare


def model_note(context: Context, model: str | None, language: str) -> Markup:
    """The measured accuracy of the chosen model."""
    try:
        config = context.models.config(model)
    except FruitVisionError as error:
        return error_card(error, language)
    return accuracy_note(config, context.models.name(model, language), language)


def start_view() -> Markup:
    """The HTML below the empty picture component: the camera button, and drawn examples; ``start.js`` fills in the texts."""
    names = {language: {kind: display_name(kind, language) for kind in EXAMPLES} for language in LANGUAGES}
    words = {language: {name: say(f"classify.start_{name}", language) for name in START_WORDS} for language in LANGUAGES}
    return render("ui/classify/start.html", words_by_language=words, names=names, examples=examples())


@cache
def examples() -> dict[str, str]:
    """The drawn examples as JPEG data URLs, by fruit."""
    return {
        kind: data_url(draw_fruit(kind, np.random.default_rng(seed), EXAMPLE_SIDE, background=background), quality=85)
        for kind, (background, seed) in EXAMPLES.items()
    }


def _script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def live_view() -> Markup:
    """The HTML of the live view; ``live.js`` fills in the texts."""
    words = {language: {name: say(f"classify.live_{name}", language) for name in LIVE_WORDS} for language in LANGUAGES}
    return render("ui/classify/live.html", words_by_language=words, empty_card=empty_card)
