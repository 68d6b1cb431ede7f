"""MkDocs hooks: generated parts of pages, and files of the project's top level within pages.

A page includes them by a comment on its own line:

    <!-- generated: commands -->     or: settings, from reference.py beside this file
    <!-- include: SECURITY.md -->    without its title; links within the project lead to the repository
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
if str(PROJECT) not in sys.path:  # the command "mkdocs" does not have the project on its path
    sys.path.insert(0, str(PROJECT))


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    language = "zh" if page.file.src_uri.endswith(".zh.md") else "en"
    return expanded(markdown, language, str(config["repo_url"]))


def expanded(markdown: str, language: str, repository: str) -> str:
    """The page with its generated parts and its included files."""
    markdown = re.sub(r"^<!-- generated: (\w+) -->$", lambda found: generated(found[1], language), markdown, flags=re.MULTILINE)
    return re.sub(r"^<!-- include: (\S+) -->$", lambda found: included(found[1], repository), markdown, flags=re.MULTILINE)


def generated(part: str, language: str) -> str:
    return {"commands": reference.commands, "settings": reference.settings}[part](language)


def included(name: str, repository: str) -> str:
    """A file of the project, with headings one level lower."""
    folder = Path(name).parent
    text = (PROJECT / name).read_text(encoding="utf-8")
    text = re.sub(r"\A# .*\n", "", text)
    text = _headings_down(text)

    def link(found: re.Match[str]) -> str:
        target = found[1]
        if "://" in target or target.startswith("#"):
            return found[0]
        return f"]({repository}/blob/main/{(folder / target).as_posix()})"

    return re.sub(r"\]\(([^)\s]+)\)", link, text)


def _headings_down(text: str) -> str:
    """Lower the headings by one level; code blocks are not changed."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else re.sub(r"^#(?=#* )", "##", part, flags=re.MULTILINE) for part in parts)


def _reference() -> Any:
    """The module ``reference.py`` beside this one; MkDocs loads hooks by their path."""
    spec = importlib.util.spec_from_file_location("docs_reference", Path(__file__).with_name("reference.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _reference()
