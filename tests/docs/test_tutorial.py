"""Every program of the tutorial, and the notebook, run as they stand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import DOCS, TUTORIAL, code

NEEDS = {"loading": ("saving",), "predicting": ("saving",)}


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Path]:
    """The folder in which somebody follows the tutorial, with the drawn fruit of its first page."""
    folder, before = tmp_path_factory.mktemp("desk"), Path.cwd()
    os.chdir(folder)
    execute("dataset")
    yield folder
    os.chdir(before)


def execute(page: str) -> None:
    """Run all blocks of a page, one after the other, as one program."""
    run_program("\n".join(code(DOCS / "tutorial" / f"{page}.md", "python")), page)


def run_program(program: str, title: str) -> None:
    exec(compile(program, title, "exec"), {"__name__": "__main__", "display": lambda shown: None})


@pytest.mark.parametrize("page", TUTORIAL)
def test_a_page_runs_as_it_stands_and_what_it_claims_holds(desk, page, capsys):
    for needed in NEEDS.get(page, ()):
        if not (desk / "network").is_dir():
            execute(needed)
    programs = code(DOCS / "tutorial" / f"{page}.md", "python")
    assert "assert" in "".join(programs)
    execute(page)


@pytest.mark.parametrize("page", TUTORIAL)
def test_a_page_is_short_and_ends_with_questions(page):
    text = (DOCS / "tutorial" / f"{page}.md").read_text(encoding="utf-8")
    outside = [line for number, part in enumerate(text.split("```")) if number % 2 == 0 for line in part.splitlines() if line.strip()]
    assert 10 <= len(outside) <= 32 and "## Questions" in text


def test_the_notebook_learns_saves_and_answers(desk, capsys):
    notebook = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "outputs are not kept in the repository"
    run_program("\n".join(cells), "tutorial.ipynb")
    said = capsys.readouterr().out
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in said.splitlines() if line.startswith("epoch")]
    assert len(losses) == 8 and losses[-1] < losses[0]
    assert int(said.split(" of 32 test pictures")[0].split()[-1]) > 16
