"""HTML elements that several panels use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from fruitvision.errors import FruitVisionError
from fruitvision.report.markup import tag
from fruitvision.wording.text import duration, say, say_error

FEW_SECONDS = 4.5
"""An estimate is not more accurate than that."""


def note(words: Any, **attributes: Any) -> Markup:
    """A note in small type; empty without words."""
    return tag("p", words, class_="fv-note", **attributes) if words else Markup()


def card(*content: Any) -> Markup:
    """A box for progress, or for a result."""
    return tag("div", content, class_="fv-data", role="status")


def notice(error: FruitVisionError | Mapping[str, Any], language: str) -> Markup:
    """An error message, for the place below the button that caused it."""
    return tag("div", tag("p", say_error(error, language)), class_="fv-data fv-wrong", role="alert")


def bar(share: float, *, role: str | None = None, label: str | None = None) -> Markup:
    """A horizontal bar, filled by ``share``, 0..1. With a ``role``, such as "meter", it has its value for screen readers."""
    values = {"aria_valuemin": 0, "aria_valuemax": 100, "aria_valuenow": f"{share * 100:.0f}"} if role else {}
    return tag("span", tag("i", style=f"width:{share * 100:.1f}%"), class_="fv-bar", role=role, aria_label=label, **values)


def status(words: Any, state: str = "", progress: float | None = None, **attributes: Any) -> Markup:
    """The status of a run or study: a text, and a bar for its ``progress``, 0..1."""
    # Screen readers announce a status by themselves; progress changes every second, and is read on demand.
    role = "status" if progress is None else "group"
    shown = None if progress is None else bar(progress, role="progressbar")
    return tag("div", tag("p", words), shown, class_=f"fv-status fv-run-{state}" if state else "fv-status", role=role, **attributes)


def time_left(seconds: float, language: str) -> str:
    """How long work still takes: "About 3 min left.", or that it is only a few seconds."""
    return (
        say("train.time_left", language, time=duration(seconds, language))
        if seconds >= FEW_SECONDS
        else say("train.time_left_few", language)
    )


def table(heads: Any, rows: Any, label: str, kind: str = "fv-table") -> Markup:
    """A table of <th> and <tr> elements. On a narrow page it scrolls, also by keyboard; ``label`` is its accessible name."""
    content = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows))
    return tag("div", content, class_=kind, tabindex=0, role="region", aria_label=label)


def folded(summary: Any, *content: Any, **attributes: Any) -> Markup:
    """A <details> element: collapsed content below a summary."""
    return tag("details", tag("summary", summary), content, **attributes)
