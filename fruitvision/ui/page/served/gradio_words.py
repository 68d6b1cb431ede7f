"""The script by which what Gradio's page says by itself follows the page's language, and not the browser's."""

from __future__ import annotations

from pathlib import Path

from fruitvision.ui.page.scripts import script
from fruitvision.wording.text import sentences

RAW = {"common.complete": "complete", "common.error": "error"}
"""Keys that Gradio shows, or has a screen reader say, where its own dictionaries lack a word."""


def gradio_words_script() -> str:
    """JavaScript that puts the words of ``sentences/gradio.toml`` in the place of Gradio's, in whichever of the languages they came."""
    known = {key.partition(".")[2]: words for key, words in sentences().items() if key.startswith("gradio.")}
    return script(Path(__file__).with_name("gradio_words.js"), KNOWN=known, RAW=RAW)
