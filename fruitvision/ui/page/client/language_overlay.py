"""The script that switches the language of the visible parts of the page, and covers the page with an overlay meanwhile."""

from __future__ import annotations

from pathlib import Path

from fruitvision.ui.page.scripts import script
from fruitvision.wording.text import LANGUAGES, say

PARTS = {
    "classify": ("panel-classify",),
    "train": ("panel-train",),
    "compare": ("panel-compare",),
    "study": ("panel-compare", "compare-study-tab"),
    "same-picture": ("panel-compare", "compare-same-picture-tab"),
}
"""The parts of the page whose language is switched separately, and the tabs that are selected while a part is visible."""


def language_overlay_script() -> str:
    """JavaScript that hides the page while its texts are in two languages."""
    return script(
        Path(__file__).with_name("language_overlay.js"),
        PARTS=PARTS,
        WORDS={language: say("header.changing", language) for language in LANGUAGES},
    )
