"""A run whose process was stopped by the system, or hangs: it is said, and can be ended; nobody else's process ever is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fruitvision.cli import app
from fruitvision.comparison.study import StudyFolder, StudyPlan
from fruitvision.errors import RunError
from fruitvision.runs import launcher, process, status
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job import loop
from fruitvision.runs.job.loop import execute
from fruitvision.runs.status import RunStatus
from fruitvision.ui.compare.study_view import study_status
from fruitvision.ui.train.run_view import run_table, status_line

from .conftest import wait_for

PROJECT = Path(__file__).resolve().parents[2]
stops = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no process")


@contextmanager
def sleeping(*words: str):
    """A process of ours that does nothing, under a command line that ends in these words."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", *words])
    try:
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()


def at_work(run: RunFolder, child: psutil.Process, *, born: float = 0.0, heartbeat: float = 0.0) -> None:
    """Write that this process works on the run; ``born`` and ``heartbeat`` are seconds off."""
    run.write_status(
        RunStatus(
            state="running",
            pid=child.pid,
            process_started=child.create_time() + born,
            heartbeat=time.time() + heartbeat,
            epoch=1,
            epochs=3,
        )
    )


def silent(run: RunFolder, monkeypatch) -> None:
    """Wait until nothing was heard of the run for a second, which counts as a minute here."""
    monkeypatch.setattr(status, "RESPONSE_SECONDS", 1.0)
    end = time.monotonic() + 30
    while run.status().responding:
        assert time.monotonic() < end
        time.sleep(0.1)


