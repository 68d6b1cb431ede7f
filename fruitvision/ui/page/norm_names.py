"""The name and colour of a norm on the page. Without gradio."""

from __future__ import annotations

from fruitvision.models.norms import NORMS
from fruitvision.report.charts import COLOURS
from fruitvision.wording.text import say, sentences


def norm_name(norm: str, language: str) -> str:
    """A norm's name in a language; for a norm that the user registered, its title."""
    key = f"settings.norm.choices.{norm}"
    if key in sentences():
        return say(key, language)
    return NORMS[norm].title if norm in NORMS else norm


def norm_choices(language: str) -> list[tuple[str, str]]:
    """(name, id) of every registered norm."""
    return [(norm_name(norm, language), norm) for norm in NORMS]


def norm_colour(norm: str) -> str:
    """The colour of a norm's curves, the same in every chart."""
    place = list(NORMS).index(norm) if norm in NORMS else -1
    return COLOURS[place % len(COLOURS)]
