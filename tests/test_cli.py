"""The commands as a person and as another program meet them: results, errors in one line, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fruitvision.__main__ import guarded, main

PROJECT = Path(__file__).resolve().parents[1]
COMMANDS = [
    "data scan",
    "data download",
    "data sample",
    "train",
    "stop",
    "evaluate",
    "evaluate-sources",
    "predict",
    "teach-benchmark",
    "compare",
    "lr-find",
    "import",
]
TINY = ["start=scratch", "width=8", "image_size=32", "eval_resize=32", "batch_size=8", "augmentation=none"]


def start(*words: str | Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a command as a process of its own, in the project's folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "fruitvision", *map(str, words)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def one_line(text: str) -> str:
    assert text.startswith("Error: ") and text.endswith("\n") and text.count("\n") == 1
    assert "Traceback" not in text
    return text.strip()


@pytest.fixture(scope="module")
def trained(sample_set, tmp_path_factory) -> Path:
    """A finished run of one tiny epoch."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert main(["train", "--run", str(folder), "--data", str(sample_set), "--json", "--set", "epochs=1", *TINY]) == 0
    return folder


# what holds for every command ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert f"{command} [OPTIONS]" in out and "--json" in out


def test_the_list_of_commands_fits_a_terminal_and_cuts_no_sentence(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(command.split()[0] in out for command in COMMANDS)
    listed = out.partition("Commands:")[2].splitlines()
    assert all(len(line) <= 80 and not line.endswith("...") for line in listed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing command"),
        (["tain"], "No such command 'tain'"),
        (["train"], "Missing option '--run'"),
        (["train", "--run"], "requires an argument"),
        (["train", "--run", "r", "--presett", "fast"], "--preset"),
        (["train", "--run", "r", "stray"], "unexpected extra argument"),
        (["data", "sample", "d", "--size", "5"], "--size"),
        (["data", "sample", "d", "--seed", "x"], "--seed"),
        (["predict"], "Missing argument"),
        (["train", "--run", "r", "--preset", "quick"], "quick"),
        (["train", "--run", "r", "--set", "epochs"], "key=value"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(run, words, said):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert said in one_line(err)


def test_several_wrong_settings_are_named_together(run, tmp_path):
    code, _, err = run("train", "--run", tmp_path / "r", "--set", "epochs=0", "flip=3", "--set", "norm=batsh")
    assert code == 2
    assert all(name in one_line(err) for name in ("epochs", "flip", "norm"))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["data", "scan", "{tmp}/nothing", "--json"], 1, "data-missing"),
        (["data", "scan", "{tmp}", "--json"], 1, "no-pictures"),
        (["stop", "--run", "{tmp}/nothing", "--json"], 1, "run-missing"),
        (["train", "--run", "{tmp}/nothing", "--resume", "--json"], 1, "run-missing"),
        (["train", "--run", "{tmp}/r", "--data", "{tmp}/nothing", "--json"], 1, "data-missing"),
        (["predict", "a.jpg", "--checkpoint", "{tmp}/nothing", "--json"], 1, "checkpoint-missing"),
        (["stop", "--json"], 2, "bad-usage"),
    ],
)
def test_with_json_an_error_is_one_object_on_standard_output_and_one_line_beside_it(run, tmp_path, words, code, name):
    found, out, err = run(*(word.format(tmp=tmp_path) for word in words))
    error = json.loads(out)["error"]
    assert (found, error["code"]) == (code, name)
    assert one_line(err) == f"Error: {error['message']}"
    assert not (tmp_path / "r").exists()


