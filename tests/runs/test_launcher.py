"""Real processes: started, stopped, killed, and taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from fruitvision.errors import RunError
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute

from .conftest import wait_for


@pytest.mark.slow
def test_a_run_outlives_the_process_that_started_it_and_refuses_a_second_one(tmp_path, tiny):
    config = tiny("水果 run", epochs=400)
    starter = (
        "import sys; from fruitvision.runs import launcher; from fruitvision.runs.folder import RunConfig;"
        "launcher.start(sys.argv[1], RunConfig.model_validate_json(sys.argv[2]))"
    )
    runs = tmp_path / "läufe"
    subprocess.run([sys.executable, "-c", starter, str(runs), config.model_dump_json()], check=True, timeout=120)
    run = launcher.running(runs)
    assert run is not None and run.name == "水果 run"
    wait_for(run, "running")
    with pytest.raises(RunError) as caught:
        launcher.start(runs, tiny("another"))
    assert caught.value.code == "busy" and caught.value.facts["run"] == "水果 run"
    with pytest.raises(RunError):
        launcher.resume(run)
    launcher.stop(run, wait=30)
    status = run.status()
    assert status.state == "stopped" and status.step > 0
    assert launcher.running(runs) is None


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_run_is_interrupted_within_seconds_and_ends_as_if_it_had_not_been(tmp_path, tiny):
    undisturbed = RunFolder(tmp_path / "a" / "run").create(tiny(epochs=12))
    execute(undisturbed.path)
    run = launcher.start(tmp_path / "b", tiny(epochs=12))
    wait_for(run, "running")
    assert psutil.Process(run.status().pid).cmdline()[-3:] == ["train", "--run", str(run.path)], "a new run is not a resumed one"
    while not run.metrics():
        time.sleep(0.02)
    os.kill(run.status().pid, signal.SIGKILL)
    wait_for(run, "interrupted", seconds=5)
    load_checkpoint(run.best)
    launcher.resume(run)
    wait_for(run, "finished")
    ours, theirs = (load_checkpoint(one.last)[0].state_dict() for one in (run, undisturbed))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(RunError) as caught:
        launcher.resume(run)
    assert caught.value.code == "run-finished"


def test_a_start_that_fails_leaves_its_reason_in_the_run(tmp_path, tiny):
    run = launcher.start(tmp_path / "runs", tiny().model_copy(update={"data": str(tmp_path / "gone")}))
    status = wait_for(run, "failed")
    assert status.error["code"] == "data-missing"
    assert "Traceback" not in (run.path / "output.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_stop_that_is_asked_while_a_run_is_still_starting_is_heard(tmp_path, tiny):
    run = launcher.start(tmp_path / "runs", tiny(epochs=400))
    assert run.status().state == "waiting"
    launcher.stop(run)
    status = wait_for(run, "stopped")
    assert status.step == 0 and not run.metrics(None) and not run.stop_file.exists()
    run.request_stop()  # of a process that is gone
    launcher.resume(run)
    wait_for(run, "running")
    launcher.stop(run, wait=60)
    assert run.status().state == "stopped" and run.status().step > 0


def test_stopping_a_run_that_rests_does_nothing(tmp_path, tiny):
    run = RunFolder(tmp_path / "run").create(tiny())
    run.write_status(run.status().model_copy(update={"state": "stopped"}))
    launcher.stop(run)
    assert not run.stop_file.exists()


def test_on_windows_a_training_leaves_the_job_of_whoever_started_it_where_that_is_allowed(monkeypatch):
    """PyCharm's Stop ends the job that it made, with all its processes."""
    tried = []

    def popen(command, *, creationflags, **options):
        tried.append(creationflags)
        if len(tried) > 1 and creationflags & launcher.CREATE_BREAKAWAY_FROM_JOB:
            raise PermissionError(13, "Access is denied")
        return "started"

    monkeypatch.setattr(launcher.sys, "platform", "win32")
    monkeypatch.setattr(launcher.subprocess, "Popen", popen)
    assert launcher._start_detached(["python"]) == "started"
    assert launcher._start_detached(["python"]) == "started", "the job lets nobody go"
    plain = 0x08000200  # a group of its own, so that no Ctrl-C reaches it, and no window
    assert tried == [plain | 0x01000000, plain | 0x01000000, plain]
