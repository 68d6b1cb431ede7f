"""Words in both languages at once, for a page without a server: its own switch hides one of them. Facts are escaped."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from fruitvision.data.fruits import display_name
from fruitvision.report.markup import join, say_html, tag
from fruitvision.wording.text import LANGUAGES, say


class Name(str):
    """A class or a kind of fruit: shown by its Chinese name in Chinese, where it has one."""


def both(key: str, **facts: Any) -> Markup:
    """The sentence of that key in each language, each in a ``<span lang>``."""
    return join(
        tag("span", say_html(key, language, **{name: _spoken(fact, language) for name, fact in facts.items()}), lang=language)
        for language in LANGUAGES
    )


def named(name: str) -> Markup:
    """A class or kind in both languages; once where they are the same."""
    words = {language: display_name(name, language) for language in LANGUAGES}
    if len(set(words.values())) == 1:
        return escape(name)
    return join(tag("span", word, lang=language) for language, word in words.items())


def label(key: str) -> str:
    """The sentence of that key for an attribute, which the switch cannot reach: "Confusion matrix 混淆矩阵"."""
    return " ".join(say(key, language) for language in LANGUAGES)


def hint(name: str) -> str:
    """The same for an attribute, which the switch cannot reach: "Apple 苹果"."""
    return " ".join(dict.fromkeys(display_name(name, language) for language in LANGUAGES))


def _spoken(value: Any, language: str) -> str:
    return display_name(str(value), language) if isinstance(value, Name) else str(value)
