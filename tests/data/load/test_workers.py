"""Batches made by other processes are those that would be made here, and no process outlives the one that asked."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

from fruitvision.data.load.batch import Batch
from fruitvision.data.load.workers import Workers, _KeyedBatches, workers_ended
from fruitvision.errors import DataError


def numbered(key: int) -> Batch:
    """A batch that its key alone decides, and the process that made it."""
    return Batch(torch.full((2, 3, 4, 4), float(key)), torch.tensor([key, os.getpid()]), np.array([key]), 2, 2)


def halved(key: int) -> Batch:
    return numbered(-key)


def keys_of(batches) -> list[int]:
    return [int(batch.images[0, 0, 0, 0]) for batch in batches]


@pytest.fixture
def two():
    workers = Workers(2)
    yield workers
    workers.close()


def test_batches_come_in_order_from_processes_that_all_functions_share(two):
    makers = two.register(numbered), two.register(halved)
    batches = list(makers[0](range(9)))
    assert keys_of(batches) == list(range(9)) and [batch.rows.tolist() for batch in batches] == [[n] for n in range(9)]
    assert all(batch.local_size == batch.global_size == 2 and batch.labels.dtype == torch.int64 for batch in batches)
    assert keys_of(makers[1](range(5))) == [-n for n in range(5)] and keys_of(makers[0]([7])) == [7]
    processes = {int(batch.labels[1]) for batch in (*batches, *makers[1](range(5)))}
    assert len(processes) == 2 and os.getpid() not in processes


def test_whoever_breaks_off_can_begin_again(two):
    batches = two.register(numbered)
    started = batches(range(30))
    assert keys_of([next(started), next(started)]) == [0, 1]
    started.close()
    assert keys_of(batches(range(40, 46))) == list(range(40, 46))


def test_without_processes_batches_are_made_here_one_ahead():
    asked = []

    def made(key: int) -> Batch:
        asked.append(key)
        return numbered(key)

    batches = Workers().register(made)(range(5))
    assert keys_of([next(batches)]) == [0]
    time.sleep(0.2)
    assert asked == [0, 1]
    rest = list(batches)
    assert keys_of(rest) == [1, 2, 3, 4] and {int(batch.labels[1]) for batch in rest} == {os.getpid()}


def test_what_torch_says_of_a_process_that_was_ended_is_a_sentence():
    """A real one is killed in ``runs/robust/test_run.py``, in a run of its own: torch says so wherever its process is just then."""
    for words in ("DataLoader worker (pid 7) is killed by signal: Killed.", "DataLoader worker (pid(s) 7) exited unexpectedly"):
        ended = workers_ended(RuntimeError(words))
        assert ended.code == "workers-ended" and "workers=0" in str(ended)
    assert workers_ended(RuntimeError("something else")) is None and workers_ended(ValueError("exited unexpectedly")) is None


def refused(key: int) -> Batch:
    raise DataError("store-damaged", folder="here")


def test_an_error_in_a_process_is_that_error(two):
    before = {*multiprocessing.active_children()}  # of other tests
    with pytest.raises(DataError) as caught:
        list(two.register(refused)([1]))
    assert caught.value.as_dict() == DataError("store-damaged", folder="here").as_dict()
    assert {*multiprocessing.active_children()} <= before, "left to the garbage collector, file descriptors would be closed twice"
    batches = two.register(numbered)
    with pytest.raises(ValueError, match="could not convert"):
        list(batches(["not a number"]))
    assert {*multiprocessing.active_children()} <= before
    assert keys_of(batches(range(3))) == [0, 1, 2]  # by new processes


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C otherwise")
def test_ctrl_c_is_for_the_process_that_trains(two):
    batches = two.register(numbered)(range(100))
    assert keys_of([next(batches), next(batches)]) == [0, 1]  # one of each process: both have begun
    children = multiprocessing.active_children()  # not psutil's: a test before this one may have left a browser that is ending
    assert len(children) >= 2
    for child in children:
        os.kill(child.pid, signal.SIGINT)
    assert keys_of(batches) == list(range(2, 100))


def large(key: int) -> Batch:
    """More than a pipe holds: it waits in the process that made it until it is fetched."""
    return Batch(torch.zeros(2, 3, 256, 256), torch.tensor([key, key]), np.array([key]), 2, 2)


ORPHANS = """
import time
import psutil
from fruitvision.data.load.workers import Workers
from tests.data.load.test_workers import large
batches = Workers(2).register(large)(range(1000))
next(batches)
print(*(child.pid for child in psutil.Process().children()), flush=True)
time.sleep(60)
"""


def test_processes_end_when_the_one_that_trains_is_killed():
    with subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True) as trainer:
        children = [psutil.Process(int(pid)) for pid in trainer.stdout.readline().split()]
        trainer.kill()
    assert len(children) == 2
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_what_makes_batches_can_be_sent_to_a_spawned_process_as_on_windows():
    workers = Workers(1)
    workers.register(numbered)
    made = pickle.loads(pickle.dumps(_KeyedBatches(workers._functions)))
    assert float(made[0, 3][0][0, 0, 0, 0]) == 3
