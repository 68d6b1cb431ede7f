"""Work is given to as many cores as it is worth, and a file that cannot be written is an error, not a gap."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read import decoding
from fruitvision.data.read.decoding import DecodedPicture, decode_files, worker_count


@pytest.fixture
def pictures(tmp_path) -> list[str]:
    """40 pictures of differing sizes, and one file that is none, in ``tmp_path``."""
    for i in range(40):
        Image.new("RGB", (5 + i, 4), (i, 2 * i, 3 * i)).save(tmp_path / f"{i:02}.png")
    (tmp_path / "none.png").write_text("none", encoding="utf-8")
    return [f"{i:02}.png" for i in range(40)] + ["none.png"]


def pixels_of(outcome: DecodedPicture, parts: list[Path]) -> np.ndarray:
    size = outcome.height * outcome.width * 3
    data = parts[outcome.part].read_bytes()[outcome.offset : outcome.offset + size]
    return np.frombuffer(data, np.uint8).reshape(outcome.height, outcome.width, 3)


@pytest.mark.parametrize(("cores", "files_per_process"), [(1, 1500), (3, 1500), (3, 10)])
def test_every_file_has_its_outcome_in_order(tmp_path, pictures, monkeypatch, cores, files_per_process):
    monkeypatch.setattr(decoding, "FILES_PER_PROCESS", files_per_process)
    parts = [tmp_path / f"{n}.bin" for n in range(cores)]
    told: list[int] = []
    outcomes = decode_files(tmp_path, pictures, parts, 256, told.append)
    for i, outcome in enumerate(outcomes[:-1]):
        assert (outcome.height, outcome.width) == (4, 5 + i)
        assert (pixels_of(outcome, parts) == (i, 2 * i, 3 * i)).all()
    assert (outcomes[-1].kind, outcomes[-1].fault["code"]) == ("not-an-image", "picture-not-an-image")
    assert told == sorted(told) and told[-1] == 41


def test_a_file_that_vanished_is_unreadable(tmp_path):
    (outcome,) = decode_files(tmp_path, ["gone.jpg"], [tmp_path / "0.bin"], 256, lambda _: None)
    assert outcome.kind == "unreadable"


def test_a_jpeg_that_was_cut_off_is_left_out_of_a_dataset(tmp_path):
    """Its missing rows would be learned as grey; asked for by itself it is answered."""
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-9])
    (outcome,) = decode_files(tmp_path, ["a.jpg"], [tmp_path / "0.bin"], 256, lambda _: None)
    assert outcome.kind == "damaged"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("files_per_process", [1500, 10])
def test_a_full_disk_is_an_error(tmp_path, pictures, monkeypatch, files_per_process):
    monkeypatch.setattr(decoding, "FILES_PER_PROCESS", files_per_process)
    parts = [tmp_path / "0.bin", Path("/dev/full")]
    with pytest.raises(OSError) as caught:
        decode_files(tmp_path, pictures, parts, 256, lambda _: None)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("cores", "files", "workers"),
    [(2, 1, 1), (2, 100, 2), (8, 40, 5), (8, 2900, 8), (8, 3100, 2), (8, 90_000, 8), (64, 90_000, 16)],
)
def test_work_is_given_to_as_many_cores_as_it_is_worth(monkeypatch, cores, files, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert worker_count(files) == workers


def test_a_worker_starts_without_numpy_and_torch(project):
    code = "import sys, fruitvision.data.read.decoding; print([n for n in ('numpy', 'torch') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, check=True, encoding="utf-8")
    assert run.stdout.strip() == "[]"
