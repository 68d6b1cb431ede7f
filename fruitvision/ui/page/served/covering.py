"""The script that covers the page while its language changes, and lets the language of each part that is seen follow the header's."""

from __future__ import annotations

import json
from pathlib import Path

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
    opening = "() => {\n"
    _, body = Path(__file__).with_name("covering.js").read_text(encoding="utf-8").split(opening, 1)
    constants = {"PARTS": HEARD_IN, "WORDS": {language: say("header.changing", language) for language in LANGUAGES}}
    return opening + "".join(f"  const {name} = {json.dumps(value)};\n" for name, value in constants.items()) + body