def test_an_unexpected_error_is_one_line_and_its_details_are_kept(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("fruitvision.data.synthetic.sample.draw_sample", lambda *args, **kwargs: 1 / 0)
    code, out, err = run("data", "sample", tmp_path / "set")
    assert (code, out) == (1, "")
    assert "Internal error" in one_line(err) and "errors.log" in err
    assert "ZeroDivisionError" in (tmp_path / "cache" / "errors.log").read_text(encoding="utf-8")


def test_the_stack_trace_is_shown_to_whoever_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FRUITVISION_DEBUG", "1")
    monkeypatch.setattr("fruitvision.data.synthetic.sample.draw_sample", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["data", "sample", str(tmp_path / "set")])


def test_a_file_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, _, err = run("data", "sample", tmp_path / "file" / "set")
    assert code == 1
    assert "file" in one_line(err)


def test_a_missing_package_is_named_with_the_command_that_installs_it(run, tmp_path, monkeypatch):
    def missing(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("fruitvision.data.synthetic.sample.draw_sample", missing)
    code, _, err = run("data", "sample", tmp_path / "set")
    assert code == 1
    assert "'torch' is not installed" in one_line(err) and f'-m pip install -r "{PROJECT / "requirements.txt"}"' in err


def test_torchs_threads_sleep_soon_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    guarded(lambda: None)
    assert 1000 < int(os.environ["GOMP_SPINCOUNT"]) < 100_000
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    guarded(lambda: None)
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    guarded(lambda: None)
    assert "GOMP_SPINCOUNT" not in os.environ
    code = "import sys; from fruitvision.__main__ import guarded; guarded(lambda: print('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"  # it reads it then


def test_ctrl_c_is_one_line(run, tmp_path, monkeypatch):
    def pressed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("fruitvision.data.synthetic.sample.draw_sample", pressed)
    assert run("data", "sample", tmp_path / "set") == (130, "", "Stopped.\n")


def test_a_reader_that_goes_away_leaves_no_stack_trace(sample_set):
    with start("data", "scan", sample_set) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_any_console_can_show_any_file_name(sample_set, tmp_path, encoding):
    folder = Path(shutil.copytree(sample_set, tmp_path / "café 🍌 香蕉"))
    for words, code in ((("scan", folder), 0), (("scan", tmp_path / "缺é🍎"), 1)):
        process = start("data", *words, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        out, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert "classes" in out.decode(encoding) if code == 0 else one_line(err.decode(encoding).replace("\r\n", "\n"))


# data ------------------------------------------------------------------------------------------------------------


def test_a_set_is_drawn_and_scanned(run, tmp_path):
    words = ("--train-per-class", "2", "--test-per-class", "1", "--size", "32", "--json")
    code, out, err = run("data", "sample", tmp_path / "水果 set", *words)
    assert (code, err) == (0, "")
    drawn = json.loads(out)
    code, out, err = run("data", "scan", drawn["root"], "--json")
    assert (code, err) == (0, "")
    scanned = json.loads(out)
    assert scanned["synthetic"] is True and scanned["problems"] == []
    assert scanned["classes"] == drawn["classes"] and len(drawn["classes"]) >= 12
    assert scanned["images"] == {"train": 2 * len(drawn["classes"]), "test": len(drawn["classes"])}
    assert set(scanned["counts"]["train"].values()) == {2}


def test_a_scan_names_every_file_that_cannot_be_used(run, sample_set, tmp_path):
    folder = Path(shutil.copytree(sample_set, tmp_path / "set"))
    (folder / "Training" / "Apple" / "broken.jpg").write_text("no picture", encoding="utf-8")
    code, out, _ = run("data", "scan", folder)
    assert code == 0
    assert "Synthetic" in out and "Training/Apple/broken.jpg" in out and "1 problem" in out


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


# evaluate-sources ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources(sample_set, tmp_path_factory) -> Path:
    """Two sources of photographs, each with two of the sample's kinds."""
    root = tmp_path_factory.mktemp("sources") / "photos"
    for source, kinds in (("phone", ("Apple", "Banana")), ("shop", ("Apple", "Kiwi"))):
        for kind in kinds:
            shutil.copytree(sample_set / "Training" / kind, root / source / kind)
    return root


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


# predict, evaluate -------------------------------------------------------------------------------------------------


def test_each_picture_is_answered_and_a_broken_one_is_named(run, trained, sample_set, tmp_path):
    good = sorted((sample_set / "Test" / "Banana").iterdir())[:2]
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(good[0].read_bytes()[:200])
    code, out, err = run("predict", good[0], bad, good[1], "--checkpoint", trained / "best", "--json")
    first, broken, second = json.loads(out)["predictions"]
    assert code == 1
    assert "bad.jpg" in one_line(err) and broken["error"]["code"].startswith("picture-")
    for answer, path in ((first, good[0]), (second, good[1])):
        assert answer["image"] == str(path)
        assert answer["verdict"] in ("sure", "unsure", "not-fruit") and 0 <= answer["confidence"] <= 1
        assert [guess["probability"] for guess in answer["top"]] == sorted((guess["probability"] for guess in answer["top"]), reverse=True)


def test_a_folder_and_a_pattern_are_answered_in_a_table(run, trained, sample_set, tmp_path):
    words = ("--checkpoint", trained / "best", "--csv", tmp_path / "answers.csv")
    code, out, _ = run("predict", sample_set / "Test", *words)
    head, *rows, written = out.splitlines()
    assert code == 0 and head.split() == ["picture", "fruit", "variety", "confidence", "verdict"]
    assert len(rows) == 16 and str(sample_set / "Test" / "Banana") in out and str(tmp_path / "answers.csv") in written
    table = (tmp_path / "answers.csv").read_text(encoding="utf-8-sig").splitlines()
    assert table[0] == "image,fruit_type,label,confidence,verdict,note,error" and len(table) == 17
    code, out, _ = run("predict", sample_set / "Test" / "*" / "*.jpg", *words[:2], "--json")
    assert code == 0 and [answer["image"].rpartition("Test")[2] for answer in json.loads(out)["predictions"]] == [
        line.split(",")[0].rpartition("Test")[2] for line in table[1:]
    ]


def test_the_paths_of_pictures_are_understood_as_people_write_them(run, trained, sample_set, tmp_path, monkeypatch):
    picture = next((sample_set / "Test").rglob("*.jpg"))
    (tmp_path / "my apple.jpg").write_bytes(picture.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    address = (tmp_path / "my apple.jpg").as_uri()
    words = ("~/my apple.jpg", "~/*.jpg", f'"{tmp_path / "my apple.jpg"}"', address)
    code, out, _ = run("predict", *words, "--checkpoint", trained / "best", "--json")
    assert code == 0 and {answer["image"] for answer in json.loads(out)["predictions"]} == {str(tmp_path / "my apple.jpg")}
    code, _, err = run("predict", "https://fruit.example/a.jpg", "--checkpoint", trained / "best")
    assert code == 1 and "Download it" in one_line(err)


def test_a_pattern_without_a_picture_and_a_folder_without_one_are_named(run, trained, tmp_path):
    (tmp_path / "notes.txt").write_text("none", encoding="utf-8")
    code, _, err = run("predict", tmp_path / "*.jpg", "--checkpoint", trained / "best")
    assert code == 1 and "*.jpg" in one_line(err)
    code, _, err = run("predict", tmp_path, "--checkpoint", trained / "best")
    assert code == 1 and "no pictures" in one_line(err)


def test_what_is_wrong_with_a_file_that_was_read_is_a_note(run, trained, sample_set, tmp_path):
    whole = next((sample_set / "Test" / "Banana").iterdir())
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:-3])
    code, out, err = run("predict", tmp_path / "cut.jpg", whole, "--checkpoint", trained / "best", "--json")
    cut, good = json.loads(out)["predictions"]
    assert code == 0 and "its end is missing" in cut["note"] and "note" not in good
    assert err.startswith("Note: ") and "cut.jpg" in err and err.count("\n") == 1


def test_a_folder_is_scored_and_reported(run, trained, sample_set, tmp_path):
    words = ("--checkpoint", trained / "best", "--split", "test", "--report", tmp_path / "report", "--json")
    code, out, err = run("evaluate", "--data", sample_set, *words)
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["images"] == 16 and set(result["per_class"]) == {"Apple", "Banana", "Kiwi", "Orange"}
    assert {"top1", "top3", "macro_recall", "ece", "answered", "answered_top1", "not_fruit_accepted"} <= set(result)
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text(encoding="utf-8"))["top1"] == result["top1"]
    table = (tmp_path / "report" / "per_class.csv").read_text(encoding="utf-8-sig").splitlines()
    assert "<html lang=" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert table[0] == "class,images,recall,precision" and len(table) == 5


def test_a_learning_rate_is_found_and_its_curve_kept(run, sample_set, tmp_path):
    words = ("--data", sample_set, "--steps", "30", "--out", tmp_path / "rate", "--json", "--set", *TINY)
    code, out, err = run("lr-find", *words)
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert len(result["rates"]) == len(result["losses"]) and result["rates"][0] <= result["suggested"] <= result["rates"][-1]
    rows = (tmp_path / "rate" / "rates.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "learning_rate,loss" and len(rows) == len(result["rates"]) + 1
    assert (tmp_path / "rate" / "rates.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_score_reads_in_plain_words(run, trained, sample_set):
    code, out, _ = run("evaluate", "--data", sample_set, "--checkpoint", trained / "best", "--by", "type")
    assert code == 0
    assert "48 pictures" in out and "top1" in out and "%" in out


def test_other_looks_give_other_figures_and_are_not_recorded(run, trained, sample_set):
    words = ("evaluate", "--data", sample_set, "--split", "test", "--checkpoint", trained / "best")
    one, middle = (json.loads(run(*words, "--views", views, "--json")[1])["ece"] for views in ("one", "middle"))
    assert one != middle
    code, _, err = run(*words, "--views", "middle", "--record", "test")
    assert code == 2 and "--record" in one_line(err)


def test_teaching_is_measured_known_and_new_and_by_what_it_costs_the_others(run, trained, sample_set):
    words = ["teach-benchmark", "--data", sample_set / "Test", "--checkpoint", trained / "best", "--shots", "1,2", "--seeds", "2"]
    code, out, _ = run(*words, "--untaught", sample_set / "Test", "--json")
    result = json.loads(out)
    assert code == 0 and (result["images"], result["classes"], result["seeds"]) == (16, 4, 2)
    assert set(result["known"]) == set(result["new"]) == {"1", "2"}
    assert all(0 <= result[way][count][key] <= 1 for way in ("known", "new") for count in "12" for key in ("top1", "sd", "ece"))
    code, out, _ = run(*words)
    assert code == 0 and out.count("new names") == 2
    for wrong, name in ((["--shots", "0"], "not a list of numbers"), (["--shots", "9"], "fewer than 9"), (["--split", "val"], "no split")):
        code, _, err = run(*words[:5], *wrong)
        assert code == 2 and name in one_line(err)


@pytest.mark.parametrize("option", [("--by", "colour"), ("--split", "holiday")])
def test_an_unknown_way_of_scoring_is_misuse(run, trained, sample_set, option):
    code, _, err = run("evaluate", "--data", sample_set, "--checkpoint", trained / "best", *option)
    assert code == 2 and option[1] in one_line(err)


# app.py ----------------------------------------------------------------------------------------------------------


def app(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "app.py"), *words]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120)


def test_the_app_explains_its_flags():
    result = app("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for flag in ("--host", "--port", "--share", "--public", "--root-path", "--data", "--runs", "--taught", "--lang"):
        assert flag in result.stdout


@pytest.mark.parametrize("words", [("--prot", "80"), ("--port", "many"), ("--lang", "fr"), ("--share", "--public")])
def test_a_wrong_flag_of_the_app_is_one_line(words):
    result = app(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert words[0] in one_line(result.stderr)


def test_app_py_is_the_command_app(run):
    code, out, err = run("app", "--help")
    assert (code, err) == (0, "")
    assert out.partition("Options:")[2] == app("--help").stdout.partition("Options:")[2] != ""


def test_a_port_in_use_is_one_line_with_the_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = app("--port", str(port), "--no-browser")
    assert (result.returncode, result.stdout) == (2, "")
    assert str(port) in one_line(result.stderr) and "--port" in result.stderr


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 15, 0)])
def test_a_python_that_pip_would_refuse_is_told_so(version):
    code = f"""
import runpy, sys
sys.version_info = (*{version}, "final", 0)
sys.argv = ["app.py"]
runpy.run_path({str(PROJECT / "app.py")!r}, run_name="__main__")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert result.returncode == 1
    found = ".".join(map(str, version))
    assert f"Python 3.11 to 3.14; this is {found}. Install Python 3.14" in one_line(result.stderr)


def test_the_version_and_the_words_that_a_shell_completes(run):
    from fruitvision import __version__

    assert run("--version") == (0, f"fruitvision {__version__}\n", "")
    code = "import sys; sys.argv = ['fruitvision']; from fruitvision.__main__ import main; sys.exit(main())"
    asked = {"_FRUITVISION_COMPLETE": "complete_bash", "COMP_WORDS": "fruitvision pre", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=PROJECT, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
    assert result.stdout.split() == ["predict"]


def test_missing_requirements_are_one_line_with_the_command_that_installs_them():
    code = f"""
