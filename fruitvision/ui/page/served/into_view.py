"""The script that brings what a click led to into view."""

from __future__ import annotations

from pathlib import Path

INTO_VIEW = Path(__file__).with_name("into_view.js").read_text(encoding="utf-8")
"""Defines what ``events.show`` calls."""
