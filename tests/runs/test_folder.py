"""A run folder is readable while it is written, and nothing that is no run is ever touched."""

from __future__ import annotations

import json
import os
import time

import psutil
import pytest

from fruitvision.errors import DataError, RunError
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder, list_runs, new_run
from fruitvision.runs.metrics import metrics_reader
from fruitvision.runs.names import free_name, rename
from fruitvision.runs.status import RunStatus


def test_a_run_keeps_its_name_in_any_script_and_is_listed_newest_first(tmp_path, tiny):
    first = new_run(tmp_path, tiny("苹果 und 100%/..\\x"))
    second = new_run(tmp_path, tiny("").model_copy(update={"created": time.time() + 5}))
    (tmp_path / "no run").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{", encoding="utf-8")
    assert list_runs(tmp_path) == [second, first]
    assert first.name == "苹果 und 100%/..\\x" and first.path.parent == tmp_path
    assert second.name == second.id
    assert list_runs(tmp_path / "nowhere") == []


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path, tiny):
    config = tiny("same")
    assert new_run(tmp_path, config).path != new_run(tmp_path, config).path


def test_a_run_is_never_set_up_over_another(tmp_path, tiny):
    run = RunFolder(tmp_path / "run").create(tiny())
    with pytest.raises(RunError) as caught:
        run.create(tiny("other"))
    assert caught.value.code == "run-exists" and run.name == "tiny"


def test_metrics_can_be_read_while_a_line_is_half_written(tmp_path, tiny):
    run = RunFolder(tmp_path / "run").create(tiny())
    run.append({"kind": "epoch", "epoch": 1, "val_loss": float("nan")})
    run.append({"kind": "step", "epoch": 2, "step": 1})
    with (run.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "epoch", "epo')
    assert run.metrics() == [{"kind": "epoch", "epoch": 1, "val_loss": None}]
    assert len(run.metrics(None)) == 2


def test_what_a_resume_will_do_again_is_forgotten(tmp_path, tiny):
    run = RunFolder(tmp_path / "run").create(tiny())
    for epoch in (1, 2):
        for step in (1, 2, 3):
            run.append({"kind": "step", "epoch": epoch, "step": step})
        run.append({"kind": "epoch", "epoch": epoch})
    run.forget_after(1, 2)
    assert [(r["kind"], r["epoch"], r.get("step")) for r in run.metrics(None)] == [
        ("step", 1, 1),
        ("step", 1, 2),
        ("step", 1, 3),
        ("epoch", 1, None),
        ("step", 2, 1),
        ("step", 2, 2),
    ]


def test_a_run_whose_process_is_gone_is_interrupted_even_if_its_pid_lives_again(tmp_path, tiny):
    run = RunFolder(tmp_path / "run").create(tiny())
    me = psutil.Process()
    run.write_status(RunStatus(state="running", pid=os.getpid(), process_started=me.create_time(), heartbeat=time.time()))
    assert run.status().state == "running"
    run.write_status(RunStatus(state="running", pid=os.getpid(), process_started=me.create_time() - 1000, heartbeat=time.time()))
    assert run.status().state == "interrupted", "another process has the pid now"
    run.write_status(RunStatus(state="running", pid=2**22 + 1, heartbeat=time.time()))
    assert run.status().state == "interrupted"
    run.write_status(RunStatus(state="waiting", heartbeat=time.time() - 1000))
    assert run.status().state == "interrupted", "its process never came"


def test_a_clock_that_was_set_makes_no_run_dead_that_still_beats(tmp_path, tiny, monkeypatch):
    """Linux counts births from a boot time that moves with the clock; only training commands are believed by their beat."""
    run, me = RunFolder(tmp_path / "run").create(tiny()), psutil.Process()
    run.write_status(RunStatus(state="running", pid=me.pid, process_started=me.create_time() - 3600, heartbeat=time.time()))
    commands = {
        "running": [["python", "-m", "fruitvision", "train", "--run", "a"], ["/home/x/bin/fruitvision", "train"]],
        "interrupted": [["/home/fruitvision/bin/python", "-m", "pytest"], ["python", "-m", "fruitvision", "predict"], []],
    }
    for state, several in commands.items():
        for words in several:
            monkeypatch.setattr(psutil.Process, "cmdline", lambda process, words=words: words)
            assert run.status().state == state, words
    monkeypatch.setattr(psutil.Process, "cmdline", lambda process: commands["running"][0])
    run.write_status(run.status().model_copy(update={"heartbeat": time.time() - 60}))
    assert run.status().state == "interrupted", "it has not been heard of for a minute"


@pytest.mark.parametrize("content", ["", "{", "null", '{"state": "dancing"}'])
def test_a_damaged_status_is_no_crash(tmp_path, tiny, content):
    run = RunFolder(tmp_path / "run").create(tiny())
    (run.path / "status.json").write_text(content, encoding="utf-8")
    assert run.status().state == "interrupted"


def test_a_run_is_renamed_but_not_to_nothing(tmp_path, tiny):
    run = RunFolder(tmp_path / "run").create(tiny())
    rename(run, "  新 \n name ")
    assert run.name == "新 name"
    with pytest.raises(RunError) as caught:
        rename(run, " \t")
    assert caught.value.code == "run-name-empty" and run.name == "新 name"


def test_no_two_runs_have_the_same_name(tmp_path, tiny):
    runs = [new_run(tmp_path, tiny(free_name(tmp_path, name))) for name in ("Apples", "apples", " apples ", "pears")]
    assert [run.name for run in runs] == ["Apples", "apples 2", "apples 3", "pears"]
    assert free_name(tmp_path, "pears", own=runs[3].id) == "pears"
    with pytest.raises(RunError) as caught:
        rename(runs[3], "APPLES")
    assert caught.value.code == "run-name-taken" and runs[3].name == "pears"
    rename(runs[3], "Pears")
    assert len(free_name(tmp_path, "x" * 5000)) == 100


def test_only_a_run_that_rests_is_deleted_and_nothing_that_is_no_run(tmp_path, tiny):
    run = RunFolder(tmp_path / "run").create(tiny())
    with pytest.raises(RunError) as caught:  # it is about to start
        run.delete()
    assert caught.value.code == "run-active"
    run.write_status(RunStatus(state="stopped"))
    run.delete()
    assert not run.path.exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("three years", encoding="utf-8")
    with pytest.raises(RunError) as caught:
        RunFolder(precious).delete()
    assert caught.value.code == "run-missing" and (precious / "thesis.txt").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path, tiny):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        RunFolder(tmp_path / "file" / "run").create(tiny())
    assert caught.value.code == "cannot-write"


