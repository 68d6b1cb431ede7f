"""HTML components whose script calls Python functions for the owner. ``shared.js`` is prepended to each script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from fruitvision.errors import FruitVisionError
from fruitvision.report.markup import render
from fruitvision.ui.page.context import Context
from fruitvision.wording.text import LANGUAGES, say, say_error

Payload = dict[str, Any]
"""The JSON that a script sends; the page's "language" and "model" are in it."""
Handler = Callable[[Context, Payload, str], dict[str, Any]]
"""Takes what was sent and a valid language, and returns JSON; may raise FruitVisionError."""


def scripted_component(
    context: Context, template: str, words: Iterable[str], handlers: Iterable[Handler], *, elem_id: str, prefix: str, **values: Any
) -> gr.HTML:
    """A component whose script fills it in and calls ``handlers``.

    Args:
        template: the path of its HTML in the package; the script has the same name with the suffix ``.js``.
        words: keys of the sentences that the script shows, below ``prefix``, such as "teach".
        values: further values for the template.
    """
    script = Path(__file__).parents[3] / template
    return gr.HTML(
        html_template=scripted_html(template, words, prefix, **values),
        js_on_load="\n".join(
            path.read_text(encoding="utf-8") for path in (Path(__file__).with_name("shared.js"), script.with_suffix(".js"))
        ),
        server_functions=[_endpoint(context, handler) for handler in handlers],
        elem_id=elem_id,
    )


def scripted_html(template: str, words: Iterable[str], prefix: str, **values: Any) -> Markup:
    """The component's HTML with its sentences in every language; ``shared.js`` displays those of the page's."""
    keys = list(words)
    sentences = {language: {word.replace("_", "-"): say(f"{prefix}.{word}", language) for word in keys} for language in LANGUAGES}
    return render(template, words_by_language=sentences, **values)


def call(context: Context, handler: Handler, payload: Any, request: Any) -> dict[str, Any]:
    """Run a handler for the owner. Its errors, and the refusal of visitors, are returned as a sentence under "error"."""
    payload = payload if isinstance(payload, dict) else {}
    language = context.valid_language(payload.get("language"))
    try:
        context.access.require_owner(request)
        return handler(context, payload, language)
    except FruitVisionError as error:
        return {"error": say_error(error, language), "code": error.code}


def text(payload: Payload, key: str) -> str:
    """A string of what was sent; empty if it is missing or of another type."""
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def _endpoint(context: Context, handler: Handler) -> Callable:
    def serve(payload: Any, request: gr.Request) -> dict[str, Any]:
        return call(context, handler, payload, request)

    serve.__name__ = handler.__name__  # the name that the script calls
    return serve
