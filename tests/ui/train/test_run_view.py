"""Train: what is said of runs, without a browser."""

from __future__ import annotations

import json
import time
from pathlib import Path, PureWindowsPath

import pandas as pd
import pytest

from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder, new_run
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig
from fruitvision.ui.train import run_view
from fruitvision.ui.train.run_panel import csv_file
from fruitvision.ui.train.run_view import (
    MAX_COLUMNS,
    delete_question,
    differences,
    epochs_csv,
    main_charts,
    more_charts,
    run_table,
    start_line,
    status_line,
)

STATES = ("waiting", "preparing", "running", "finished", "stopped", "failed", "interrupted")
BAD_NAME = "<img src=x onerror=alert(1)>"


def make_run(root: Path, name: str = "three", state: str = "finished", data: Path | None = None, **status) -> RunFolder:
    """A run as its folder would be, of three epochs of two steps."""
    training = TrainConfig.from_preset("fast", epochs=3)
    run = new_run(root, RunConfig(name=name, data=str(data or root / "pictures"), training=training))
    values = {"epochs": 3, "epoch": 3, "step": 2, "steps": 2, "best_val_accuracy": 0.875, "seconds": 65.0, "heartbeat": time.time()}
    run.write_status(RunStatus(state=state, **{**values, **status}))
    for epoch in (1, 2, 3):
        for step in (1, 2):
            run.append(
                {
                    "kind": "step",
                    "epoch": epoch,
                    "step": step,
                    "steps": 2,
                    "loss": 1 / epoch,
                    "lr": 1e-3,
                    "grad_norm": 1.0,
                    "images_per_s": 50.0,
                }
            )
        run.append(
            {"kind": "epoch", "epoch": epoch, "train_loss": 1 / epoch, "train_accuracy": 0.5, "val_loss": 0.9 / epoch, "val_accuracy": 0.6}
        )
    return run


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("state", STATES)
def test_every_state_is_said_in_words_with_the_name_escaped(tmp_path, state, language):
    going = {"pid": 0} if state in ("waiting", "preparing", "running") else {}
    error = {"error": {"code": "x", "message": "The disk <is> full.", "facts": {}}} if state == "failed" else {}
    run = make_run(tmp_path, BAD_NAME, state, eta_s=180.0, epoch=2, step=1, **going, **error)
    line = status_line(run, language)
    assert f"fv-run-{state}" in line and "<img" not in line and "&lt;img" in line
    assert "<is>" not in line
    if going:
        assert 'role="progressbar"' in line and "3" in line


def test_a_run_whose_process_is_gone_is_said_to_be_interrupted(tmp_path):
    run = make_run(tmp_path, state="running", pid=2**22 + 1, process_started=1.0)
    assert "Resume" in status_line(run, "en")


def test_a_finished_run_says_what_it_measured(tmp_path):
    run = make_run(tmp_path)
    run.append({"kind": "test", "top1": 0.75, "images": 140})
    line = status_line(run, "en")
    assert "75.0%" in line and "140" in line and "87.5%" in line


@pytest.mark.parametrize(("images", "bounds"), [(15, ("42%", "85%")), (199, ("60%", "73%")), (200, ()), (0, ()), (None, ())])
def test_an_accuracy_on_few_pictures_has_its_interval_beside_it(tmp_path, images, bounds):
    run = make_run(tmp_path, test_top1=2 / 3, test_images=images, skipped=0)
    for language in ("en", "zh"):
        line = status_line(run, language)
        assert ("95%" in line) == bool(bounds) and all(bound in line for bound in bounds)
        short = f"66.7% ({bounds[0].removesuffix('%')}–{bounds[1]})" if bounds else "66.7%"
        for place in (run_table([run], [], language, owner=True), delete_question(run, language)):
            assert short in place and ("66.7% (" in place) == bool(bounds)


def test_the_last_seconds_of_a_run_are_not_counted(tmp_path):
    run = make_run(tmp_path, state="running", eta_s=0.2, epoch=2, step=1, pid=0)
    assert status_line(run, "en").count("A few seconds left") == 1
    run = make_run(tmp_path, "other", state="running", eta_s=12.0, epoch=2, step=1, pid=0)
    assert "About 12 s left" in status_line(run, "en")


