"""Same picture, each norm: a picture of one's own, answered by every network of a study side by side."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from fruitvision.comparison.same_picture import Answer, answers, pairs
from fruitvision.comparison.study import StudyFolder
from fruitvision.data.fruits import display_name
from fruitvision.data.read.decode_gate import decoding_for
from fruitvision.data.read.picture import load_capped
from fruitvision.errors import FruitVisionError
from fruitvision.ui.compare.norm_words import norm_colour, norm_html
from fruitvision.ui.compare.race_view import BROUGHT, shown_studies, study_choices
from fruitvision.ui.page.answer import sureness
from fruitvision.ui.page.checked_image import CheckedImage
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.events import QUIET, notice
from fruitvision.wording.text import say

VISITORS_AT_ONCE = 4
SIDE = 320


def build(page: Page, tab: gr.Tab) -> None:
    """The tab's contents; studies are looked for when it is opened."""
    context = page.context
    page.bind(gr.HTML(), value=lambda language: f"<p>{say('together.intro', language)}</p>")
    with gr.Row():
        with gr.Column(scale=3, min_width=260):
            picture = page.bind(
                CheckedImage(
                    sources=["upload", "clipboard"], type="filepath", height=260, show_label=True, elem_id="together-picture", buttons=[]
                ),
                label="classify.picture",
                placeholder="touch.drop",
            )
            study = page.bind(
                gr.Dropdown([], interactive=True, filterable=False, visible=False, elem_id="together-study"), label="compare.study"
            )
            pair = page.bind(
                gr.Dropdown([], interactive=True, filterable=False, visible=False, elem_id="together-pair"), label="together.pair"
            )
        with gr.Column(scale=8, min_width=320):
            shown = gr.HTML(together_view(context, None, None, None, context.language, owner=False), elem_id="together-view")

    def look(chosen: str | None, language: str, request: gr.Request) -> Any:
        studies = shown_studies(context.runs, owner=context.access.is_owner(request))
        choices = [choice for choice in study_choices(studies, language) if choice[1] != BROUGHT]
        known = [study_id for _, study_id in choices]
        return gr.update(choices=choices, value=chosen if chosen in known else next(iter(known), None), visible=bool(known))

    gr.on([tab.select, page.language.change], look, [study, page.language], study, **QUIET)
    chosen = [study, pair, page.language]

    def choose(study_id: str | None, pair: str | None, language: str, request: gr.Request) -> Any:
        return pair_choices(context, study_id, pair, language, owner=context.access.is_owner(request))

    def view(picture: Path | bytes | None, study_id: str | None, pair: str | None, language: str, request: gr.Request) -> str:
        owner = context.access.is_owner(request)
        with decoding_for(context.access.visitor(request)):
            return together_view(context, picture, study_id, pair, language, owner=owner)

    gr.on([tab.select, study.change, page.language.change], choose, chosen, pair, **QUIET)
    gr.on(
        [tab.select, picture.change, study.change, pair.change, page.language.change],
        view,
        [picture, study, pair, page.language],
        shown,
        show_progress="minimal",
        api_visibility="private",
        concurrency_limit=VISITORS_AT_ONCE,
        trigger_mode="always_last",
    )


def find(context: Context, study_id: str | None, *, owner: bool) -> StudyFolder | None:
    """The study of that id, where there is one that may be looked at."""
    return next((study for study in shown_studies(context.runs, owner=owner) if study.id == study_id), None)


def pair_choices(context: Context, study_id: str | None, chosen: str | None, language: str, *, owner: bool) -> dict[str, Any]:
    """The batch sizes and seeds of a study that have networks, for the dropdown; hidden where there is one at most."""
    study = find(context, study_id, owner=owner)
    known = pairs(study) if study else []
    choices = [(say("together.pair_choice", language, size=size, seed=seed), f"{size}/{seed}") for size, seed in known]
    values = [value for _, value in choices]
    return gr.update(choices=choices, value=chosen if chosen in values else next(iter(values), None), visible=len(values) > 1)


def together_view(
    context: Context, picture: Path | bytes | None, study_id: str | None, pair: str | None, language: str, *, owner: bool
) -> str:
    """A card a norm; or what is missing, in a sentence."""
    study = find(context, study_id, owner=owner)
    known = pairs(study) if study else []
    if not known:
        return _empty("none", language)
    if picture is None:
        return _empty("no_picture", language)
    chosen = next((one for one in known if f"{one[0]}/{one[1]}" == pair), known[0])
    try:
        found = answers(study, load_capped(picture, SIDE), *chosen)
    except FruitVisionError as error:
        return notice(error, language)
    cards = "".join(_card(answer, language) for answer in found)
    return f'<div class="fv-together">{cards}</div><p class="fv-note">{say("together.note", language)}</p>'


def _empty(key: str, language: str) -> str:
    return f'<div class="fv-status"><p>{say(f"together.{key}", language)}</p></div>'


def _card(answer: Answer, language: str) -> str:
    prediction, norm = answer.prediction, answer.cell.norm
    name = escape(display_name(prediction.fruit_type, language))
    alt = escape(say("together.heatmap", language, norm=norm_html(norm, language)), quote=True)
    share = prediction.confidence
    accuracy = "" if answer.accuracy is None else say("together.accuracy", language, accuracy=f"{answer.accuracy:.1%}")
    return (
        f'<section class="fv-card"><h3><i class="fv-dot" style="background:{norm_colour(norm)}"></i>{norm_html(norm, language)}</h3>'
        f'<img alt="{alt}" src="{_data_url(answer.heatmap)}"><p class="fv-together-name">{name}</p>'
        f'<p class="fv-sureness"><span>{say(f"classify.{sureness(prediction)}", language)}</span> <span>{share:.0%}</span></p>'
        f'<span class="fv-bar"><i style="width:{share * 100:.0f}%"></i></span><p class="fv-note">{accuracy}</p></section>'
    )


def _data_url(image: Image.Image) -> str:
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
