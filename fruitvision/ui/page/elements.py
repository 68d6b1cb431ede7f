"""Pieces of HTML that several panels show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from fruitvision.errors import FruitVisionError
from fruitvision.report.markup import tag
from fruitvision.wording.text import say_error


def note(words: Any, **attributes: Any) -> Markup:
    """A remark in small letters; empty where there is nothing to say."""
    return tag("p", words, class_="fv-note", **attributes) if words else Markup()


def card(*content: Any) -> Markup:
    """A box that tells how far something is, or what it found."""
    return tag("div", content, class_="fv-data", role="status")


def notice(error: FruitVisionError | Mapping[str, Any], language: str) -> Markup:
    """An error as a sentence under the button that led to it."""
    return tag("div", tag("p", say_error(error, language)), class_="fv-data fv-wrong", role="alert")


def bar(share: float, *, role: str | None = None, label: str | None = None) -> Markup:
    """A horizontal bar, ``share`` 0..1 of it filled; with a ``role``, such as "meter", screen readers know its value."""
    values = {"aria_valuemin": 0, "aria_valuemax": 100, "aria_valuenow": f"{share * 100:.0f}"} if role else {}
    return tag("span", tag("i", style=f"width:{share * 100:.1f}%"), class_="fv-bar", role=role, aria_label=label, **values)


def status(words: Any, state: str = "", progress: float | None = None, **attributes: Any) -> Markup:
    """Where a run or study stands: words, and a bar while it makes ``progress`` (0..1)."""
    # A screen reader announces what has ended by itself; what changes every second, when it is asked.
    role = "status" if progress is None else "group"
    shown = None if progress is None else bar(progress, role="progressbar")
    return tag("div", tag("p", words), shown, class_=f"fv-status fv-run-{state}" if state else "fv-status", role=role, **attributes)


def table(heads: Any, rows: Any, label: str, kind: str = "fv-table") -> Markup:
    """A table; its heads and rows are elements. It scrolls where the page is narrow, by the keyboard too: ``label`` says what scrolls."""
    content = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows))
    return tag("div", content, class_=kind, tabindex=0, role="region", aria_label=label)


def folded(summary: Any, *content: Any, **attributes: Any) -> Markup:
    """What is shown on a click."""
    return tag("details", tag("summary", summary), content, **attributes)
