"""Buttons that make a file and hand it out: they say so while it is made. The owner's alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.report.markup import tag
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.elements import card
from fruitvision.ui.page.events import QUIET, SAVE_FILE, SHOWN, Updates, for_owner
from fruitvision.ui.page.export.files import exported
from fruitvision.wording.text import say


def hands_out(
    page: Page,
    button: gr.Button,
    label: str,
    make: Callable[..., Path],
    inputs: list[Any],
    file: gr.DownloadButton,
    said: gr.HTML,
    after: str,
) -> None:
    """A click on ``button`` makes a file, one at a time in the whole app, and the browser saves it.

    Args:
        label: the key of the button's words.
        make: gets the language and ``inputs``.
        file: a hidden button, by which the browser fetches it.
        said: shows what went wrong, or ``after``, the key of what to do with the file.
    """

    def busy(language: str, *values: Any) -> Updates:
        return {button: gr.update(value=say("train.making", language), interactive=False)}

    def made(language: str, *values: Any) -> Updates:
        return {file: str(make(language, *values)), said: card(tag("p", say(after, language)))}

    def again(language: str) -> Any:
        return gr.update(value=say(label, language), interactive=True)

    given = [page.language, *inputs]
    begun = button.click(for_owner(page.context, busy, said), given, [button, said], **SHOWN)
    handed = begun.then(
        for_owner(page.context, made, said), given, [file, said], **SHOWN, concurrency_limit=1, concurrency_id="export", trigger_mode="once"
    )
    handed.success(None, [file, said], None, js=SAVE_FILE)
    handed.then(again, page.language, button, **QUIET)


def build_own_page(page: Page) -> None:
    """Classify's button: the network that answers, as a standalone web page. Hidden from visitors."""
    context = page.context
    with gr.Row(visible=False, elem_id="own-page-row") as row:
        button = page.bind(gr.Button(size="sm", scale=0, min_width=220, elem_id="own-page"), value="classify.own_page")
        file = gr.DownloadButton(visible="hidden")
        said = gr.HTML(elem_id="own-page-said")

    def make(language: str, model: str | None) -> Path:
        return exported(context.models.folder(model), context.models.name(model, language), "page", otherwise="fruitvision")

    hands_out(page, button, "classify.own_page", make, [page.model], file, said, "train.page_how")

    def greet(request: gr.Request) -> dict[str, Any]:
        return gr.update(visible=context.access.is_owner(request))

    page.demo.load(greet, None, row, **QUIET)
