"""The benchmark command: that it measures in turns, judges by the goal, and writes what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.pairs import compare, table


def test_both_sides_take_turns_and_the_median_ratio_is_judged() -> None:
    order: list[str] = []
    values = {"ours": iter([2.0, 3.0, 4.0]), "other": iter([4.0, 4.0, 4.0])}

    def side(name: str) -> float:
        order.append(name)
        return next(values[name])

    found = compare("work", lambda: side("ours"), "other work", lambda: side("other"), pairs=3, goal=("<=", 0.8))
    assert order == ["ours", "other", "other", "ours", "ours", "other"]
    assert (found.ours, found.other, found.ratio, found.lowest, found.highest) == (3, 4, 0.75, 0.5, 1)
    assert found.reached and found.pairs == [(2, 4), (3, 4), (4, 4)]
    assert "| 0.75 (0.5 to 1) | ≤ 0.8 | yes |" in table([found])


def test_the_command_measures_prints_and_writes(sample_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    assert main(["--data", str(sample_set), "--quick", "--only", "store", "machine", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    figures = json.loads(out.read_text())["figures"]
    assert len(figures) == 2 + 1 == printed.count("\n") - 2
    assert all(len(figure["pairs"]) == 2 for figure in figures if figure["against"] != "its bound")
    assert all(figure["ours"] > 0 and figure["other"] > 0 for figure in figures)
