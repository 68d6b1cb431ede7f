"""Arguments and wrappers of Gradio events: no progress bar, owner-only handlers, and answers with only what changed."""

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

#: Arguments of a Gradio event: no progress bar over the outputs, and no public API endpoint.
QUEUED: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
UNQUEUED: dict[str, Any] = {**QUEUED, "queue": False}
#: For a handler of several events, a change of the language among them: the last event that arrives while the handler runs is handled
#: afterwards. Gradio's default, "once" unless the first event is a change, would drop it.
UNQUEUED_LAST: dict[str, Any] = {**UNQUEUED, "trigger_mode": "always_last"}

Updates = dict[Block, Any]
Seen = tuple[Any, dict[str, int]]
"""What a page displays already: the :func:`fingerprint` of the inputs, and a hash of each value.

Gradio keeps it on the server for each page; hashes bound its size, whatever a client sends.
"""

# Saves the file of a hidden gr.DownloadButton, which was generated on demand. If the handler has shown an error, the button still has the
# file of an earlier request, and nothing is saved.
SAVE_FILE_JS = """(file, said) => {
  if (!file || said?.includes('role="alert"')) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name || "";
  link.click();
}"""


def scroll_to_js(place: str, focus: str | None = "", *, unless: str | None = None, event: str | None = None) -> str:
    """JavaScript that scrolls to the result of a handler and focuses it.

    Args:
        place: CSS selector of the result; it may appear a moment later.
        focus: selector of another element to focus; None leaves the focus where it is.
        unless: selector of the error that the handler shows if it fails: then nothing is scrolled.
        event: name of an event to dispatch on the window first.
    """
    arguments = json.dumps([place, place if focus == "" else focus, unless])
    dispatch = f"window.dispatchEvent(new Event({json.dumps(event)})); " if event else ""
    return f"() => {{ {dispatch}window.fruitvisionScrollIntoView(...{arguments}); }}"


def for_owner(context: Context, action: Callable[..., Updates], error_output: gr.HTML | None = None) -> Callable[..., Any]:
    """Wrap ``action`` in a handler that only the owner may call. Its first input is the language.

    Args:
        action: takes the language and the other inputs, and returns updates by component; may raise FruitVisionError.
        error_output: shows the error, and is cleared otherwise; it must be among the outputs. Without it, errors are toasts.
    """

    def handle(request: gr.Request, language: str, *values: Any) -> Any:
        try:
            context.access.require_owner(request)
            updates = action(language, *values)
        except FruitVisionError as error:
            if error_output is not None:
                return {error_output: notice(error, language)}
            gr.Warning(escape(say_error(error, language)))
            return gr.skip()
        if error_output is not None:
            updates = {error_output: "", **updates}
        return updates or gr.skip()

    handle.__module__, handle.__qualname__, handle.__name__ = action.__module__, action.__qualname__, action.__name__
    return handle


def fingerprint(*values: Any) -> int:
    """A hash of any values, stable within this process."""
    return hash(repr(values))


def changed(values: Mapping[str, Any], seen: Seen | None, key: Any) -> dict[str, Any]:
    """Those of ``values`` that the page does not display yet, and under "seen" what it displays with them.

    Components that did not change keep their state, such as the focus or an open list.
    """
    known = seen[1] if seen else {}
    hashes = {name: fingerprint(value) for name, value in values.items()}
    fresh = {name: value for name, value in values.items() if hashes[name] != known.get(name)}
    return {**fresh, "seen": (key, {**known, **hashes})}


def by_component(components: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """Updates by component instead of by name; gr.skip() if there are none."""
    return {components[name]: value for name, value in values.items()} or gr.skip()
