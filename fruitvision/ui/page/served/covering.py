"""The script that covers the page while its language changes, and lets the language of each part that is seen follow the header's."""

from __future__ import annotations

from pathlib import Path

from fruitvision.ui.page.scripts import script
from fruitvision.wording.text import LANGUAGES, say

HEARD_IN = {
    "classify": ("panel-classify",),
    "train": ("panel-train",),
    "compare": ("panel-compare",),
    "race": ("panel-compare", "compare-race-tab"),
    "together": ("panel-compare", "compare-together-tab"),
}
"""The parts of the page that have a language of their own, and the tabs that are open where a part is seen."""


def covering_script() -> str:
    """JavaScript that shows no word of a page while some are of one language and some of another."""
    return script(
        Path(__file__).with_name("covering.js"),
        PARTS=HEARD_IN,
        WORDS={language: say("header.changing", language) for language in LANGUAGES},
    )
