"""The script that translates Gradio's own texts into the page's language, instead of the browser's."""

from __future__ import annotations

from pathlib import Path

from fruitvision.ui.page.scripts import script
from fruitvision.wording.text import sentences

RAW = {"common.complete": "complete", "common.error": "error"}
"""Translation keys that Gradio displays as they are where its own dictionaries lack a text, with our key for each."""


def gradio_translation_script() -> str:
    """JavaScript that replaces Gradio's texts, in whichever language they are, by those of ``sentences/gradio.toml``."""
    known = {key.partition(".")[2]: words for key, words in sentences().items() if key.startswith("gradio.")}
    return script(Path(__file__).with_name("gradio_translation.js"), KNOWN=known, RAW=RAW)
