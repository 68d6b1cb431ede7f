"""Collecting pictures of classes ("kinds") with the camera, or from files, with one card per kind. Its script is ``collect.js``.

The pictures are kept in a store of their own, like those taught in Classify, and written as a folder of class folders when they
are used for training.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from fruitvision.errors import DataError, FruitVisionError
from fruitvision.recognition.taught.store import clean_name, encoded
from fruitvision.recognition.taught.transfer import add_taught, write_collected
from fruitvision.report.markup import data_url
from fruitvision.ui.page.client.handlers import Handler, Payload, scripted_component, text
from fruitvision.ui.page.components import data_url_bytes
from fruitvision.ui.page.context import Context, Page
from fruitvision.wording.text import say_error

FOLDER = "collected"
MAX_PICTURE_BYTES = 10 * 2**20
MAX_IMAGES_PER_CALL = 16
THUMBNAIL, MAX_THUMBNAILS = 96, 24
WORDS = (
    "lead",
    "kind",
    "name",
    "name_hint",
    "record",
    "recording",
    "drop",
    "forget_kind",
    "forget_picture",
    "count",
    "taken",
    "given",
    "added",
    "add",
    "taught",
    "use",
    "ready",
    "two_kinds",
    "same",
    "adding",
    "no_camera",
    "video",
    "lost",
)


def build_collect(page: Page) -> gr.HTML:
    """Build the cards. The script triggers a click event when the pictures are to be used for training."""
    return scripted_component(page.context, "ui/train/pictures/collect.html", WORDS, HANDLERS, elem_id="train-collect", prefix="collect")


def collect_state(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """All kinds with their names, numbers of pictures, and the last pictures as thumbnails."""
    store = context.collected
    kinds = []
    for name, pictures in store.index().names.items():
        shown = [{"id": one, "url": _thumbnail(context, one)} for one in pictures[-MAX_THUMBNAILS:]]
        kinds.append({"name": name, "count": len(pictures), "pictures": shown})
    taught = context.teaching.store.index().pictures
    return {"kinds": kinds, "taught": taught}


def _thumbnail(context: Context, picture: str) -> str:
    try:
        image = Image.fromarray(context.collected.pixels(picture))
    except FruitVisionError:  # damaged, or removed meanwhile: a placeholder that the user can remove
        image = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "#ccc")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return data_url(image, quality=80)


def collect_add(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Add "images", a list of data URLs, to the kind "name". "refused" is the error of those that cannot be read.

    "kept" is how many of them the kind did not have yet, "counts" the pictures of every kind, from which some may have moved.
    """
    name = clean_name(text(payload, "name"))
    name = next((own for own in context.collected.index().names if own.casefold() == name.casefold()), name)  # the spelling that is kept
    images = payload.get("images")
    files, refused = {}, ""
    ids: list[str | None] = []
    for image in (images if isinstance(images, list) else [])[:MAX_IMAGES_PER_CALL]:
        try:
            picture, content = encoded(data_url_bytes(image, MAX_PICTURE_BYTES))
            files[picture] = content
            ids.append(picture)
        except DataError as error:
            refused = say_error(error, language)
            ids.append(None)
    kept = context.collected.index().new(name, files)
    if files:
        context.collected.add_all({name: files})
    counts = {own: len(pictures) for own, pictures in context.collected.index().names.items()}
    return {"name": name, "ids": ids, "count": counts.get(name, 0), "kept": kept, "refused": refused, "counts": counts}


def collect_remove(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Remove one "picture" by its id, or all of the kind "name"."""
    if text(payload, "picture"):
        context.collected.remove_picture(text(payload, "picture"))
    elif text(payload, "name"):
        context.collected.remove_name(text(payload, "name"))
    return {}


def collect_rename(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Rename the kind "name" to "to"."""
    return {"name": context.collected.rename(text(payload, "name"), text(payload, "to"))}


def collect_taught(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Add everything that was taught in Classify; "count" pictures, of which "kept" were not here yet."""
    before = context.collected.index().pictures
    count = add_taught(context.teaching.store, context.collected)
    if not count:
        raise DataError("nothing-taught")
    return {"count": count, "kept": context.collected.index().pictures - before}


def collect_use(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """Write the pictures as a folder of class folders; "choice" is the id of that dataset."""
    if len(context.collected.index().names) < 2:
        raise DataError("collected-one-kind")
    context.datasets.latest = f"folder:{write_collected(context.collected, context.datasets.import_folder / FOLDER).name}"
    return {"choice": context.datasets.latest}


HANDLERS: tuple[Handler, ...] = (collect_state, collect_add, collect_remove, collect_rename, collect_taught, collect_use)