import runpy, sys
sys.modules["gradio"] = None
sys.argv = ["app.py", "--no-browser"]
runpy.run_path({str(PROJECT / "app.py")!r}, run_name="__main__")
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert result.returncode == 1
    assert "'gradio' is not installed" in one_line(result.stderr)
    assert f'-m pip install -r "{PROJECT / "requirements.txt"}"' in result.stderr


# pictures as people bring them ------------------------------------------------------------------------------------


@pytest.fixture
def archived(sample_set, tmp_path) -> Path:
    """The sample set as a zip, in a folder of its own."""
    (tmp_path / "brought").mkdir()
    return Path(shutil.make_archive(str(tmp_path / "brought" / "fruit"), "zip", sample_set.parent, sample_set.name))


def test_an_archive_is_scanned_and_trained_on_like_a_folder(run, archived, tmp_path):
    code, out, err = run("data", "scan", f"'{archived}'", "--json")
    assert code == 0 and len(json.loads(out)["classes"]) == 4 and "Unpacked fruit.zip" in err
    code, out, err = run("train", "--run", tmp_path / "r", "--data", archived, "--json", "--set", "epochs=1", *TINY)
    assert code == 0 and json.loads(out)["state"] == "finished" and "Unpacked" not in err, "once"
    config = json.loads((tmp_path / "r" / "config.json").read_text(encoding="utf-8"))
    assert config["data"] == str(archived.with_suffix(""))