def command(*words: object) -> dict:
    """What one of our commands prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "fruitvision", *map(str, words), "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def _leave_nothing(tmp_path):
    """A test that fails must not leave a stopped process behind."""
    yield
    for one in psutil.process_iter(["cmdline"]):
        if any(str(tmp_path) in word for word in one.info["cmdline"] or []) and one.pid != os.getpid():
            one.kill()


@pytest.mark.slow
@stops
def test_a_stopped_run_is_said_not_to_respond_is_ended_frees_the_lock_and_goes_on(tmp_path, tiny, monkeypatch):
    run = launcher.start(tmp_path / "runs", tiny("held", epochs=400))
    wait_for(run, "running")
    while not run.metrics():
        time.sleep(0.02)
    pid = run.status().pid
    os.kill(pid, signal.SIGSTOP)
    silent(run, monkeypatch)
    assert run.status().state == "running"
    for language, words in (("en", "not responding"), ("zh", "没有响应")):
        assert words in status_line(run, language) and words in run_table([run], [], language, owner=True)
    for action in (lambda: launcher.start(tmp_path / "runs", tiny("next")), lambda: launcher.resume(run), run.delete):
        with pytest.raises(RunError) as caught:
            action()
        assert caught.value.code == "run-not-responding" and "--force" in str(caught.value)
    began = time.monotonic()
    launcher.stop(run, wait=60)
    assert time.monotonic() - began < 20 and run.status().active, "a stop is not waited for"

    found = command("stop", "--run", run.path, "--force")
    assert (found["state"], found["was_active"]) == ("interrupted", True)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    kept = run.metrics()[-1]["epoch"]
    launcher.resume(run)  # nothing holds the lock, and the stop that was asked of the dead one does not stop this one
    wait_for(run, "running")
    while not any(record["epoch"] > kept for record in run.metrics()):  # what the dead one had not saved is taken out first
        assert run.status().active
        time.sleep(0.02)
    launcher.stop(run, wait=60)
    assert run.status().state == "stopped"


@pytest.mark.slow
@stops
def test_all_processes_of_a_run_are_ended_also_what_started_them(tmp_path, tiny, monkeypatch):
    run = launcher.start(tmp_path / "runs", tiny(epochs=400, norm="group", device="cpu").model_copy(update={"processes": 2}))
    wait_for(run, "running")
    leader = psutil.Process(run.status().pid)
    starter = next(one for one in leader.parents() if "torch.distributed.run" in one.cmdline())
    everything = [starter, *starter.children(recursive=True)]
    assert len(everything) >= 3
    for one in everything:
        one.suspend()
    silent(run, monkeypatch)
    run.end()
    assert not [one for one in everything if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert run.status().state == "interrupted"
    launcher.refuse_if_busy(run.path.parent)


@pytest.mark.parametrize("heartbeat", [0.0, -3600.0])
@pytest.mark.parametrize("words", [(), ("fruitvision", "predict", "--run", "{run}"), ("fruitvision", "train", "--run", "{run}-2")])
def test_another_process_that_was_given_the_pid_is_never_ended(tmp_path, tiny, words, heartbeat):
    run = RunFolder(tmp_path / "run").create(tiny())
    with sleeping(*(word.format(run=run.path) for word in words)) as child:
        at_work(run, child, born=-1000, heartbeat=heartbeat)
        try:
            run.end()
        except RunError as error:
            assert error.code == "run-not-ended" and run.status().active, "it beats, so it is waited for"
        else:
            assert run.status().state == "interrupted"
        assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("given", ["{run}", "--run={run}", "relative"])
def test_after_the_clock_was_set_a_run_is_known_by_its_command_and_can_be_ended(tmp_path, tiny, given, monkeypatch):
    """Linux moves the births of all processes with the clock."""
    run = RunFolder(tmp_path / "run").create(tiny())
    monkeypatch.chdir(tmp_path)
    words = {"relative": ["--run", "run"], "{run}": ["--run", str(run.path)]}.get(given, [given.format(run=run.path)])
    with sleeping("fruitvision", "train", *words) as child:
        at_work(run, child, born=-3600, heartbeat=-3600)
        assert run.status().state == "running" and not run.status().responding
        run.end()
        assert child.wait(10) is not None or not child.is_running()
    assert run.status().state == "interrupted"


@pytest.mark.slow
def test_a_study_that_does_not_respond_is_said_and_ended_too(tmp_path, sample_set):
    study = StudyFolder(tmp_path / "study").create(StudyPlan.parse({"data": str(sample_set), "norms": ["batch", "group"]}))
    with sleeping("fruitvision", "compare", "--out", str(study.path)) as child:
        at_work(RunFolder(study.path), child, heartbeat=-100)
        assert "not responding" in study_status(study, "en") and "没有响应" in study_status(study, "zh")
        assert command("stop", "--run", study.path, "--force")["state"] == "interrupted" == study.status().state
        child.wait(10)


def test_a_clock_that_was_set_makes_no_run_look_dead_for_longer_than_a_beat(tmp_path, tiny, monkeypatch):
    run, me = RunFolder(tmp_path / "run").create(tiny()), psutil.Process()
    for off in (-3600, 3600):
        at_work(run, me, heartbeat=off)
        assert not run.status().responding, "neither a beat of the past nor one of the future is one of now"
        at_work(run, me)
        assert run.status().responding
    assert process.Heartbeat.INTERVAL_SECONDS * 2 <= process.RECENT_SECONDS < status.RESPONSE_SECONDS


@pytest.mark.slow
def test_a_long_reading_does_not_look_dead_and_one_that_hangs_does(tmp_path, tiny, monkeypatch):
    """Before the first step nothing but its own thread shows that a run lives; and that only while something is done."""
    run, prepare = RunFolder(tmp_path / "runs" / "run").create(tiny(epochs=1)), loop.prepare
    monkeypatch.setattr(process.Heartbeat, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(process.Heartbeat, "HUNG_SECONDS", 1.0)
    heard: dict[str, float] = {}

    def beats_for(seconds: float, sign) -> float:
        """How long after now the last heartbeat came."""
        began, end = time.time(), time.monotonic() + seconds
        while time.monotonic() < end:
            sign()
            time.sleep(0.05)
        return run.status().heartbeat - began

    def slow(config, progress, listing):
        heard["reading"] = beats_for(3.0, lambda: progress(1, 100))
        heard["hanging"] = beats_for(6.0, lambda: None)
        return prepare(config, progress, listing)

    monkeypatch.setattr(loop, "prepare", slow)
    assert execute(run.path).state == "finished"
    assert heard["reading"] > 2.0 and 0.0 < heard["hanging"] < 4.0


def test_measuring_in_the_end_is_a_sign_of_life(tmp_path, tiny, monkeypatch):
    run, signs = RunFolder(tmp_path / "runs" / "run").create(tiny(epochs=1)), []
    monkeypatch.setattr(process.Heartbeat, "notify", lambda heartbeat: signs.append(run.status().steps and (run.path / "last").exists()))
    execute(run.path)
    assert signs[0] == 0 and signs[-1] is True, "while pictures are read, and while the best network is measured"


def test_the_command_explains_how_a_run_is_ended():
    (stop,) = [one for one in app.registered_commands if one.callback.__name__ == "stop"]
    assert "--force" in stop.callback.__doc__
