"""Training begins, goes on, stops and says what came of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fruitvision.__main__ import main
from tests.cli.conftest import TINY, one_line, start

# train, stop -----------------------------------------------------------------------------------------------------


def test_training_prints_one_object_with_what_came_of_it(run, sample_set, tmp_path):
    folder = tmp_path / "run"
    words = ["--set", "epochs=1", *TINY, "--name", "苹果", "--json"]
    code, out, err = run("train", "--run", folder, "--data", sample_set, *words)
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert (result["state"], result["epoch"], result["epochs"]) == ("finished", 1, 1)
    assert 0 <= result["test"]["top1"] <= 1
    assert (Path(result["checkpoint"]) / "model.safetensors").is_file()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert (config["name"], config["training"]["width"], config["training"]["preset"]) == ("苹果", 8, "fast")


def test_training_shows_a_line_for_each_epoch(run, sample_set, tmp_path):
    words = ["--preset", "plain", "--set", "epochs=2", *TINY]
    code, out, _ = run("train", "--run", tmp_path / "run", "--data", sample_set, *words)
    assert code == 0
    assert [line for line in out.splitlines() if "epoch 1/2" in line and "accuracy" in line]
    assert [line for line in out.splitlines() if "epoch 2/2" in line and "accuracy" in line]
    assert "predict IMAGE --checkpoint" in out.splitlines()[-1]


def test_a_finished_run_is_not_trained_again(run, trained):
    before = (trained / "metrics.jsonl").read_bytes()
    code, out, _ = run("train", "--run", trained, "--resume", "--json")
    assert (code, json.loads(out)["state"]) == (0, "finished")
    assert (trained / "metrics.jsonl").read_bytes() == before


def test_a_run_is_never_overwritten(run, trained, sample_set):
    code, _, err = run("train", "--run", trained, "--data", sample_set)
    assert code == 1
    assert "--resume" in one_line(err)


def test_a_resume_refuses_settings_that_differ_and_takes_those_that_agree(run, trained, sample_set):
    code, _, err = run("train", "--run", trained, "--resume", "--preset", "plain", "--set", "epochs=7", "width=8")
    assert code == 2
    assert "started with preset=fast, epochs=1" in one_line(err) and "with preset=plain, epochs=7" in err and "width" not in err
    code, _, err = run("train", "--run", trained, "--resume", "--data", sample_set.parent)
    assert code == 2 and "data=" in one_line(err)
    code, _, err = run("train", "--run", trained, "--resume", "--name", "another")
    assert code == 2 and "name=another" in one_line(err)
    assert run("train", "--run", trained, "--resume", "--name", trained.name)[0] == 0
    code, _, err = run("train", "--run", trained, "--resume", "--data", sample_set, "--set", "epochs=1")
    assert (code, err) == (0, "")


def test_a_resume_takes_a_dataset_that_was_moved(run, sample_set, tmp_path):
    first = shutil.copytree(sample_set, tmp_path / "first")
    assert run("train", "--run", tmp_path / "r", "--data", first, "--set", "epochs=1", *TINY)[0] == 0
    moved = first.rename(tmp_path / "moved")
    code, _, err = run("train", "--run", tmp_path / "r", "--resume", "--data", moved / "Training")
    assert code == 2 and "does not hold the pictures" in one_line(err)
    assert run("train", "--run", tmp_path / "r", "--resume", "--data", moved)[0] == 0
    assert json.loads((tmp_path / "r" / "config.json").read_text(encoding="utf-8"))["data"] == str(moved)


def test_every_setting_is_listed_with_its_meaning(run):
    from fruitvision.training.config import TrainConfig
    from fruitvision.wording.text import setting

    code, out, _ = run("train", "--settings")
    assert code == 0
    for name in TrainConfig.model_fields:
        assert f"{name} = " in out and setting(name, "en")[1] in out


def test_without_data_a_set_is_drawn_once_and_named(run, tmp_path, monkeypatch):
    import fruitvision.data.synthetic.sample as sample

    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path / "cache"))
    draw = sample.draw_sample
    few = lambda folder: draw(folder, train_per_class=2, test_per_class=1, size=32, classes=("Apple", "Kiwi"))  # noqa: E731
    monkeypatch.setattr(sample, "draw_sample", few)
    code, out, _ = run("train", "--run", tmp_path / "a", "--set", "epochs=1", *TINY)
    assert code == 0
    assert str(tmp_path / "cache" / "sample-set") in out and "synthetic" in out
    monkeypatch.setattr(sample, "draw_sample", lambda folder: pytest.fail("drawn twice"))
    assert run("train", "--run", tmp_path / "b", "--set", "epochs=1", *TINY, "--json")[0] == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a test cannot press Ctrl-C in another console on Windows")
def test_ctrl_c_keeps_everything_and_the_run_goes_on(sample_set, tmp_path):
    from fruitvision.runs.folder import RunFolder

    folder = RunFolder(tmp_path / "run")
    process = start("train", "--run", folder.path, "--data", sample_set, "--set", "epochs=500", *TINY)
    wait_until(lambda: folder.metrics("epoch"), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err and b"Ctrl-C again" in err
    assert b"--resume" in out.splitlines()[-1]
    before = folder.status()
    assert before.state == "stopped" and 0 < before.epoch < 500

    process = start("train", "--run", folder.path, "--resume", "--json")
    wait_until(lambda: folder.status().state == "running" and folder.status().epoch > before.epoch, process)
    assert main(["stop", "--run", str(folder.path)]) == 0
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert json.loads(out)["state"] == "stopped" and json.loads(out)["epoch"] > before.epoch


def test_a_run_that_was_turned_away_is_begun_by_the_same_command(run, sample_set, tmp_path):
    from fruitvision.runs.lock import hold_lock

    words = ("train", "--run", tmp_path / "b", "--data", sample_set, "--set", "epochs=1", *TINY)
    with hold_lock(tmp_path / "a", "another"):
        code, _, err = run(*words)
        assert code == 1 and "another" in one_line(err)
    code, out, err = run(*words)
    assert (code, err) == (0, "") and "Finished" in out


def test_a_run_that_was_only_set_up_is_begun_without_resume_and_not_with_other_settings(run, sample_set, tmp_path):
    from fruitvision.runs.config import RunConfig
    from fruitvision.runs.folder import RunFolder
    from fruitvision.training.config import TrainConfig, parse_settings

    training = TrainConfig.from_preset("fast", **parse_settings([*TINY, "epochs=1"]))
    folder = RunFolder(tmp_path / "run").create(RunConfig(name="app", data=str(sample_set), training=training))
    code, _, err = run("train", "--run", folder.path, "--set", "epochs=2", *TINY)
    assert code == 1 and "already a run" in one_line(err)
    code, out, err = run("train", "--run", folder.path, "--json")
    assert (code, err, json.loads(out)["state"]) == (0, "", "finished") and folder.name == "app"
    code, _, err = run("train", "--run", folder.path)
    assert code == 1 and "--resume" in one_line(err)


def test_the_folder_of_pictures_is_listed_once(run, sample_set, tmp_path, monkeypatch):
    from fruitvision.data.read.listing import list_pictures

    listed = []
    for module in ("data.read.store", "runs.prepare.data"):
        monkeypatch.setattr(
            f"fruitvision.{module}.list_pictures", lambda *given, **named: listed.append(given) or list_pictures(*given, **named)
        )
    code, _, err = run("train", "--run", tmp_path / "run", "--data", sample_set, "--json", "--set", "epochs=1", *TINY)
    assert (code, err, len(listed)) == (0, "", 1)


def test_stopping_a_run_that_does_not_go_on_says_so(run, trained):
    code, out, _ = run("stop", "--run", trained)
    assert code == 0 and "finished" in out
    code, out, _ = run("stop", "--run", trained, "--json")
    assert json.loads(out) == {"run": str(trained), "state": "finished", "was_active": False, "responding": True}


def wait_until(condition, process: subprocess.Popen, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read().decode(errors="replace")
        assert time.monotonic() < end, "the run did not come so far in time"
        time.sleep(0.05)


def test_ctrl_c_while_pictures_are_read_or_the_end_is_computed_is_heard_too(tmp_path, monkeypatch):
    """There are no events of training then."""
    from fruitvision.cli.train import _execute_in_terminal
    from fruitvision.runs.config import RunConfig
    from fruitvision.runs.folder import RunFolder
    from fruitvision.training.config import TrainConfig

    folder = RunFolder(tmp_path / "run").create(RunConfig(data="x", training=TrainConfig()))

    def execute(path, *, listing, on_progress):
        signal.raise_signal(signal.SIGINT)
        on_progress()
        assert folder.stop_file.exists()

    monkeypatch.setattr("fruitvision.runs.job.loop.execute", execute)
    assert _execute_in_terminal(folder, None, quiet=True)
