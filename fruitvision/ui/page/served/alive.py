"""The script by which the page notices that its server went, or was started anew."""

from __future__ import annotations

from pathlib import Path

from fruitvision.ui.page.checked_image import PLACES
from fruitvision.ui.page.scripts import script
from fruitvision.wording.text import LANGUAGES, say

WORDS = ("lost", "reload", "close", "error", "warning", "info", "success", "failed", "waiting", "kind")
TOASTS = (
    ("connection|network|failed to fetch|load failed", ""),  # said at the page's foot
    ("invalid file type|only .* allowed", "kind"),
    ("waiting for", "waiting"),
    ("^error$|could not|exception|not valid|unexpected", "failed"),
)
"""What Gradio's page says by itself, as patterns, and the words in its place; without any, it is not said."""


def alive_script() -> str:
    """JavaScript that asks the server every second and a half whether it is there, and says where it is not."""
    return script(
        Path(__file__).with_name("alive.js"),
        WORDS={language: {word: say(f"alive.{word}", language) for word in WORDS} for language in LANGUAGES},
        TOASTS=TOASTS,
        PLACES=", ".join(f"#{place}" for place in PLACES),
    )
