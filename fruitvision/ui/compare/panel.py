"""Compare: what each normalization layer does; on a picture's numbers, in a race, and in the answers to one picture."""

from __future__ import annotations

from functools import partial

import gradio as gr

from fruitvision.ui.compare import race_panel, same_picture, touch_panel
from fruitvision.ui.compare.norm_drawing import SCRIPT
from fruitvision.ui.compare.norm_page import norm_page
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.events import QUIET
from fruitvision.ui.page.norm_names import norm_choices


def build(page: Page) -> None:
    """The panel, inside its tab: one choice of a norm, which everything above and Touch it follow, and three tabs."""
    norm = _build_norms(page)
    with gr.Tabs(elem_id="compare-tabs", elem_classes="fv-ways"):
        with page.bind(gr.Tab(id="touch", elem_id="compare-touch-tab"), label="compare.tab_touch"):
            touch_panel.build(page, norm)
        with page.bind(gr.Tab(id="race", elem_id="compare-race-tab"), label="compare.tab_race"):
            race_panel.build(page)
        with page.bind(gr.Tab(id="together", elem_id="compare-together-tab"), label="compare.tab_same_picture") as tab:
            same_picture.build(page, tab)


def _build_norms(page: Page) -> gr.Radio:
    language = page.context.language
    norm = page.bind(
        gr.Radio(norm_choices(language), value="batch", elem_id="compare-norm", elem_classes="fv-buttons"),
        label="compare.choose",
        choices=norm_choices,
    )
    shown = gr.HTML(norm_page("batch", language), elem_id="compare-page", js_on_load=SCRIPT)
    page.first(shown, value=partial(norm_page, "batch"))
    gr.on([norm.change, page.language.change, page.demo.load], norm_page, [norm, page.language], shown, **QUIET)
    return norm
