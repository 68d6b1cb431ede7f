"""Words in both languages at once, for a page that stands alone: HTML that its own switch shows one half of.

Everything that is filled in is escaped here, once: what a person wrote can never become markup.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from fruitvision.data.fruits import display_name
from fruitvision.wording.text import LANGUAGES, say


class Name(str):
    """A class or a kind of fruit: shown by its Chinese name in Chinese, where it has one."""


def both(key: str, **facts: Any) -> str:
    """The sentence of that key in each language, each in a ``<span lang>``. Facts are escaped."""
    return _spans(lambda language: say(key, language, **{k: escape(_spoken(v, language)) for k, v in facts.items()}))


def named(name: str) -> str:
    """A class or kind in both languages; once where they are the same."""
    words = {language: display_name(name, language) for language in LANGUAGES}
    if len(set(words.values())) == 1:
        return escape(name)
    return _spans(lambda language: escape(words[language]))


def hint(name: str) -> str:
    """The same for an attribute, which knows no switch: "Apple 苹果". Escaped, quotation marks too."""
    return escape(" ".join(dict.fromkeys(display_name(name, language) for language in LANGUAGES)), quote=True)


def _spans(words: Callable[[str], str]) -> str:
    return "".join(f'<span lang="{language}">{words(language)}</span>' for language in LANGUAGES)


def _spoken(value: Any, language: str) -> str:
    return display_name(str(value), language) if isinstance(value, Name) else str(value)
