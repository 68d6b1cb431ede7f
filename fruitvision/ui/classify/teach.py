"""Not right? Tell me what it is: teaching a few pictures, seeing what was taught, and taking it back.

The page's side is ``teach.js``. Each call is short and asks for the owner: a visitor neither teaches nor sees anything.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.errors import DataError, FruitVisionError
from fruitvision.files import temporary_folder
from fruitvision.recognition.taught import transfer
from fruitvision.ui.classify.taught_view import meant_name, name_choices, pictures_of, spoken_name, taught_list
from fruitvision.ui.page.checked_image import data_url_bytes
from fruitvision.ui.page.context import Context, Page
from fruitvision.wording.text import LANGUAGES, say, say_error, sentences

MAX_PICTURE_BYTES = 4 * 2**20
MAX_IMPORT_BYTES = 256 * 2**20
EXPORT_NAME = "fruitvision-taught.zip"
WORDS = (
    "title",
    "lead",
    "name",
    "name_hint",
    "this",
    "no_picture",
    "frames",
    "turn",
    "frames_left",
    "drop",
    "seeing",
    "learned",
    "list",
    "list_counts",
    "export",
    "import",
    "over",
    "over_ask",
    "over_yes",
    "cancel",
    "no_camera",
    "lost",
    "no_name",
)


def build_teaching(page: Page) -> gr.HTML:
    """The folded part below the answer. It is clicked, by its script, when answers may have changed."""
    teaching = gr.HTML(
        html_template=teach_view(),
        js_on_load=Path(__file__).with_name("teach.js").read_text(encoding="utf-8"),
        server_functions=[_served(page.context, handler) for handler in HANDLERS],
        elem_id="classify-teach",
    )
    teaching.api_name = False
    return teaching


def teach_view() -> str:
    """The part's HTML; ``teach.js`` fills in the words, in the language of the moment, and shows it to the owner."""
    known = sentences()
    words = "".join(
        f'<template data-language="{lang}" '
        + " ".join(f'data-{w.replace("_", "-")}="{escape(known[f"teach.{w}"][lang], quote=True)}"' for w in WORDS)
        + "></template>"
        for lang in LANGUAGES
    )
    return (
        f'<details class="fv-teach" hidden>{words}<summary data-say="title"></summary><p class="fv-note" data-say="lead"></p>'
        '<label class="fv-teach-name"><span data-say="name"></span>'
        '<input type="text" list="fv-teach-names" maxlength="100" autocomplete="off" data-hint="name_hint">'
        '<datalist id="fv-teach-names"></datalist></label>'
        '<div class="fv-teach-ways"><button type="button" class="fv-teach-frames" data-say="frames"></button>'
        '<button type="button" class="fv-teach-this" data-say="this"></button>'
        '<label class="fv-teach-drop"><input type="file" accept="image/*" multiple><span data-say="drop"></span></label></div>'
        '<p class="fv-teach-said" role="status"></p>'
        '<details class="fv-taught"><summary></summary><div class="fv-taught-list"></div>'
        '<div class="fv-taught-buttons"><button type="button" class="fv-taught-export" data-say="export"></button>'
        '<label class="fv-taught-import"><input type="file" accept=".zip"><span data-say="import"></span></label>'
        '<button type="button" class="fv-taught-over" data-say="over"></button></div>'
        '<div class="fv-taught-sure" role="alert" hidden><p data-say="over_ask"></p>'
        '<button type="button" class="fv-taught-yes" data-say="over_yes"></button>'
        '<button type="button" class="fv-taught-no" data-say="cancel"></button></div></details></details>'
    )


# What the page may call ------------------------------------------------------------------------------------------

Given = dict[str, Any]
Handler = Callable[[Context, Given, str], dict[str, Any]]


