"""The script that scrolls to the result of a click and focuses it."""

from __future__ import annotations

from pathlib import Path

SCROLL_INTO_VIEW = Path(__file__).with_name("scroll_into_view.js").read_text(encoding="utf-8")
"""Defines the function that ``events.show`` calls."""
