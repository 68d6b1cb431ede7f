"""The tab that shows the answers of all networks of a study to one picture, side by side."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from markupsafe import Markup
from PIL import Image

from fruitvision.comparison.results import shipped_study
from fruitvision.comparison.same_picture import Answer, answers, pairs
from fruitvision.comparison.study import StudyFolder
from fruitvision.data.read.decode_gate import decoding_for
from fruitvision.data.read.picture import load_capped
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import FruitVisionError
from fruitvision.report.answers import named_guesses, sureness
from fruitvision.report.markup import data_url, join, tag
from fruitvision.ui.classify.answer import title_of
from fruitvision.ui.compare.study_view import SHIPPED, find_visible_study, study_choices, visible_studies
from fruitvision.ui.page.components import ListedDropdown, picture_input
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.elements import bar, note, notice, status
from fruitvision.ui.page.events import UNQUEUED_LAST
from fruitvision.ui.page.norm_names import norm_colour, norm_name
from fruitvision.wording.text import say

CONCURRENCY_LIMIT = 4
SIDE = 320


def build(page: Page, tab: gr.Tab) -> None:
    """Build the tab's contents; the studies are listed when it is opened."""
    context = page.context
    page.bind(gr.HTML(), value=lambda language: tag("p", say("same_picture.intro", language)))
    with gr.Row():
        with gr.Column(scale=3, min_width=260):
            picture = page.bind(
                picture_input("same-picture-picture", 260),
                label="classify.picture",
                placeholder="touch.drop",
            )
            study = page.bind(
                ListedDropdown([], interactive=True, filterable=False, visible=False, elem_id="same-picture-study"), label="compare.study"
            )
            pair = page.bind(
                ListedDropdown([], interactive=True, filterable=False, visible=False, elem_id="same-picture-pair"),
                label="same_picture.pair",
            )
        with gr.Column(scale=8, min_width=320):
            cards = gr.HTML(elem_id="same-picture-view")  # filled when the tab is opened, so that its networks are not loaded earlier

    def studies(chosen: str | None, language: str, request: gr.Request) -> Any:
        visible = visible_studies(context.runs, owner=context.access.is_owner(request))
        choices = [choice for choice in study_choices(visible, language) if choice[1] != SHIPPED or shipped_study()]
        ids = [study_id for _, study_id in choices]
        return gr.update(choices=choices, value=chosen if chosen in ids else next(iter(ids), None), visible=bool(ids))

    gr.on([tab.select, page.language.change], studies, [study, page.language], study, **UNQUEUED_LAST)
    chosen = [study, pair, page.language]

    def choose(study_id: str | None, pair: str | None, language: str, request: gr.Request) -> Any:
        return pair_choices(context, study_id, pair, language, owner=context.access.is_owner(request))

    def view(picture: Path | bytes | None, study_id: str | None, pair: str | None, language: str, request: gr.Request) -> str:
        owner = context.access.is_owner(request)
        with decoding_for(*context.access.quota_keys(request)):
            return same_picture_view(context, picture, study_id, pair, language, owner=owner)

    gr.on([tab.select, study.change, page.language.change], choose, chosen, pair, **UNQUEUED_LAST)
    gr.on(
        [tab.select, picture.change, study.change, pair.change, page.language.change],
        view,
        [picture, study, pair, page.language],
        cards,
        show_progress="minimal",
        api_visibility="private",
        concurrency_limit=CONCURRENCY_LIMIT,
        trigger_mode="always_last",
    )


def find(context: Context, study_id: str | None, *, owner: bool) -> StudyFolder | None:
    """The study with that id, or None if there is none that this user may see; without an id the shipped one."""
    if study_id in (None, SHIPPED):
        return shipped_study()
    return find_visible_study(context.runs, study_id, owner=owner)


def pair_choices(context: Context, study_id: str | None, chosen: str | None, language: str, *, owner: bool) -> dict[str, Any]:
    """The dropdown's choices: the (batch size, seed) pairs of a study that have networks. Hidden for fewer than two."""
    study = find(context, study_id, owner=owner)
    available = pairs(study) if study else []
    choices = [(say("same_picture.pair_choice", language, size=size, seed=seed), f"{size}/{seed}") for size, seed in available]
    values = [value for _, value in choices]
    return gr.update(choices=choices, value=chosen if chosen in values else next(iter(values), None), visible=len(values) > 1)


def same_picture_view(
    context: Context, picture: Path | bytes | None, study_id: str | None, pair: str | None, language: str, *, owner: bool
) -> Markup:
    """One card per norm; or a sentence that says what is missing."""
    study = find(context, study_id, owner=owner)
    available = pairs(study) if study else []
    if study is None or not available:
        return status(say("same_picture.none", language))
    facts = {"picture": say("classify.picture", language)}
    words = say("same_picture.note", language) if picture is not None else say("same_picture.drawn", language, **facts)
    chosen = next((one for one in available if f"{one[0]}/{one[1]}" == pair), available[0])
    try:
        shown_answers = answers(study, drawn_banana() if picture is None else load_capped(picture, SIDE), *chosen)
    except FruitVisionError as error:
        return notice(error, language)
    cards = tag("div", (_card(answer, language) for answer in shown_answers), class_="fv-same-picture")
    return join([cards, note(words)])


@cache
def drawn_banana() -> Image.Image:
    """The picture that is classified until the user has chosen one."""
    return draw_fruit("Banana", np.random.default_rng(0), SIDE, background="white")


def _card(answer: Answer, language: str) -> Markup:
    prediction, norm = answer.prediction, norm_name(answer.trial.norm, language)
    answer.heatmap.thumbnail((SIDE, SIDE))
    heatmap = data_url(answer.heatmap, quality=88)
    named, share = named_guesses(prediction), prediction.confidence
    accuracy = say("same_picture.unmeasured", language)
    if answer.accuracy is not None:
        accuracy = say(f"same_picture.accuracy_{answer.split}", language, accuracy=f"{answer.accuracy:.1%}")
    percent = tag("span", f"{share:.0%}") if len(named) == 1 else None
    return tag(
        "section",
        tag("h3", tag("i", class_="fv-dot", style=f"background:{norm_colour(answer.trial.norm)}"), norm),
        tag("img", alt=say("same_picture.heatmap", language, norm=norm), src=heatmap),
        tag("p", title_of(prediction, named, language), class_="fv-same-picture-name"),
        tag("p", tag("span", say(f"classify.{sureness(prediction)}", language)), " ", percent, class_="fv-sureness"),
        bar(share) if prediction.verdict == "sure" else None,
        tag("p", accuracy, class_="fv-same-picture-accuracy"),
        class_="fv-card",
    )
