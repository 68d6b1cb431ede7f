"""Compare: what each normalization layer does; on a picture's numbers, in a race, and in the answers to one picture."""

from __future__ import annotations

from functools import partial

import gradio as gr

from fruitvision.ui.compare import race_panel, same_picture
from fruitvision.ui.compare.norm_drawing import SCRIPT
from fruitvision.ui.compare.norm_page import norm_drawing, norm_page
from fruitvision.ui.compare.touch_panel import Touch
from fruitvision.ui.gradio_internals import wrapping_tabs
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.events import QUIET
from fruitvision.ui.page.norm_names import norm_choices


def build(page: Page) -> None:
    """The panel, inside its tab.

    First what can be touched: the norm, a picture, and beside the drawing the numbers before and after the layer. Words and formulas
    follow, then three tabs.
    """
    language, touch = page.context.language, Touch()
    norm = page.bind(
        gr.Radio(norm_choices(language), value="batch", elem_id="compare-norm", elem_classes="fv-buttons"),
        label="compare.choose",
        choices=norm_choices,
    )
    with gr.Row(elem_id="compare-stage"):
        with gr.Column(scale=3, min_width=240):
            touch.build_picture(page)
        with gr.Column(scale=5, min_width=320):
            drawing = gr.HTML(norm_drawing("batch", language), elem_id="compare-drawing", js_on_load=SCRIPT)
            touch.build_numbers()
        with gr.Column(scale=5, min_width=320):
            touch.build_composition()
    words = gr.HTML(norm_page("batch", language), elem_id="compare-page")
    page.first(drawing, value=partial(norm_drawing, "batch"))
    page.first(words, value=partial(norm_page, "batch"))

    def about(chosen: str, spoken: str) -> tuple[str, str]:
        return norm_drawing(chosen, spoken), norm_page(chosen, spoken)

    gr.on([norm.change, page.language.change, page.demo.load], about, [norm, page.language], [drawing, words], **QUIET)
    with gr.Tabs(elem_id="compare-tabs", elem_classes="fv-ways", **wrapping_tabs()):
        with page.bind(gr.Tab(id="touch", elem_id="compare-touch-tab"), label="compare.tab_touch"):
            touch.build_details(page)
        with page.bind(gr.Tab(id="race", elem_id="compare-race-tab"), label="compare.tab_race") as tab:
            with page.part("race", tab):
                race_panel.build(page)
        with page.bind(gr.Tab(id="together", elem_id="compare-together-tab"), label="compare.tab_same_picture") as tab:
            with page.part("together", tab):
                same_picture.build(page, tab)
    touch.wire(page, norm)
