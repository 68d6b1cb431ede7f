"""Train: choose pictures and a preset, start, and watch. A run is a process of its own; the panel reads its folder."""

from __future__ import annotations

from typing import Any

import gradio as gr

from fruitvision.ui.page.context import Page
from fruitvision.ui.page.events import UNQUEUED
from fruitvision.ui.train.bar.run_bar import wire_bar
from fruitvision.ui.train.choices import Choices, Training, wire_choices, wire_start
from fruitvision.ui.train.rate import wire_rate
from fruitvision.ui.train.runs import RunTable, wire_table
from fruitvision.ui.train.settings import heading
from fruitvision.ui.train.watch import RunView, wire_view

TICK_SECONDS = 1.0


def build(page: Page) -> None:
    """The panel, inside its tab."""
    training, run, timer = Training(page.context), gr.State(None), gr.Timer(TICK_SECONDS)
    with gr.Row(elem_classes="fv-train"):
        with gr.Column(scale=5, min_width=320):
            choices = Choices(page, training)
        with gr.Column(scale=6, min_width=320):
            view = RunView(page)
    heading(page, "train.runs")
    table = RunTable(page, run)
    wire_choices(page, training, choices, timer)
    wire_start(page, training, choices, run)
    wire_rate(page, training.rate, choices.rate, choices.form, choices.fields["learning_rate"])
    wire_view(page, view, table, choices.notice, timer)
    wire_table(page, table)
    wire_bar(page, run)
    _wire_visitor(page, choices, view)


def _wire_visitor(page: Page, choices: Choices, view: RunView) -> None:
    """A visitor reads that he is one, and finds the buttons that change something disabled."""
    changing = [choices.start, choices.start_taught, choices.scan, choices.download, view.stop, view.end, view.resume]

    def greet(request: gr.Request) -> dict[Any, Any]:
        owner = page.context.access.is_owner(request)
        shown = {choices.visitor: gr.update(visible=not owner), choices.way: gr.update(visible=owner)}
        return {**shown, **{button: gr.update(interactive=owner) for button in changing}}

    page.demo.load(greet, None, [choices.visitor, choices.way, *changing], **UNQUEUED)
