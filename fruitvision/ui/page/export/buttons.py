"""Buttons that generate a file for download, for the owner alone. A button is disabled meanwhile, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.models import can_export
from fruitvision.report.markup import tag
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.elements import card
from fruitvision.ui.page.events import QUEUED, SAVE_FILE_JS, UNQUEUED, Updates, for_owner
from fruitvision.ui.page.export.files import export_file
from fruitvision.wording.text import say


def wire_export(
    page: Page,
    button: gr.Button,
    label: str,
    make: Callable[..., Path],
    inputs: list[Any],
    file: gr.DownloadButton,
    status: gr.HTML,
    instructions: str,
) -> None:
    """Let a click on ``button`` generate a file, one at a time in the whole app, and let the browser save it.

    Args:
        label: the key of the button's label.
        make: takes the language and ``inputs``, and returns the file.
        file: a hidden button from which the browser fetches the file.
        status: shows the error, or the sentence of the key ``instructions``.
    """

    def disable(language: str, *values: Any) -> Updates:
        return {button: gr.update(value=say("train.making", language), interactive=False)}

    def export(language: str, *values: Any) -> Updates:
        return {file: str(make(language, *values)), status: card(tag("p", say(instructions, language)))}

    def enable(language: str) -> Any:
        return gr.update(value=say(label, language), interactive=True)

    all_inputs = [page.language, *inputs]
    clicked = button.click(for_owner(page.context, disable, status), all_inputs, [button, status], **QUEUED)
    exported = clicked.then(
        for_owner(page.context, export, status),
        all_inputs,
        [file, status],
        **QUEUED,
        concurrency_limit=1,
        concurrency_id="export",
        trigger_mode="once",
    )
    exported.success(None, [file, status], None, js=SAVE_FILE_JS)
    exported.then(enable, page.language, button, **UNQUEUED)


def build_page_export(page: Page) -> None:
    """Build Classify's button that exports the selected model as a standalone web page, for the owner, if its packages are installed."""
    context = page.context
    with gr.Row(visible=False, elem_id="own-page-row") as row:
        button = page.bind(gr.Button(size="sm", scale=0, min_width=220, elem_id="own-page"), value="classify.own_page")
        file = gr.DownloadButton(visible="hidden")
        status = gr.HTML(elem_id="own-page-said")

    def make(language: str, model: str | None) -> Path:
        return export_file(context.models.folder(model), context.models.name(model, language), "page", fallback="fruitvision")

    wire_export(page, button, "classify.own_page", make, [page.model], file, status, "train.page_how")

    def show_to_owner(request: gr.Request) -> dict[str, Any]:
        return gr.update(visible=can_export() and context.access.is_owner(request))

    page.demo.load(show_to_owner, None, row, **UNQUEUED)
