"""Teaching the network a few pictures of a kind, listing what was taught, and removing it.

The browser's side is ``teach.js``. Every call is for the owner: a visitor neither teaches nor sees anything.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from fruitvision.errors import DataError, FruitVisionError
from fruitvision.files import temporary_folder
from fruitvision.recognition.taught import transfer
from fruitvision.report.markup import render, tag
from fruitvision.ui.classify.taught_view import meant_name, name_choices, pictures_of, spoken_name, taught_list
from fruitvision.ui.page.checked_image import data_url_bytes
from fruitvision.ui.page.context import Context, Page
from fruitvision.wording.text import LANGUAGES, say, say_error

MAX_PICTURE_BYTES = 10 * 2**20
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
    return gr.HTML(
        html_template=teach_view(),
        js_on_load=Path(__file__).with_name("teach.js").read_text(encoding="utf-8"),
        server_functions=[_served(page.context, handler) for handler in HANDLERS],
        elem_id="classify-teach",
    )


def teach_view() -> Markup:
    """The part's HTML; ``teach.js`` fills in the words, in the page's language, and shows it to the owner."""
    words = {language: {word.replace("_", "-"): say(f"teach.{word}", language) for word in WORDS} for language in LANGUAGES}
    return render("ui/classify/teach.html", words_by_language=words)


# What the page may call ------------------------------------------------------------------------------------------

Given = dict[str, Any]
Handler = Callable[[Context, Given, str], dict[str, Any]]


def taught_state(context: Context, given: Given, language: str) -> dict[str, Any]:
    """The names that the field suggests, and the list of what was taught, for a "model"."""
    lessons = context.teaching.of(_text(given, "model"))
    types = lessons.classifier.types
    try:
        index = context.teaching.store.index()
    except DataError as error:
        wrong = tag("p", say_error(error, language), class_="fv-wrong", role="alert")
        return {"names": "", "kinds": 0, "pictures": 0, "html": wrong}
    return {
        "names": name_choices(index, types, language),
        "kinds": len(index.names),
        "pictures": index.pictures,
        "html": taught_list(index, lessons.pending(), language),
    }


def taught_pictures(context: Context, given: Given, language: str) -> dict[str, Any]:
    """The pictures of one "name"."""
    return {"html": pictures_of(context.teaching.store, _text(given, "name"), language)}


def teach_picture(context: Context, given: Given, language: str) -> dict[str, Any]:
    """Teach one "image", a data URL, of a "name"; the chosen model's features of it are computed at once."""
    image = data_url_bytes(given.get("image"), MAX_PICTURE_BYTES)
    lessons = context.teaching.of(_text(given, "model"))
    known = (*context.teaching.store.index().names, *lessons.classifier.types)
    name = meant_name(_text(given, "name"), known)
    for picture in context.teaching.store.add(name, image):
        lessons.embed(picture)
    return {"name": spoken_name(name, language)}


def take_back(context: Context, given: Given, language: str) -> dict[str, Any]:
    """Remove one "picture" by its id, or all of a "name"."""
    if _text(given, "picture"):
        context.teaching.store.remove_picture(_text(given, "picture"))
    elif _text(given, "name"):
        context.teaching.store.remove_name(_text(given, "name"))
    return {}


def start_over(context: Context, given: Given, language: str) -> dict[str, Any]:
    """Remove everything."""
    context.teaching.store.clear()
    return {}


def export_taught(context: Context, given: Given, language: str) -> dict[str, Any]:
    """All that was taught as one zip, in base64. No file stays on the server."""
    with temporary_folder("fruitvision-taught-") as folder:
        path = folder / EXPORT_NAME
        transfer.export_taught(context.teaching.store, path)
        return {"file": base64.b64encode(path.read_bytes()).decode(), "name": EXPORT_NAME}


def import_taught(context: Context, given: Given, language: str) -> dict[str, Any]:
    """Add the contents of such a "file", in base64."""
    encoded = _text(given, "file")
    try:
        content = base64.b64decode(encoded, validate=True) if len(encoded) <= MAX_IMPORT_BYTES * 4 // 3 + 4 else b""
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise DataError("taught-no-export", file=_text(given, "called")[:100])
    with temporary_folder("fruitvision-taught-") as folder:
        path = folder / EXPORT_NAME
        path.write_bytes(content)
        count = transfer.import_taught(context.teaching.store, path)
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
    """Run a handler for the owner. Its errors, and the refusal of a visitor, are returned as a sentence under "error"."""
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
