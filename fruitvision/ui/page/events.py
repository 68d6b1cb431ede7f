"""How a panel calls the server: without a progress bar, for the owner alone, and sending back only what changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Block
from markupsafe import escape

from fruitvision.errors import FruitVisionError
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.elements import notice
from fruitvision.wording.text import say_error

#: Arguments of a Gradio event: no progress bar over the outputs, no public API endpoint; QUIET passes by the queue.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
SHOWN: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
#: As QUIET, for a handler of several events, changes of the language among them: what comes while one is answered is answered last, where
#: Gradio's "once", which it takes if the first event is no change, would leave it out.
QUIET_LAST: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}

Updates = dict[Block, Any]
Seen = tuple[Any, dict[str, int]]
"""What a page shows already: the :func:`fingerprint` of what it was computed from, and a hash of each value.

The server keeps it for each page: hashes alone, or whoever sends a long text would have it kept.
"""

# Saves the file of a gr.DownloadButton that was made when it was asked for: what lies ready on the server is deleted after a while.
# Where an error is shown, by a handler with such a place, the file is the one that was asked for before.
SAVE_FILE = """(file, said) => {
  if (!file || said?.includes('role="alert"')) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name || "";
  link.click();
}"""


def show(place: str, focus: str | None = "", *, unless: str | None = None, event: str | None = None) -> str:
    """JavaScript that brings what a handler led to into view, and gives it the focus.

    Args:
        place: its CSS selector; it may be a moment before it is there.
        focus: of an element in it that gets the focus instead; None leaves the focus where it is.
        unless: of what is seen where the handler failed, as an error beside its button: then nothing moves.
        event: the name of an event that the scripts of the page hear first.
    """
    given = json.dumps([place, place if focus == "" else focus, unless])
    heard = f"window.dispatchEvent(new Event({json.dumps(event)})); " if event else ""
    return f"() => {{ {heard}window.fruitvisionScrollIntoView(...{given}); }}"


def for_owner(context: Context, action: Callable[..., Updates], said: gr.HTML | None = None) -> Callable[..., Any]:
    """A handler that lets the owner alone do something.

    Args:
        action: gets the language and the other inputs, and returns updates by component; it may raise FruitVisionError.
        said: where an error is shown, and cleared otherwise; by default in a toast. It has to be among the outputs.

    The handler's first input is the language.
    """

    def handle(request: gr.Request, language: str, *values: Any) -> Any:
        try:
            context.access.require_owner(request)
            updates = action(language, *values)
        except FruitVisionError as error:
            if said is not None:
                return {said: notice(error, language)}
            gr.Warning(escape(say_error(error, language)))
            return gr.skip()
        if said is not None:
            updates = {said: "", **updates}
        return updates or gr.skip()

    handle.__module__, handle.__qualname__, handle.__name__ = action.__module__, action.__qualname__, action.__name__
    return handle


def fingerprint(*shown: Any) -> int:
    """The same number for the same values in this process, of the same size however large they are."""
    return hash(repr(shown))


def changed(values: Mapping[str, Any], seen: Seen | None, key: Any) -> dict[str, Any]:
    """Those of ``values`` that the page does not show yet, and what it shows then, under "seen".

    So a button keeps the focus, and a list stays open, while a curve beside it grows.
    """
    known = seen[1] if seen else {}
    hashes = {name: fingerprint(value) for name, value in values.items()}
    fresh = {name: value for name, value in values.items() if hashes[name] != known.get(name)}
    return {**fresh, "seen": (key, {**known, **hashes})}


def by_component(components: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """Updates of the components of these names; nothing is changed where there are none."""
    return {components[name]: value for name, value in values.items()} or gr.skip()