def test_charts_are_drawn_of_none_one_and_several_runs(tmp_path):
    first, second = make_run(tmp_path, "one"), make_run(tmp_path, BAD_NAME)
    for charts, count in ((main_charts, 2), (more_charts, 3)):
        for runs in ([], [first], [first, second]):
            drawn = charts(runs, "zh")
            assert drawn.count("<svg") == count and "<img" not in drawn
    assert main_charts([first, second], "en").count('class="fv-curve"') == 8


def test_the_table_offers_a_visitor_nothing_that_changes_anything(tmp_path):
    run = make_run(tmp_path, BAD_NAME)
    for owner in (True, False):
        table = run_table([run], [], "en", owner=owner)
        assert "<img" not in table and 'data-action="open"' in table
        assert ('data-action="delete"' in table) == ('data-action="rename"' in table) == owner


@pytest.mark.parametrize("start", ["/home/alice/models/mine", "C:\\Users\\alice\\mine\\", "hf://alice/mine"])
def test_no_folder_of_this_computer_is_shown_with_a_run(tmp_path, start):
    run = make_run(tmp_path, start=start)
    assert "mine" in start_line(run, "en") and "alice" not in start_line(run, "en")
    settings = {"start": start, "teacher": start, "average_with": f"{start}, {start}2"}
    runs = [run, new_run(tmp_path, RunConfig(data="/a/pictures", training=TrainConfig.from_preset("fast", **settings)))]
    table = run_table(runs, [], "en", owner=False)
    assert "mine" in table and "alice" not in table


def test_runs_are_listed_with_what_differs_between_them_only(tmp_path):
    def config(**settings) -> RunConfig:
        return RunConfig(data="/a/pictures", training=TrainConfig.from_preset("fast", epochs=3, **settings))

    configs = [config(norm="group", seed=1), config(seed=2), config().model_copy(update={"processes": 2, "data": "/b/others"})]
    assert differences(configs) == [
        {"data": "pictures", "norm": "group", "seed": 1},
        {"data": "pictures", "seed": 2},
        {"data": "others", "processes": 2},
    ]
    assert differences(configs[:1]) == [{}] and differences([]) == []
    many = {"learning_rate": 0.1, "weight_decay": 0.3, "flip": 0.1, "channels_last": False, "batch_size": 8}
    runs = [new_run(tmp_path, one) for one in (configs[0], config(**many))]
    table = run_table(runs, [], "en", owner=True)
    assert "Normalization Group norm" in table and "and 1 more" in table and "Channels last off" in table
    assert "Epochs" not in table


def test_a_runs_figures_are_a_table_that_a_spreadsheet_opens(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    run = make_run(tmp_path, "苹果 1")
    path = csv_file(run)
    table = pd.read_csv(path, encoding="utf-8-sig")
    assert path.name == "苹果-1.csv" and table["epoch"].tolist() == [1, 2, 3]
    assert table["val_loss"].tolist() == pytest.approx([0.9, 0.45, 0.3]) and "kind" not in table
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert epochs_csv(new_run(tmp_path, run.config())) == "\ufeffepoch\n"


def test_a_run_that_goes_on_cannot_be_deleted_from_the_table(tmp_path):
    run = make_run(tmp_path, state="waiting")
    assert 'data-action="delete"' not in run_table([run], [], "en", owner=True)


def test_no_other_computer_is_asked_for_the_pictures_of_a_run(tmp_path, monkeypatch):
    """Windows would connect to it, with the user's name and the hash of the password, each time the table is drawn."""
    asked = []

    class Recorded(PureWindowsPath):
        def is_file(self) -> bool:
            asked.append(self.drive)
            return False

    monkeypatch.setattr(run_view, "Path", Recorded)
    run = make_run(tmp_path)
    for data in ("\\\\evil\\share", "//evil/share", "/\\evil\\share", "\\/evil/share", "\\??\\UNC\\evil\\share", "C:\\pictures"):
        run.replace_config(run.config().model_copy(update={"data": data}))
        assert not run_view.is_synthetic(run)
    assert asked == ["C:"]


def test_a_run_that_brings_a_column_in_each_record_has_a_table_of_few(tmp_path):
    """A metrics file of 2 MB became a table of (gigabytes)."""
    run = make_run(tmp_path)
    lines = [json.dumps({"kind": "epoch", "epoch": n, f"a{n}": 1}) for n in range(4, 1000)]
    with run.metrics_file.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    table = epochs_csv(run)
    assert table.startswith("\ufeffepoch,train_loss,") and table.count("\n") == 1 + 999
    assert table.splitlines()[0].count(",") == MAX_COLUMNS - 1 and len(table) < 200_000
