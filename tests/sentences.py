"""Whether an error has its sentences."""

from __future__ import annotations

from typing import get_args

from fruitvision.errors import FruitVisionError
from fruitvision.wording.text import LANGUAGES, Place, error_sentence


def is_worded(error: FruitVisionError) -> bool:
    """Whether it says in each language, on the page and at the terminal, what was found and what to do next."""
    return all(error_sentence(error.code, error.facts, language, place) for language in LANGUAGES for place in get_args(Place))