HOSTILE_STATUS = [
    {"pid": -1},
    {"pid": 2**70},
    {"epoch": 10**400},
    {"seconds": float("inf")},
    {"heartbeat": 1e300},
    {"error": {"code": 5}},
    {"error": {"code": "busy", "facts": ["a"]}},
]


@pytest.mark.parametrize("values", HOSTILE_STATUS)
def test_a_status_that_no_run_writes_is_none(tmp_path, values):
    run = RunFolder(tmp_path / "run").create(RunConfig(data="data"))
    (run.path / "status.json").write_text(json.dumps({"state": "finished", **values}), encoding="utf-8")
    assert run.status().state == "interrupted"


@pytest.mark.parametrize("values", [{"created": -1e18}, {"created": 1e300}, {"data": "x" * 5000}, {"training": {"preset": "nope"}}])
def test_a_description_that_no_run_writes_is_damaged(tmp_path, values):
    run = RunFolder(tmp_path / "run").create(RunConfig(data="data"))
    (run.path / "config.json").write_text(json.dumps({"data": "data", **values}), encoding="utf-8")
    with pytest.raises(RunError) as caught:
        run.config()
    assert caught.value.code == "run-damaged" and run not in list_runs(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["config.json", "status.json", "metrics.jsonl"])
def test_a_pipe_and_a_device_in_a_run_are_not_read(tmp_path, name):
    """A pipe was waited for for ever, by each tick of each page; /dev/zero was read until memory was full."""
    for place in ("pipe", "device"):
        run = RunFolder(tmp_path / place).create(RunConfig(data="data"))
        (run.path / name).unlink(missing_ok=True)
        if place == "pipe":
            os.mkfifo(run.path / name)
        else:
            (run.path / name).symlink_to("/dev/zero")
        list_runs(tmp_path)
        run.status(), run.metrics("epoch"), metrics_reader(run.metrics_file).read()
        if name == "config.json":
            with pytest.raises(RunError):
                run.config()
