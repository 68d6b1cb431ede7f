"""SECURITY.md names, for each promise, the test that holds it."""

from __future__ import annotations

import re
from pathlib import Path

from .pages import PROJECT

TESTS = PROJECT / "tests"
TEXT = (PROJECT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`((?:\w+/)*test_\w+)`(?:: ([^`|]*))?")
"""A test file without its ending, and the first words of tests in it, parted by semicolons."""


def letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\(.*?\)", "", text).lower())


def test_each_named_test_is_there():
    files = [path.relative_to(TESTS).with_suffix("").as_posix() for path in TESTS.rglob("test_*.py")]
    missing, count = [], 0
    for file, titles in (found.groups() for line in TEXT.splitlines() if line.startswith("|") for found in NAMED.finditer(line)):
        named = [path for path in files if f"/{path}".endswith(f"/{file}")]
        if len(named) != 1:
            missing.append(f"{file}: {named or 'no such file'}")
            continue
        functions = re.findall(r"^def test_(\w+)", (TESTS / f"{named[0]}.py").read_text(encoding="utf-8"), re.MULTILINE)
        for title in filter(None, map(letters, (titles or "").split(";"))):
            count += 1
            if not any(letters(function).startswith(title) for function in functions):
                missing.append(f"{file}: {title}")
    assert not missing and count > 150, (count, missing)


def test_each_file_that_the_text_names_is_there():
    named = re.findall(r"`((?:tests|fruitvision|docker)/[\w./-]+)`", TEXT)
    assert named and all((PROJECT / name).exists() for name in named), [name for name in named if not Path(PROJECT / name).exists()]
