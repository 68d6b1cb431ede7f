"""The taught names and pictures as HTML. Without gradio; ``teach.js`` handles the buttons."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup
from PIL import Image

from fruitvision.data.fruits import NO_FRUIT_NAMES, display_name
from fruitvision.errors import FruitVisionError
from fruitvision.recognition.taught.store import TaughtIndex, TaughtStore
from fruitvision.report.markup import data_url, join, tag
from fruitvision.ui.page.elements import folded, note
from fruitvision.wording.text import LANGUAGES, say

THUMBNAIL = 72
MAX_SHOWN = 60
"""Maximum pictures of one name that are shown; the last ones taught."""


def shown_name(name: str, language: str) -> str:
    """The display name of a taught name, or of a fruit type; the names for no fruit, and known fruits, are translated."""
    return say(f"teach.name_{name}", language) if name in NO_FRUIT_NAMES else display_name(name, language)


def meant_name(typed: str, known: Iterable[str]) -> str:
    """The known name that was typed, in either language, ignoring case; otherwise the typed name itself."""
    typed = " ".join(typed.split())
    folded_name = typed.casefold()
    for name in (*NO_FRUIT_NAMES, *known):
        if folded_name == name.casefold() or folded_name in {shown_name(name, language).casefold() for language in LANGUAGES}:
            return name
    return typed


def name_choices(index: TaughtIndex, types: Iterable[str], language: str) -> Markup:
    """The suggestions of the name field, as <option>s: the taught names, the names for no fruit, and the known fruits."""
    known = sorted(shown_name(name, language) for name in types)
    taught = [shown_name(name, language) for name in index.names]
    names = dict.fromkeys([*taught, *(shown_name(name, language) for name in NO_FRUIT_NAMES), *known])
    return join(tag("option", value=name) for name in names)


def taught_list(index: TaughtIndex, pending: int, language: str) -> Markup:
    """All taught names with their numbers of pictures, which are loaded when a name is opened.

    ``pending``: number of pictures without embeddings.
    """
    if not index.names:
        return note(say("teach.nothing", language))
    rows = [_row(name, len(own), language) for name, own in index.names.items()]
    pending_note = note(say("teach.waiting", language, count=pending)) if pending else None
    return join([pending_note, tag("ul", rows, class_="fv-taught-names")])


def _row(name: str, count: int, language: str) -> Markup:
    shown = shown_name(name, language)
    summary = [tag("span", shown), " ", tag("small", say("teach.count", language, count=count))]
    forget = tag("button", say("teach.forget_name", language, name=shown), type="button", data_forget_name=name)
    return tag("li", folded(summary, tag("div", class_="fv-taught-pictures"), forget, data_name=name))


def pictures_of(store: TaughtStore, name: str, language: str) -> Markup:
    """The pictures of one name, each with a button to remove it; for a damaged one, a text."""
    pictures = store.index().names.get(name, ())
    first = max(len(pictures) - MAX_SHOWN, 0)
    more = note(say("teach.more", language, count=first)) if first else None
    return join([more, tag("div", (_picture(store, one, number, language) for number, one in enumerate(pictures[first:], first + 1)))])


def _picture(store: TaughtStore, picture: str, number: int, language: str) -> Markup:
    try:
        image = Image.fromarray(store.pixels(picture))
        image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
        shown = tag("img", alt=say("teach.picture", language, number=number), src=data_url(image, quality=80))
    except FruitVisionError:
        shown = tag("span", say("teach.damaged", language))
    label = say("teach.forget_picture", language, number=number)
    return tag("figure", shown, tag("button", "×", type="button", data_forget_picture=picture, aria_label=label, title=label))
