"""A call in a process of its own: what it returns, reports and raises arrives; it ends when it is no longer wanted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from fruitvision.errors import DataError, FruitVisionError, RunError
from fruitvision.runs.subprocess_call import call_in_subprocess


def squares(count, report):
    print("what a library prints is no answer")
    for number in range(count):
        report(number, number**2)
    return os.getpid()


def memory(megabytes, report):
    return int(np.ones(megabytes << 17).sum()) >> 17


def refused(folder, report):
    raise DataError("data-missing", path=folder)


def broken(report):
    raise ValueError("a mistake of ours")


def killed(report):
    os._exit(9)


def waits(report):
    report(os.getpid())
    time.sleep(600)


def test_what_it_reports_and_returns_arrives_and_its_memory_goes():
    reported = []
    assert call_in_subprocess(squares, 3, report=lambda *said: reported.append(said)) != os.getpid()
    assert reported == [(0, 0), (1, 1), (2, 4)]
    before = psutil.Process().memory_info().rss
    assert call_in_subprocess(memory, 300) == 300
    assert psutil.Process().memory_info().rss - before < 100 << 20


def test_its_errors_are_errors_here():
    with pytest.raises(DataError, match="no-such-folder") as caught:
        call_in_subprocess(refused, "no-such-folder")
    assert caught.value.code == "data-missing"
    with pytest.raises(FruitVisionError, match="ValueError: a mistake of ours"):
        call_in_subprocess(broken)
    with pytest.raises(RunError, match="memory"):
        call_in_subprocess(killed)


def gone(pid: int) -> bool:
    end = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.05)
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_it_is_killed_where_the_listener_stops_listening():
    pids = []

    def stop(pid):
        pids.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call_in_subprocess(waits, report=stop)
    assert gone(pids[0])


def test_it_ends_with_the_process_that_called_it():
    calling = "from tests.runs.test_subprocess_call import *; call_in_subprocess(waits, report=lambda pid: print(pid, flush=True))"
    caller = subprocess.Popen([sys.executable, "-c", calling], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    pid = int(caller.stdout.readline())
    assert psutil.pid_exists(pid)
    caller.kill()
    caller.communicate()
    assert gone(pid)
