"""Train: what a tick sends, what a visitor may not, and what can be done with runs."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from fruitvision.errors import DataError, RunError
from fruitvision.report.charts import COLOURS, Series, line_chart
from fruitvision.runs import launcher
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder, new_run
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page import downloads
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.datasets import TYPED
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import Access
from fruitvision.ui.train import results, run_panel
from fruitvision.ui.train.bar.run_bar import run_state
from fruitvision.ui.train.run_panel import UPDATED, checkpoint_file, export_missing, run_updates
from fruitvision.ui.train.run_view import run_table, status_line
from fruitvision.ui.train.runs import find_run, table_action
from fruitvision.ui.train.settings import preset_values
from fruitvision.ui.train.setup_panel import Training, data_updates
from fruitvision.ui.train.start import Form


@pytest.fixture
def context(tmp_path) -> Context:
    runs = tmp_path / "runs"
    return Context(runs=runs, taught=tmp_path, access=Access("token"), models=Models(runs), data=tmp_path / "data")


@pytest.fixture
def training(context) -> Training:
    made = Training(context)
    made.estimates.begin = lambda: None
    return made


def make_run(context: Context, name: str, state: str = "finished", data: str = "pictures", **status) -> RunFolder:
    run = new_run(context.runs, RunConfig(name=name, data=data, training=TrainConfig.from_preset("fast", epochs=3)))
    values = {"epochs": 3, "epoch": 1, "step": 1, "steps": 2, "heartbeat": time.time()}
    run.write_status(RunStatus(state=state, **{**values, **status}))
    if state == "finished":
        run.best.mkdir()
        (run.best / "config.json").write_text("{}", encoding="utf-8")
        (run.best / "model.safetensors").write_bytes(b"weights")
    return run


def watch(context, run_id, seen=None, overlaid=(), owner=True) -> dict:
    """What a tick sends, by name."""
    sent = run_updates(context, run_id, list(overlaid), seen, "en", owner=owner)
    assert sent.keys() <= set(UPDATED)
    return sent


def look(training, typed: str, choice: str = TYPED, *, owner: bool) -> tuple[str, str]:
    """What is found in a folder, and the grid of its pictures."""
    form = Form.of(choice, "", "", "", "fast", 1, "", *preset_values("fast"))
    shown = data_updates(training, form, typed, 0, None, None, "en", owner=owner)
    return shown["found"], shown["grid"]


def test_a_visitor_cannot_have_a_folder_of_this_computer_scanned(training, sample_set, monkeypatch):
    asked = []
    monkeypatch.setattr(training.context.datasets, "scan", lambda *given, **more: asked.append(given))
    found, grid = look(training, str(sample_set), owner=False)
    assert "owner" in found and grid == "" and not asked


def test_a_visitor_starts_no_scan_and_sees_none_of_the_owners_folders(training, sample_set):
    """Once the owner had opened a folder, any visitor could look through its pictures, some dozen at a time."""
    datasets = training.context.datasets
    datasets.root = sample_set.parent
    folder = f"folder:{sample_set.name}"
    assert look(training, "", "sample", owner=False) == ("", "") and not datasets._scans and not training.estimates.done
    end = time.monotonic() + 60
    while "4 kinds" not in look(training, "", folder, owner=True)[0]:
        assert time.monotonic() < end
        time.sleep(0.05)
    card, grid = look(training, "", folder, owner=False)
    assert "4 kinds" not in card and sample_set.name not in card and "owner" in card and grid == ""
    form = Form.of("sample", "", "", "", "fast", 1, "", *preset_values("fast"))
    shown = [data_updates(training, form, "", 0, None, None, "en", owner=owner) for owner in (False, True)]
    assert [folder in str(one["data"]) for one in shown] == [False, True]


def test_the_owner_may_start_from_an_imported_checkpoint_and_a_visitor_learns_nothing_of_it(training):
    folder = training.context.runs / "tutorial"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    form = Form.of("sample", "", "", "", "fast", 1, "", *preset_values("fast"))
    own, visitors = (data_updates(training, form, "", 0, None, None, "en", owner=owner) for owner in (True, False))
    assert own["weights"]["choices"][-1] == ("tutorial (imported)", str(folder.absolute()))
    assert own["weights"]["choices"][0][1] == "imagenet" and "value" not in own["weights"]
    assert "tutorial" not in str({name: value for name, value in visitors.items() if name != "preset"})


def test_a_disk_that_is_full_while_a_download_is_made_is_said(context, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        checkpoint_file(make_run(context, "one"))
    assert caught.value.code == "cannot-write"


def test_the_owner_sees_the_folder_that_he_named(training, sample_set):
    end = time.monotonic() + 60
    while "4 kinds" not in (shown := look(training, str(sample_set), owner=True))[0]:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "<img" in shown[1]


def test_no_folder_is_scanned_before_one_is_named(training):
    assert look(training, "  ", owner=True)[0] == ""


def test_a_tick_sends_nothing_where_nothing_changed(context):
    run = make_run(context, "one")
    first = watch(context, run.id)
    assert {"status", "charts", "table", "model"} <= first.keys()
    assert watch(context, run.id, first["seen"]) == {}


def test_a_step_sends_the_status_and_leaves_the_table_and_the_models_alone(context):
    run = make_run(context, "one", "waiting")
    first = watch(context, run.id)
    run.write_status(run.status().model_copy(update={"step": 2, "heartbeat": time.time(), "eta_s": 7.0}))
    second = watch(context, run.id, first["seen"])
    assert "status" in second
    assert not {"table", "model", "stop", "run"} & second.keys()


def test_a_run_that_falls_silent_is_shown_so_though_nothing_of_it_is_written_any_more(context, monkeypatch):
    me = psutil.Process()
    run = make_run(context, "one", "running", pid=me.pid, process_started=me.create_time())
    first = watch(context, run.id)
    assert first["stop"]["visible"] and not first["end"]["visible"]
    monkeypatch.setattr("fruitvision.runs.status.RESPONSE_SECONDS", 0.0)
    second = watch(context, run.id, first["seen"])
    assert second["end"]["visible"] and not second["stop"]["visible"]
    assert "not responding" in second["status"] and "not responding" in second["table"] and "delete" not in second["table"]


def test_a_page_without_a_run_finds_the_one_that_another_page_started(context):
    assert watch(context, None)["run"] is None
    old, going = make_run(context, "old"), make_run(context, "going", "waiting")
    assert watch(context, None)["run"] == going.id
    going.write_status(RunStatus(state="stopped"))
    going.delete()
    assert watch(context, going.id)["run"] == old.id


def test_whoever_looks_at_another_run_reads_which_one_is_going_on(context):
    old = make_run(context, "old")
    make_run(context, "<b>going", "waiting")
    line = watch(context, old.id)["status"]
    assert "&lt;b&gt;going" in line and "one run at a time" in line


def test_results_on_drawn_pictures_are_called_synthetic(context, sample_set):
    run = make_run(context, "drawn", data=str(sample_set))
    assert "synthetic" in status_line(run, "en") and "合成" in status_line(run, "zh")
    assert "synthetic" in run_table([run], [], "en", owner=True)
    assert "synthetic" not in run_table([make_run(context, "photos")], [], "en", owner=True)


@pytest.mark.parametrize("name, file", [("苹果 <b>3", "苹果-b-3"), ("../../x", "x"), ("???", None)])
def test_the_download_is_named_as_the_run_and_holds_the_checkpoint(context, monkeypatch, tmp_path, name, file):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    run = make_run(context, name)
    path = checkpoint_file(run)
    assert path.name == f"{file or run.id}-checkpoint.zip"
    assert tmp_path / "gradio" in path.parents
    with zipfile.ZipFile(path) as archive:
        assert {Path(inner).name for inner in archive.namelist()} == {"config.json", "model.safetensors"}
        assert {len(Path(inner).parts) for inner in archive.namelist()} == {2}


def test_an_export_whose_packages_are_missing_is_not_offered_and_the_command_that_installs_them_is_named(context, monkeypatch):
    run = make_run(context, "mine")
    offered = watch(context, run.id)
    assert offered["checkpoint"]["visible"] and offered["onnx"]["visible"] and offered["page"]["visible"]
    monkeypatch.setattr("fruitvision.models.find_spec", lambda name: None if name == "onnxscript" else object())
    offered = watch(context, run.id)
    assert offered["checkpoint"]["visible"] and not offered["onnx"]["visible"] and not offered["page"]["visible"]
    assert "pip install onnx onnxscript onnxruntime" in export_missing("en")


def test_old_downloads_are_cleared_away_when_another_is_made(context, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    run = make_run(context, "one")
    first = checkpoint_file(run)
    monkeypatch.setattr(downloads, "OLD_SECONDS", -1.0)
    second = checkpoint_file(run)
    assert second.is_file() and not first.parent.exists()


def test_the_question_before_deleting_takes_no_tags_from_a_name(context):
    run = make_run(context, "<img src=x>")
    asked = table_action(context, "delete", run.id, [], "en", owner=True)["delete_ask"]
    assert "<img" not in asked and "&lt;img" in asked
    json.dumps(asked)


def test_the_question_before_deleting_says_when_the_run_was_and_how_good(context):
    for status, words in (({"test_top1": 0.914, "skipped": 0}, "91.4%"), ({"best_val_accuracy": 0.75}, "75.0%"), ({}, "without a result")):
        run = make_run(context, "one", **status)
        asked = table_action(context, "delete", run.id, [], "en", owner=True)["delete_ask"]
        assert words in asked and time.strftime("%Y-%m-%d %H:", time.localtime(run.config().created)) in asked


def test_stop_is_answered_before_the_run_has_stopped(context):
    me = psutil.Process()
    run = make_run(context, "one", "running", pid=me.pid, process_started=me.create_time(), eta_s=60.0)
    first = watch(context, run.id)
    launcher.stop(run)
    second = watch(context, run.id, first["seen"])
    assert "stopping after this step" in second["status"] and not second["stop"]["interactive"]
    state = run_state(context, {}, "en")
    assert state["run"] == run.id and "stopping" in state["words"] and 0 < state["share"] < 1
    assert "停止" in run_state(context, {}, "zh")["words"]
    run.write_status(RunStatus(state="stopped"))
    assert run_state(context, {}, "en") == {}


def test_a_run_that_finishes_while_the_app_is_open_is_evaluated_once_and_an_old_one_when_asked(context, monkeypatch):
    begun = []
    monkeypatch.setattr(results, "begin_report", lambda run, language: begun.append(run.name))
    old = make_run(context, "old", test_images=100, heartbeat=time.time() - 60)
    first = results.AutoReports()
    new, large = (
        make_run(context, name, test_images=images, heartbeat=time.time() + 1) for name, images in (("new", 100), ("large", 10**6))
    )
    for run in (old, new, new, large):
        first.start_if_due(context.runs, run.id, "en")
    for task in first._started.values():
        task.join(10)
    assert begun == ["new"]
    assert "Show the results" in watch(context, old.id)["results"] and watch(context, old.id, owner=False)["results"] == ""


@pytest.mark.parametrize("state", ["none", "making", "failed", "ready"])
def test_the_results_are_offered_while_they_are_not_shown_and_their_file_afterwards(context, monkeypatch, state):
    run = make_run(context, "one")
    monkeypatch.setattr(run_panel, "report_state", lambda run: state)
    sent, visitors = watch(context, run.id), watch(context, run.id, owner=False)
    assert [sent[name]["visible"] for name in ("show", "report")] == [state != "ready", state == "ready"]
    assert "value" not in sent["report"] and not any(visitors[name]["visible"] for name in ("show", "report"))


def test_overlaid_runs_are_shown_and_hidden_again(context):
    one, two = make_run(context, "one"), make_run(context, "two")
    overlaid = table_action(context, "overlay", two.id, [], "en")["overlaid"]
    assert overlaid == [two.id]
    assert "two" in watch(context, one.id, overlaid=overlaid)["charts"]
    assert table_action(context, "hide", two.id, overlaid, "en")["overlaid"] == []


def test_what_the_table_is_asked_of_a_run_that_is_gone_does_nothing(context):
    assert table_action(context, "delete", "../elsewhere", [], "en", owner=True) == {}
    with pytest.raises(RunError, match="no longer exists"):
        find_run(context, "../elsewhere")


def test_a_visitor_gets_of_the_table_what_finished_runs_may_show(context):
    """The id of a run is a time and a name: with it a visitor read the name, date and accuracy of one that had not finished."""
    finished, stopped = make_run(context, "done"), make_run(context, "secret", "stopped", best_val_accuracy=0.4321)
    for action in ("open", "overlay", "hide", "classify", "rename", "delete"):
        assert table_action(context, action, stopped.id, [finished.id], "en", owner=False) == {}, action
        assert table_action(context, action, stopped.id, [], "en", owner=True), action
        asked = table_action(context, action, finished.id, [stopped.id], "en", owner=False)
        assert bool(asked) != (action in ("rename", "delete")) and stopped.id not in str(asked), action


def test_a_lone_point_of_a_long_curve_is_seen_and_numpys_numbers_are_drawn():
    ys = [np.float32(1.0), *[None] * 3, *np.linspace(1, 2, 60, dtype=np.float32)]
    drawing = line_chart([Series("one", range(len(ys)), ys, COLOURS[0])], title="t", x_max=70, x_label="x", description="d")
    assert "<circle" not in drawing and drawing.count("h0") == 1
    assert drawing.count("L") >= 59


@pytest.mark.parametrize("ground", ["#ffffff", "#292524"])
def test_each_colour_stands_out_from_the_light_and_the_dark_ground(ground):
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in COLOURS:
        low, high = sorted((luminance(colour), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 3, colour
