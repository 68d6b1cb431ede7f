"""What was taught as a person reads it: HTML without gradio. Its buttons are wired by ``teach.js``."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape

from PIL import Image

from fruitvision.data.fruits import display_name
from fruitvision.errors import FruitVisionError
from fruitvision.recognition.taught.store import TaughtIndex, TaughtStore
from fruitvision.recognition.taught_head import NO_FRUIT_NAMES
from fruitvision.wording.text import LANGUAGES, say

THUMBNAIL = 72
MOST_SHOWN = 60
"""Pictures of one name that are shown at most, the last ones taught."""


def spoken_name(name: str, language: str) -> str:
    """A taught name as it is shown; the names of what holds no fruit, and known kinds, follow the language."""
    return say(f"teach.name_{name}", language) if name in NO_FRUIT_NAMES else display_name(name, language)


def meant_name(typed: str, known: Iterable[str]) -> str:
    """The name that a person means: a known one, typed in either language and any capitals, or what was typed."""
    typed = " ".join(typed.split())
    wanted = typed.casefold()
    for name in (*NO_FRUIT_NAMES, *known):
        if wanted == name.casefold() or wanted in {spoken_name(name, language).casefold() for language in LANGUAGES}:
            return name
    return typed


def name_choices(index: TaughtIndex, types: Iterable[str], language: str) -> str:
    """What the field for the name suggests, as <option>s: what was taught already, nothing, and the known kinds."""
    known = sorted(spoken_name(name, language) for name in types)
    taught = [spoken_name(name, language) for name in index.names]
    names = dict.fromkeys([*taught, *(spoken_name(name, language) for name in NO_FRUIT_NAMES), *known])
    return "".join(f'<option value="{escape(name, quote=True)}"></option>' for name in names)


def taught_list(index: TaughtIndex, waiting: int, language: str) -> str:
    """Every name with its number of pictures; the pictures are fetched when a name is opened."""
    if not index.names:
        return f'<p class="fv-note">{say("teach.nothing", language)}</p>'
    rows = "".join(_row(name, len(own), language) for name, own in index.names.items())
    note = f'<p class="fv-note">{say("teach.waiting", language, count=waiting)}</p>' if waiting else ""
    return f'{note}<ul class="fv-taught-names">{rows}</ul>'


def _row(name: str, count: int, language: str) -> str:
    shown, key = escape(spoken_name(name, language)), escape(name, quote=True)
    return (
        f'<li><details data-name="{key}"><summary><span>{shown}</span> <small>{say("teach.count", language, count=count)}</small>'
        f'</summary><div class="fv-taught-pictures"></div><button type="button" data-forget-name="{key}">'
        f"{escape(say('teach.forget_name', language, name=spoken_name(name, language)))}</button></details></li>"
    )


def pictures_of(store: TaughtStore, name: str, language: str) -> str:
    """The pictures of one name, each with the button that takes it back. One that is damaged is shown as such."""
    pictures = store.index().names.get(name, ())
    first = max(len(pictures) - MOST_SHOWN, 0)
    more = f'<p class="fv-note">{say("teach.more", language, count=first)}</p>' if first else ""
    cells = "".join(_picture(store, one, number, language) for number, one in enumerate(pictures[first:], first + 1))
    return f"{more}<div>{cells}</div>"


def _picture(store: TaughtStore, picture: str, number: int, language: str) -> str:
    label = escape(say("teach.forget_picture", language, number=number), quote=True)
    try:
        image = Image.fromarray(store.pixels(picture))
        image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        alt = escape(say("teach.picture", language, number=number), quote=True)
        shown = f'<img alt="{alt}" src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    except FruitVisionError:
        shown = f"<span>{say('teach.damaged', language)}</span>"
    return f'<figure>{shown}<button type="button" data-forget-picture="{picture}" aria-label="{label}" title="{label}">×</button></figure>'
