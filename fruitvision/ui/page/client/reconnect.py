"""The script that notices when the server is unreachable or was restarted."""

from __future__ import annotations

from pathlib import Path

from fruitvision.ui.page.components import PICTURE_IDS
from fruitvision.ui.page.scripts import script
from fruitvision.wording.text import LANGUAGES, say

WORDS = ("lost", "reload", "close", "error", "warning", "info", "success", "failed", "waiting", "kind")
TOASTS = (
    ("connection|network|failed to fetch|load failed", ""),  # the banner says it
    ("invalid file type|only .* allowed", "kind"),
    ("waiting for", "waiting"),
    ("^error$|could not|exception|not valid|unexpected", "failed"),
)
"""Patterns of Gradio's own toasts, and the key of the message that replaces each; those with an empty key are closed."""


def reconnect_script() -> str:
    """JavaScript that polls the server and shows a banner while it does not answer."""
    return script(
        Path(__file__).with_name("reconnect.js"),
        WORDS={language: {word: say(f"alive.{word}", language) for word in WORDS} for language in LANGUAGES},
        TOASTS=TOASTS,
        PICTURE_SELECTOR=", ".join(f"#{place}" for place in PICTURE_IDS),
    )