def taught_state(context: Context, given: Given, language: str) -> dict[str, Any]:
    """The names that the field suggests, and the list of what was taught, for a "model"."""
    lessons = context.lessons.of(_text(given, "model"))
    types = lessons.classifier.types
    try:
        index = context.lessons.store.index()
    except DataError as error:
        wrong = f'<p class="fv-wrong" role="alert">{escape(say_error(error, language))}</p>'
        return {"names": "", "kinds": 0, "pictures": 0, "html": wrong}
    return {
        "names": name_choices(index, types, language),
        "kinds": len(index.names),
        "pictures": index.pictures,
        "html": taught_list(index, lessons.pending(), language),
    }


def taught_pictures(context: Context, given: Given, language: str) -> dict[str, Any]:
    """The pictures of one "name"."""
    return {"html": pictures_of(context.lessons.store, _text(given, "name"), language)}


def teach_picture(context: Context, given: Given, language: str) -> dict[str, Any]:
    """Teach one "image", a data URL, of a "name"; the model of the moment looks at it at once."""
    image = data_url_bytes(given.get("image"), MAX_PICTURE_BYTES)
    lessons = context.lessons.of(_text(given, "model"))
    known = (*context.lessons.store.index().names, *lessons.classifier.types)
    name = meant_name(_text(given, "name"), known)
    for picture in context.lessons.store.add(name, image):
        lessons.embed(picture)
    return {"name": spoken_name(name, language)}


def take_back(context: Context, given: Given, language: str) -> dict[str, Any]:
    """Take back one "picture" by its id, or all of a "name"."""
    if _text(given, "picture"):
        context.lessons.store.remove_picture(_text(given, "picture"))
    elif _text(given, "name"):
        context.lessons.store.remove_name(_text(given, "name"))
    return {}


def start_over(context: Context, given: Given, language: str) -> dict[str, Any]:
    """Take everything back."""
    context.lessons.store.clear()
    return {}


def export_taught(context: Context, given: Given, language: str) -> dict[str, Any]:
    """All that was taught as one zip, in base64. It is not left on the server."""
    with temporary_folder("fruitvision-taught-") as folder:
        path = folder / EXPORT_NAME
        transfer.export_taught(context.lessons.store, path)
        return {"file": base64.b64encode(path.read_bytes()).decode(), "name": EXPORT_NAME}


def import_taught(context: Context, given: Given, language: str) -> dict[str, Any]:
    """Add what such a "file" holds, in base64."""
    encoded = _text(given, "file")
    try:
        content = base64.b64decode(encoded, validate=True) if len(encoded) <= MAX_IMPORT_BYTES * 4 // 3 + 4 else b""
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise DataError(
            "taught-no-export",
            "The file holds nothing that was taught with FruitVision.",
            "Choose a file that was exported there.",
            file=_text(given, "called")[:100],
        )
    with temporary_folder("fruitvision-taught-") as folder:
        path = folder / EXPORT_NAME
        path.write_bytes(content)
        count = transfer.import_taught(context.lessons.store, path)
    return {"said": say("teach.imported", language, count=count)}


HANDLERS: tuple[Handler, ...] = (
    taught_state,
    taught_pictures,
    teach_picture,
    take_back,
    start_over,
    export_taught,
    import_taught,
)


def call(context: Context, handler: Handler, given: Any, request: Any) -> dict[str, Any]:
    """Run a handler for the owner. Its errors, and the refusal of a visitor, come back as a sentence under "error"."""
    given = given if isinstance(given, dict) else {}
    language = given.get("language")
    language = language if isinstance(language, str) and language in LANGUAGES else context.language
    try:
        context.access.require_owner(request)
        return handler(context, given, language)
    except FruitVisionError as error:
        return {"error": say_error(error, language), "code": error.code}


def _served(context: Context, handler: Handler) -> Callable:
    def serve(given: Any, request: gr.Request) -> dict[str, Any]:
        return call(context, handler, given, request)

    serve.__name__ = handler.__name__  # the name that teach.js calls
    return serve


def _text(given: Given, key: str) -> str:
    value = given.get(key)
    return value if isinstance(value, str) else ""
