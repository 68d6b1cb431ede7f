"""Sources are left out in turn, or asked about with a finished network."""

from __future__ import annotations

import json
import shutil

import pytest

from fruitvision.runs.folder import RunFolder
from tests.cli.conftest import TINY, one_line, start
from tests.cli.test_train import wait_until


def test_sources_are_left_out_in_turn_and_the_figures_come_as_a_table_and_as_json(run, sample_set, sources, tmp_path):
    settings = ["start=scratch", "width=8", "image_size=32", "first_image_size=0", "eval_resize=40", "eval_size=40", "views=one"]
    words = ("evaluate-sources", "--out", tmp_path / "study", "--data", sample_set, "--photos", sources, "--groups", "2", "--frozen")
    code, out, err = run(*words, "--set", *settings, "refit=0")
    assert code == 0, err
    assert "phone" in out and "shop" in out and "top1" in out and (tmp_path / "study" / "sources.csv").is_file()
    code, out, _ = run(*words, "--json", "--set", *settings, "refit=0")
    result = json.loads(out)
    assert code == 0 and set(result["per_source"]) == {"phone", "shop"} and 0 <= result["top1"] <= 1


def test_a_finished_network_is_asked_about_sources_that_it_never_learned_and_keeps_the_answer(run, trained, sources, tmp_path):
    checkpoint = tmp_path / "best"
    shutil.copytree(trained / "best", checkpoint)
    words = ("evaluate-sources", "--out", tmp_path / "study", "--photos", sources, "--checkpoint", checkpoint)
    code, out, err = run(*words, "--record")
    assert code == 0 and f"Recorded in {checkpoint}" in out, err
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    assert config["left_out"]["images"] > 10 and "left out of training" in (checkpoint / "README.md").read_text(encoding="utf-8")
    code, _, err = run("predict", next((sources / "phone").rglob("*.jpg")), "--checkpoint", checkpoint)
    assert code == 0, err


@pytest.mark.slow
def test_a_study_is_stopped_by_its_folder_and_says_how_to_continue(run, sample_set, sources, tmp_path):
    study = tmp_path / "study"
    words = ("evaluate-sources", "--out", study, "--data", sample_set, "--photos", sources, "--groups", "2")
    process = start(*words, "--set", "epochs=500", "first_image_size=0", "refit=0", *(one for one in TINY if "augmentation" not in one))
    first = RunFolder(study / "run-0")
    wait_until(lambda: first.exists and first.status().step > 0, process, 180)
    code, out, _ = run("stop", "--run", study)
    assert code == 0 and "Repeat the command evaluate-sources" in out
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Repeat the same command" in one_line(err.decode())
    assert first.status().state == "stopped" and not (study / "run-1").exists()


@pytest.mark.slow
def test_wrong_words_about_sources_are_one_line(run, sample_set, sources, trained, tmp_path):
    out = ("--out", tmp_path / "study")
    for words, said in (
        (("--photos", sources, "--data", sample_set, "--leave-out", "shops"), "No source is called 'shops'"),
        (("--photos", sources / "phone", "--data", sample_set), "two groups"),
        (("--photos", sources, "--record"), "no checkpoint"),
        (("--photos", sources, "--checkpoint", trained / "best", "--leave-out", "phone", "shop"), "trained on all"),
    ):
        code, _, err = run("evaluate-sources", *out, *words)
        assert code in (1, 2) and said in one_line(err), words
