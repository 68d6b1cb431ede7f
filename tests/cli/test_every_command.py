"""What holds for every command: help, misuse, errors in one line, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fruitvision.__main__ import guarded, main
from tests.cli.conftest import PROJECT, one_line, start

SERVERS = ("app", "mcp")
"""They answer until they are ended, and print no result."""
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
    "export",
    "push",
    *SERVERS,
]


# what holds for every command ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert f"{command} [OPTIONS]" in out and ("--json" in out) == (command not in SERVERS)


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
