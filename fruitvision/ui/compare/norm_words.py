"""What the page calls a norm, and its colour: of one's own norms too, which have no sentences here. No gradio."""

from __future__ import annotations

from html import escape

from fruitvision.models.norms import NORMS
from fruitvision.report.charts import COLOURS
from fruitvision.wording.text import say, sentences


def norm_name(norm: str, language: str) -> str:
    """What a person calls a norm; a norm of one's own goes by the title that it was registered with."""
    key = f"settings.norm.choices.{norm}"
    if key in sentences():
        return say(key, language)
    return NORMS[norm].title if norm in NORMS else norm


def norm_html(norm: str, language: str) -> str:
    """The same within HTML."""
    return escape(norm_name(norm, language))


def norm_choices(language: str) -> list[tuple[str, str]]:
    """(name, id) of every norm that there is."""
    return [(norm_name(norm, language), norm) for norm in NORMS]


def norm_colour(norm: str) -> str:
    """The same one in every drawing."""
    place = list(NORMS).index(norm) if norm in NORMS else -1
    return COLOURS[place % len(COLOURS)]


def described(norm: str) -> bool:
    """Whether there are sentences about it here: about the six that the program brings."""
    return f"compare.{sentence_key(norm)}_shares" in sentences()


def sentence_key(norm: str) -> str:
    """The norm's part of a sentence's key."""
    return norm.replace("-", "_")
