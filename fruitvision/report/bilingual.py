"""Text in both languages, for a page without a server whose language switch hides one of them. Facts are escaped."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from fruitvision.data.fruits import display_name
from fruitvision.report.markup import join, say_html, tag
from fruitvision.wording.text import LANGUAGES, say


class Name(str):
    """The name of a class or fruit type, which is translated to Chinese if its Chinese name is known."""


def bilingual(key: str, **facts: Any) -> Markup:
    """The sentence of that key in each language, each in a ``<span lang>``."""
    return join(
        tag("span", say_html(key, language, **{name: _localized(fact, language) for name, fact in facts.items()}), lang=language)
        for language in LANGUAGES
    )


def bilingual_name(name: str) -> Markup:
    """A name in both languages; only once if they are the same."""
    words = {language: display_name(name, language) for language in LANGUAGES}
    if len(set(words.values())) == 1:
        return escape(name)
    return join(tag("span", word, lang=language) for language, word in words.items())


def plain_label(key: str, language: str | None = None) -> str:
    """The sentence of that key for an attribute; without a language, in both: "Confusion matrix 混淆矩阵"."""
    return " ".join(say(key, one) for one in ([language] if language else LANGUAGES))


def plain_name(name: str, language: str | None = None) -> str:
    """A name for an attribute; without a language, in both: "Apple 苹果"."""
    return " ".join(dict.fromkeys(display_name(name, one) for one in ([language] if language else LANGUAGES)))


def _localized(value: Any, language: str) -> str:
    return display_name(str(value), language) if isinstance(value, Name) else str(value)
