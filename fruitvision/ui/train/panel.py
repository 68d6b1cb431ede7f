"""The Train panel: pictures, preset and settings on the left, the run on the right. A run is a separate process; the panel reads its
folder."""

from __future__ import annotations

from typing import Any

import gradio as gr

from fruitvision.ui.page.context import Page
from fruitvision.ui.page.events import UNQUEUED
from fruitvision.ui.train.bar.run_bar import wire_bar
from fruitvision.ui.train.lr_finder import wire_lr_finder
from fruitvision.ui.train.run_panel import RunPanel, wire_run
from fruitvision.ui.train.runs import RunTable, wire_table
from fruitvision.ui.train.settings import heading
from fruitvision.ui.train.setup_panel import SetupPanel, Training, wire_setup, wire_start

TICK_SECONDS = 1.0


def build(page: Page) -> None:
    """Build the panel inside its tab."""
    training, run, timer = Training(page.context), gr.State(None), page.timer(TICK_SECONDS)
    with gr.Row(elem_classes="fv-train"):
        with gr.Column(scale=5, min_width=320):
            setup = SetupPanel(page, training)
        with gr.Column(scale=6, min_width=320):
            run_panel = RunPanel(page)
    heading(page, "train.runs")
    table = RunTable(page, run)
    wire_setup(page, training, setup, timer)
    wire_start(page, training, setup, run)
    wire_lr_finder(page, training.lr_finder, setup.lr_finder, setup.form, setup.fields["learning_rate"])
    wire_run(page, run_panel, table, setup.notice, timer)
    wire_table(page, table)
    wire_bar(page, run)
    _wire_access(page, setup, run_panel)


def _wire_access(page: Page, setup: SetupPanel, run_panel: RunPanel) -> None:
    """For visitors, show the notice that they are visitors, and disable the buttons that change something."""
    buttons = [setup.start, setup.start_taught, setup.scan, setup.download, run_panel.stop, run_panel.end, run_panel.resume]

    def update(request: gr.Request) -> dict[Any, Any]:
        owner = page.context.access.is_owner(request)
        shown = {setup.visitor: gr.update(visible=not owner), setup.source: gr.update(visible=owner)}
        return {**shown, **{button: gr.update(interactive=owner) for button in buttons}}

    page.demo.load(update, None, [setup.visitor, setup.source, *buttons], **UNQUEUED)
