"""Several processes, and several people, build and use one store."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from filelock import FileLock

import fruitvision.data.read.decoding as decoding
import fruitvision.data.read.store as store_module
from fruitvision.data.read.picture import load_pixels
from fruitvision.data.read.store import open_dataset
from tests.data.read.store.conftest import draw, kinds, stores, sum_of


def test_a_store_that_is_in_use_outlives_its_folders_next_scan_and_goes_when_it_is_not(root, cache):
    _, used = open_dataset(root)
    known = sum_of(used, [1, 4])
    for number in (7, 8):
        draw(root / "Training" / "Apple" / f"{number}.jpg", number)
        _, newer = open_dataset(root)
        assert newer.path != used.path and len(newer) == 4 + number
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # as a run's workers that start late
        assert pool.apply_async(sum_of, (used, [1, 4])).get(60) == known  # a pool waits for ever for what cannot be sent
    assert {used.path, newer.path} <= set(stores(cache)), "and not the one between them, once nobody had it open"
    del used
    open_dataset(root)
    assert stores(cache) == [newer.path]


HOLD = """
import pickle, sys
store = pickle.loads(bytes.fromhex(sys.argv[1]))
print("holds", flush=True)
sys.stdin.readline()
print(len(pickle.loads(pickle.dumps(store))), flush=True)
sys.stdin.readline()
"""


def test_a_store_that_another_process_uses_is_kept_until_that_ends_however_it_ends(root, cache, project):
    _, used = open_dataset(root)
    packed, path = pickle.dumps(used).hex(), used.path
    words = [sys.executable, "-c", HOLD, packed]
    with subprocess.Popen(words, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "holds\n"
            del used
            draw(root / "Training" / "Apple" / "7.jpg", 7)
            _, newer = open_dataset(root)
            assert len(newer) == 11 and path in stores(cache)
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "10\n", "it opens the store by its path"
        finally:
            other.kill()
    open_dataset(root)
    assert stores(cache) == [newer.path]


def test_whoever_waits_for_a_store_that_another_one_builds_shows_that_he_waits(root, cache, monkeypatch):
    monkeypatch.setattr(store_module, "_WAIT_SECONDS", 0.05)
    home = store_module._home(root, 256, None)
    home.mkdir(parents=True)
    held, waited = threading.Event(), threading.Event()

    def hold():
        with FileLock(home / "lock"):
            held.set()
            waited.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if len(seen) == 3:
            waited.set()

    _, store = open_dataset(root, progress=progress)
    other.join()
    assert seen[:3] == [(0, 10)] * 3 and len(store) == 10


BUILD = """
import sys
from pathlib import Path
import fruitvision.data.read.store as store
build = store._build
def noting(*args):
    print("built", flush=True)
    return build(*args)
store._build = noting
Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists():
    pass
dataset, pictures = store.open_dataset(sys.argv[1])
print(dataset.fingerprint, len(pictures), int(pictures.take(range(len(pictures))).sum()))
"""


def test_two_processes_build_one_store_once(root, cache, tmp_path, project):
    for i in range(150):
        draw(root / "Training" / "Apple" / f"more {i}.jpg", i, (64, 64))
    for path in root.rglob("?.jpg"):
        draw(path, 1, (64, 64))
    environment = {**os.environ, "PYTHONPATH": str(project)}
    ready = [tmp_path / "ready 0", tmp_path / "ready 1"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(root), str(own), str(other)],
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
        )
        for own, other in (ready, reversed(ready))
    ]
    lines = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    assert lines.count("built") == 1
    assert len({line for line in lines if line != "built"}) == 1
    assert len(stores(cache)) == 1


def test_two_visitors_of_one_app_build_one_store_once(root, cache, decoded):
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_dataset, [root] * 4))
    assert len(decoded) == 10 and len({store.path for _, store in opened}) == 1


def test_many_pictures_are_decoded_by_processes_of_their_own(root, cache, monkeypatch):
    for i in range(300):
        draw(root / "Training" / "Apple" / f"more {i}.jpg", 1000 + i)
    (root / "Training" / "Apple" / "bad.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    _, here = open_dataset(root, cache=cache / "threads")
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[-1])
    monkeypatch.setattr(decoding, "FILES_PER_PROCESS", 100)
    monkeypatch.setattr(store_module, "worker_count", lambda files: 2)
    dataset, apart = open_dataset(root, cache=cache / "processes")
    assert len(started) == 1 and started[0].returncode is not None, "it has ended"
    assert apart.paths == here.paths and apart.hashes == here.hashes
    assert all((apart[row] == here[row]).all() for row in range(len(here)))
    assert kinds(dataset) == {"Training/Apple/bad.jpg": "damaged"}


def test_a_worker_process_that_dies_costs_no_picture(root, cache, monkeypatch):
    for i in range(300):
        draw(root / "Training" / "Apple" / f"more {i}.jpg", 1000 + i)
    monkeypatch.setattr(sys, "executable", shutil.which("true") or sys.executable)
    monkeypatch.setattr(decoding, "FILES_PER_PROCESS", 100)
    monkeypatch.setattr(store_module, "worker_count", lambda files: 2)
    dataset, store = open_dataset(root)
    assert not dataset.problems and len(store) == 310
    assert all((store[row] == load_pixels(root / store.paths[row])).all() for row in range(0, 310, 7))
