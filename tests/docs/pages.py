"""The pages of the documentation, as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
ENGLISH = [PROJECT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if not path.name.endswith(".zh.md"))]
TUTORIAL = ("dataset", "augmentation", "standardization", "batch-norm", "weight-decay", "gradient-clipping", "adam", "training")
TUTORIAL += ("saving", "loading", "predicting")


def name(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


def chinese(page: Path) -> Path:
    return page.with_name(page.name.removesuffix(".md") + (".zh-CN.md" if page.name == "README.md" else ".zh.md"))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def code(page: Path, language: str = "") -> list[str]:
    """The blocks of code of a page, of one language or of any."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for kind, text in blocks if not language or kind == language]
