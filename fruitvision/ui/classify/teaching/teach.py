"""Teaching new classes with a few pictures, listing what was taught, and removing it. The script is ``teach.js``.

All functions are for the owner: visitors can neither teach nor see what was taught.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import gradio as gr

from fruitvision.errors import DataError
from fruitvision.files import temporary_folder
from fruitvision.recognition.taught import transfer
from fruitvision.recognition.taught.store import clean_name
from fruitvision.report.markup import tag
from fruitvision.ui.classify.teaching.taught_view import meant_name, name_choices, pictures_of, shown_name, taught_list
from fruitvision.ui.page.client.handlers import Handler, Payload, scripted_component, text
from fruitvision.ui.page.components import data_url_bytes
from fruitvision.ui.page.context import Context, Page
from fruitvision.wording.text import LANGUAGES, say_error

MAX_PICTURE_BYTES = 10 * 2**20
MAX_KEPT_BYTES = 64 * 2**20
"""Maximum size of the last removal's files, which are kept in memory to undo it."""
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
    "learned_same",
    "learned_given",
    "learned_nothing",
    "learned_still",
    "learned_here",
    "moved",
    "moved_all",
    "switched_on",
    "list",
    "list_counts",
    "removed",
    "removed_picture",
    "removed_nothing",
    "undo",
    "export",
    "import",
    "imported",
    "imported_same",
    "over",
    "over_ask",
    "over_yes",
    "cancel",
    "no_camera",
    "lost",
    "no_name",
)


def build_teaching(page: Page) -> gr.HTML:
    """Build the collapsed section below the answer. Its script triggers a click event when answers may have changed."""
    return scripted_component(page.context, "ui/classify/teaching/teach.html", WORDS, HANDLERS, elem_id="classify-teach", prefix="teach")


# Called by the page -----------------------------------------------------------------------------------------------


def taught_state(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """The suggestions for the name field, and the list of what was taught, for a "model"."""
    model = text(payload, "model")
    types = context.models.config(model).types
    try:
        index = context.teaching.store.index()
    except DataError as error:
        wrong = tag("p", say_error(error, language), class_="fv-wrong", role="alert")
        return {"names": "", "kinds": 0, "pictures": 0, "html": wrong}
    return {
        "names": name_choices(index, types, language),
        "kinds": len(index.names),
        "pictures": index.pictures,
        "html": taught_list(index, context.teaching.embeddings(model).pending() if index.pictures else 0, language),
    }


def taught_pictures(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """The pictures of one "name"."""
    return {"html": pictures_of(context.teaching.store, text(payload, "name"), language)}


def teach_picture(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Teach one "image", a data URL, of a "name", and compute its embedding by the selected model.

    Returns the stored name, "taught", and its display "name" in each language; "picture", its id; and "kept", 0 if the name has the
    same picture already. If another name had it, "former" is that name, "former_name" its display name, and "left" the number of
    pictures that it still has; otherwise "former" is empty.
    """
    image = data_url_bytes(payload.get("image"), MAX_PICTURE_BYTES)
    embeddings = context.teaching.embeddings(text(payload, "model"))
    known = (*context.teaching.store.index().names, *embeddings.classifier.types)
    name, before = meant_name(text(payload, "name"), known), context.teaching.store.index()
    pictures = context.teaching.store.add(name, image)
    for picture in pictures:
        embeddings.embed(picture)
    context.teaching.set_undo({})  # undoing a removal could move this picture back to another name
    index, (picture, *_) = context.teaching.store.index(), pictures
    taught, kept = index.name_of(picture), before.new(clean_name(name), pictures)
    former = before.name_of(picture) if kept else ""
    moved = {"former_name": _names(former), "left": len(index.names.get(former, ()))} if former else {}
    return {"name": _names(name), "taught": taught, "kept": kept, "picture": picture, "former": former, **moved}


def take_back_lesson(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Undo :func:`teach_picture` for several pictures of a "name": "pictures" are [{"picture", "former"}].

    A picture that had a former name gets it back; the others are removed. Returns their "count": pictures that were removed, or
    taught under another name, meanwhile are not touched.
    """
    given = payload.get("pictures")
    pairs = [one for one in (given if isinstance(given, list) else []) if isinstance(one, dict)]
    pictures = {text(one, "picture"): text(one, "former") for one in pairs}
    return {"count": context.teaching.store.undo_add(text(payload, "name"), pictures)}


def take_back(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Remove one "picture" by its id, or all pictures of a "name". The last removal can be undone.

    Returns "word", the key of the message, "name" (in each language) and "count", its facts, and "undo", the token for
    :func:`put_back`, empty if the removal cannot be undone. Pictures that are taught, or moved, meanwhile are not removed, since the
    user has not seen them.
    """
    teaching, picture, name = context.teaching, text(payload, "picture"), text(payload, "name")
    index = teaching.store.index()
    if picture:
        name = index.name_of(picture)
        to_remove = (picture,) if name else ()
    else:
        to_remove = index.names.get(name, ())
    removed = teaching.store.remove(name, to_remove, MAX_KEPT_BYTES) if to_remove else None
    if not removed or not removed.pictures:
        return {"word": "removed_nothing", "count": 0}
    undo = teaching.set_undo({name: removed.files} if removed.files else {})
    word = "removed_picture" if picture else "removed"
    return {"word": word, "name": _names(name), "count": len(removed.pictures), "undo": undo}


def _names(name: str) -> dict[str, str]:
    """The display name in each language."""
    return {language: shown_name(name, language) for language in LANGUAGES}


def put_back(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Undo the :func:`take_back` that returned this "undo", once, if nothing was removed or taught since."""
    context.teaching.undo(text(payload, "undo"))
    return {}


def start_over(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Remove everything that was taught."""
    context.teaching.set_undo({})
    context.teaching.store.clear()
    return {}


def export_taught(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Everything that was taught as a ZIP file, base64-encoded. No file remains on the server."""
    with temporary_folder("fruitvision-taught-") as folder:
        path = folder / EXPORT_NAME
        transfer.export_taught(context.teaching.store, path)
        return {"file": base64.b64encode(path.read_bytes()).decode(), "name": EXPORT_NAME}


def import_taught(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Import such a "file", base64-encoded; returns the "word" of the message, and its facts."""
    encoded = text(payload, "file")
    try:
        content = base64.b64decode(encoded, validate=True) if len(encoded) <= MAX_IMPORT_BYTES * 4 // 3 + 4 else b""
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise DataError("taught-no-export", file=text(payload, "called")[:100])
    with temporary_folder("fruitvision-taught-") as folder:
        path = folder / EXPORT_NAME
        path.write_bytes(content)
        before = context.teaching.store.index().pictures
        count = transfer.import_taught(context.teaching.store, path)
        kept = context.teaching.store.index().pictures - before
    context.teaching.set_undo({})
    return {"word": "imported" if kept == count else "imported_same", "count": count, "same": count - kept, "kept": kept}


HANDLERS: tuple[Handler, ...] = (
    taught_state,
    taught_pictures,
    teach_picture,
    take_back_lesson,
    take_back,
    put_back,
    start_over,
    export_taught,
    import_taught,
)
