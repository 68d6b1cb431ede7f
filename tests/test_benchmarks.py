"""The benchmark command: that it measures in turns, judges by the goal, and writes what it prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.__main__ import FIGURES, main
from benchmarks.accuracy import accuracy, chosen_classes, unseen
from benchmarks.bench import Bench
from benchmarks.growth import growth, small_jpegs, write_pictures
from benchmarks.pairs import Figure, compare, table
from benchmarks.ticks import train_tick
from benchmarks.training import TINY, WARM_UP, pictures_per_second
from benchmarks.tutorials import Fastai, Timm, tutorials, write_class_folders
from fruitvision.data.read.store import open_dataset
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.training.config import TrainConfig

# Python 3.12 warns of the workers that torch's DataLoader forks.
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def quick(sample_set: Path) -> Bench:
    """One pair, and little of everything."""
    return Bench(sample_set, 1, True)


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


def test_a_measurement_that_fails_costs_only_itself(
    sample_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "figures.json"
    monkeypatch.setitem(FIGURES, "webcam", lambda bench: sys.exit("no browser here"))
    monkeypatch.setitem(FIGURES, "web", lambda bench: [][0])
    assert main(["--data", str(sample_set), "--quick", "--only", "webcam", "web", "machine", "--json", str(out)]) == 1
    printed = capsys.readouterr()
    assert len(json.loads(out.read_text())["figures"]) == 1 and printed.out.count("\n") == 3
    assert "no browser here" in printed.err and "IndexError" in printed.err and "Failed, see above: webcam, web." in printed.err


def test_a_side_that_did_not_get_there_reaches_no_goal() -> None:
    line = {"what": "time", "against": "other", "unit": "s", "ours": 1.0, "other": 100.0, "ratio": 0.01, "lowest": 0.01, "highest": 0.01}
    assert Figure(**line, goal=("<=", 0.05)).reached
    missed = Figure(**line, goal=("<=", 0.05), missed=True)
    assert missed.reached is False and "| **no** |" in table([missed])


@pytest.mark.slow
@FORKS
def test_time_to_an_accuracy_is_measured_on_the_same_classes_from_nothing_and_from_the_other_classes(quick: Bench) -> None:
    assert len(chosen_classes(quick)) == 2
    (scratch,), (begun,) = accuracy(quick), unseen(quick)
    assert scratch.other == begun.other > 0, "the plain recipe learns once for both"
    assert scratch.ours > 0 and begun.ours > 0 and scratch.ratio == scratch.ours / scratch.other
    for line in (scratch, begun):
        assert "2 classes" in line.what and line.what.count("after 1 epoch") == 2
        assert line.missed == (line.what.split(";")[0].endswith("not reached"))


def test_data_without_test_pictures_is_refused_where_an_accuracy_is_asked_for(sample_set: Path) -> None:
    with pytest.raises(SystemExit, match="no test pictures"):
        accuracy(Bench(sample_set / "Training", 1, True))


def test_growth_is_measured_around_every_size_and_memory_throughout(quick: Bench) -> None:
    *lines, memory = growth(quick)
    assert [line.what.split(" of ")[1].split()[0] for line in lines] == ["200", "200", "400", "400"]
    assert all(line.ours > 0 and line.other > 0 and len(line.pairs) == 1 for line in lines)
    assert 50 < memory.ours < 1500 and memory.reached


def test_a_folder_of_the_growth_figure_holds_that_many_different_pictures_that_can_be_read(quick: Bench, tmp_path: Path) -> None:
    write_pictures(tmp_path / "many", small_jpegs(quick), 50)
    dataset, store = open_dataset(tmp_path / "many")
    assert (len(store), len(set(store.hashes)), dataset.problems) == (50, 50, ())
    assert (len(dataset.splits["train"]), len(dataset.splits["test"])) == (40, 10)


def test_a_disk_that_is_too_full_for_growth_is_said(quick: Bench, monkeypatch, capsys) -> None:
    monkeypatch.setattr("benchmarks.growth.shutil.disk_usage", lambda _: SimpleNamespace(free=10**5))
    assert growth(quick) == [] and "growth is left out: it needs" in capsys.readouterr().err


def test_a_tick_is_measured_beside_finished_runs_and_right_after_the_page_was_opened(quick: Bench) -> None:
    rest, opening = train_tick(quick)
    assert "20 finished runs" in rest.what and rest.goal == ("<=", 20) and 0 < rest.ours < opening.ours


def test_others_read_the_pictures_themselves_where_links_to_them_are_not_allowed(quick: Bench, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Path, "symlink_to", lambda *_, **__: pytest.fail("Windows allows it to few"))
    write_class_folders(pictures := quick.pictures()[:3], tmp_path)
    for split in ("train", "val"):
        assert sorted(path.name for path in (tmp_path / split).rglob("*.jpg")) == sorted(path.name for path, _ in pictures)


@pytest.mark.slow
@FORKS
def test_timm_is_compared_with_and_what_is_not_installed_is_left_out_with_a_sentence(quick: Bench, monkeypatch, capsys) -> None:
    monkeypatch.setattr("benchmarks.tutorials.OTHERS", {"fastai_that_nobody_has": Fastai, "timm": Timm})
    (line,) = tutorials(quick)
    assert line.against == "timm" and line.ours > 0 and line.other > 0
    assert "fastai_that_nobody_has is left out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_runs_speed_is_that_of_whole_batches_after_the_first_few(sample_set: Path, tmp_path: Path) -> None:
    config = RunConfig(data=str(sample_set), training=TrainConfig.from_preset("fast", start="scratch", epochs=2, device="cpu", **TINY))
    run = RunFolder(tmp_path / "runs" / "a").create(config)
    execute(run.path)
    whole = [step for step in run.metrics("step")[WARM_UP:7] if step["step"] < step["steps"]]
    assert len(whole) >= 2
    seconds = sum(8 / step["images_per_s"] for step in whole)
    assert pictures_per_second(run, 7) == pytest.approx(len(whole) * 8 / seconds)
