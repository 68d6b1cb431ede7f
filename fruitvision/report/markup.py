"""HTML and SVG, escaped by default: every value that is put into an element or a template is text, unless it is ``Markup``."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from PIL import Image

from fruitvision.wording.text import say

VOID = {"br", "img", "input", "meta"}
PACKAGE = Path(__file__).parents[1]


def tag(name: str, /, *content: Any, **attributes: Any) -> Markup:
    """An element, such as ``tag("p", words, class_="fv-note", aria_live="polite")``.

    Args:
        content: text, Markup, numbers, or iterables of these; None is left out.
        attributes: ``class_`` loses its underscore, other underscores become hyphens. None and False leave an attribute out,
            True gives it no value, and a float is written with two decimals, the unit of an SVG drawing being a pixel.
    """
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    return Markup(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{join(content)}</{name}>")


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def join(content: Iterable[Any]) -> Markup:
    """The parts one after another, nested iterables too."""
    return Markup("".join(_text(part) for part in content))


def _text(part: Any) -> str:
    if part is None:
        return ""
    return escape(part) if isinstance(part, str) or not isinstance(part, Iterable) else join(part)


def say_html(key: str, language: str, **facts: Any) -> Markup:
    """A sentence that has markup of its own, such as ``<b>`` or a link; its facts are escaped."""
    sentence = Markup(say(key, language))
    return sentence.format_map(facts) if facts else sentence


def data_url(image: Image.Image, kind: str = "JPEG", quality: int = 85) -> str:
    """The picture as the value of an ``src``: ``data:image/jpeg;base64,…``. ``kind`` is Pillow's name of a format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": quality} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(PACKAGE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def render(template: str, /, **values: Any) -> Markup:
    """A Jinja template of the package, by its path in it, such as ``report/report.html``."""
    return Markup(_templates().get_template(template).render(**values))
