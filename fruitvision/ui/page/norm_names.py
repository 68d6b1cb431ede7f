"""What the page calls a norm, and its colour; a norm that a person registered has no sentences. No gradio."""

from __future__ import annotations

from fruitvision.models.norms import NORMS
from fruitvision.report.charts import COLOURS
from fruitvision.wording.text import say, sentences


def norm_name(norm: str, language: str) -> str:
    """A norm's name; one that a person registered goes by its title."""
    key = f"settings.norm.choices.{norm}"
    if key in sentences():
        return say(key, language)
    return NORMS[norm].title if norm in NORMS else norm


def norm_choices(language: str) -> list[tuple[str, str]]:
    """(name, id) of every norm that there is."""
    return [(norm_name(norm, language), norm) for norm in NORMS]


def norm_colour(norm: str) -> str:
    """The same one in every chart."""
    place = list(NORMS).index(norm) if norm in NORMS else -1
    return COLOURS[place % len(COLOURS)]
