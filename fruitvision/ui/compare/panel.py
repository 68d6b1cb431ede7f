"""The Compare panel: what each normalization layer computes, how the norms train, and how their networks answer one picture."""

from __future__ import annotations

from functools import partial

import gradio as gr

from fruitvision.ui.compare import same_picture, study_panel
from fruitvision.ui.compare.norm_drawing import SCRIPT
from fruitvision.ui.compare.norm_effect_panel import NormEffectPanel
from fruitvision.ui.compare.norm_page import norm_drawing, norm_page
from fruitvision.ui.gradio_internals import wrapping_tabs
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.events import UNQUEUED
from fruitvision.ui.page.norm_names import norm_choices


def build(page: Page) -> None:
    """Build the panel inside its tab.

    The interactive part comes first: the norm, a picture, and the numbers before and after the layer. The explanation with its
    formulas follows, then three tabs.
    """
    language, norm_effect = page.context.language, NormEffectPanel()
    norm = page.bind(
        gr.Radio(norm_choices(language), value="batch", elem_id="compare-norm", elem_classes="fv-buttons"),
        label="compare.choose",
        choices=norm_choices,
    )
    with gr.Row(elem_id="compare-stage"):
        with gr.Column(scale=3, min_width=240):
            norm_effect.build_picture(page)
        with gr.Column(scale=5, min_width=320):
            drawing = gr.HTML(norm_drawing("batch", language), elem_id="compare-drawing", js_on_load=SCRIPT)
            norm_effect.build_numbers()
        with gr.Column(scale=5, min_width=320):
            norm_effect.build_composition()
    explanation = gr.HTML(norm_page("batch", language), elem_id="compare-page")
    page.bind_initial(drawing, value=partial(norm_drawing, "batch"))
    page.bind_initial(explanation, value=partial(norm_page, "batch"))

    def explain(norm: str, language: str) -> tuple[str, str]:
        return norm_drawing(norm, language), norm_page(norm, language)

    gr.on([norm.change, page.language.change, page.demo.load], explain, [norm, page.language], [drawing, explanation], **UNQUEUED)
    with gr.Tabs(elem_id="compare-tabs", elem_classes="fv-ways", **wrapping_tabs()):
        with page.bind(gr.Tab(id="norm-effect", elem_id="compare-norm-effect-tab"), label="compare.tab_touch"):
            norm_effect.build_details(page)
        with page.bind(gr.Tab(id="study", elem_id="compare-study-tab"), label="compare.tab_race") as tab:
            with page.part("study", tab):
                study_panel.build(page)
        with page.bind(gr.Tab(id="same-picture", elem_id="compare-same-picture-tab"), label="compare.tab_same_picture") as tab:
            with page.part("same-picture", tab):
                same_picture.build(page, tab)
    norm_effect.wire(page, norm)
