"""How a panel calls the server, and how it shows an error of ours: the same for all panels."""

from __future__ import annotations

from html import escape
from typing import Any

from fruitvision.errors import FruitVisionError
from fruitvision.wording.text import say_error

#: Arguments of a Gradio event: no progress bar over the outputs, no public API endpoint; QUIET passes by the queue.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
SHOWN: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def notice(error: FruitVisionError, language: str) -> str:
    """An error as a sentence under the button that led to it."""
    return f'<div class="fv-data fv-wrong" role="alert"><p>{escape(say_error(error, language))}</p></div>'