def test_an_address_in_place_of_a_folder_is_refused_in_one_line(run, tmp_path):
    code, out, err = run("train", "--run", tmp_path / "r", "--data", "https://example.org/fruit.zip")
    assert (code, out) == (1, "") and "https://example.org/fruit.zip" in one_line(err) and not (tmp_path / "r").exists()


def test_the_home_folder_and_file_addresses_are_understood(run, sample_set, monkeypatch):
    monkeypatch.setenv("HOME" if os.name != "nt" else "USERPROFILE", str(sample_set.parent))
    for given in (Path("~") / sample_set.name, sample_set.as_uri()):
        code, out, _ = run("data", "scan", given, "--json")
        assert code == 0 and json.loads(out)["root"] == str(sample_set)


def test_scan_says_how_a_nested_folder_was_understood(run, sample_set, tmp_path):
    for name, above in (("Apple", "Round"), ("Orange", "Round"), ("Banana", "Long")):
        shutil.copytree(sample_set / "Training" / name, tmp_path / "nested" / above / name)
    code, out, _ = run("data", "scan", tmp_path / "nested")
    assert code == 0 and "3 classes" in out and "class_depth" in out
    code, out, _ = run("data", "scan", tmp_path / "nested", "--depth", "1", "--json")
    result = json.loads(out)
    assert result["classes"] == ["Long", "Round"] and result["notes"] == []
