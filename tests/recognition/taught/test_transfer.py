"""What an import makes of a small archive is bounded, and many pictures are never in memory at once."""

from __future__ import annotations

import io
import json
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.errors import DataError, DownloadError
from fruitvision.recognition.taught import transfer
from fruitvision.recognition.taught.store import INDEX, MAX_NAME_LENGTH, TaughtStore, clean_name
from fruitvision.recognition.taught.transfer import add_taught, export_taught, import_taught


def tiled(seed: int) -> bytes:
    """A picture of one tile again and again: a PNG of some hundred bytes, and a JPEG of some hundred thousand."""
    tile = np.random.default_rng(seed).integers(0, 2, (8, 8), np.uint8)
    image = Image.fromarray(np.tile(tile, (64, 64)), "P")
    image.putpalette([255, 0, 0, 0, 255, 255])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def zipped(file: Path, count: int) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for n in range(count):
            opened.writestr(f"set/kind {n % 2}/{n}.png", tiled(n))
    return file


@pytest.fixture
def store(tmp_path) -> TaughtStore:
    return TaughtStore(tmp_path / "taught")


@pytest.mark.parametrize("way", ["classes", "export"])
def test_pictures_that_grow_when_they_are_encoded_again_are_bounded(store, tmp_path, monkeypatch, way):
    file = zipped(tmp_path / "in.zip", 12)
    if way == "export":
        there = TaughtStore(tmp_path / "there")
        import_taught(there, file)
        export_taught(there, file)
    with zipfile.ZipFile(file) as opened:
        size = sum(entry.file_size for entry in opened.infolist())
    grown = size if way == "export" else 40 * size
    monkeypatch.setattr(transfer, "MAX_UNPACKED_BYTES", grown // 2)
    monkeypatch.setattr(transfer, "unpack", lambda *given, unpack=transfer.unpack, **more: unpack(*given, max_files=100))
    with pytest.raises(DownloadError) as caught:
        import_taught(store, file)
    assert caught.value.code == "archive-too-large" and caught.value.facts["file"] == "in.zip"
    assert store.index().names == {}


def test_the_pixels_of_class_folders_are_counted_before_one_is_decoded(store, tmp_path, monkeypatch):
    file = zipped(tmp_path / "in.zip", 4)
    monkeypatch.setattr(transfer, "MAX_ALL_PIXELS", 3 * 512 * 512)
    monkeypatch.setattr(transfer, "encoded", lambda image: pytest.fail("decoded before it was counted"))
    with pytest.raises(DownloadError) as caught:
        import_taught(store, file)
    assert caught.value.code == "archive-too-large"


def test_many_pictures_are_never_in_memory_at_once(store, tmp_path, monkeypatch):
    large = b"x" * 2**20
    monkeypatch.setattr(transfer, "encoded", lambda image: (f"{int(Path(image).stem):032x}", large))
    file = zipped(tmp_path / "in.zip", 12)
    tracemalloc.start()
    try:
        assert import_taught(store, file) == 12
        there = TaughtStore(tmp_path / "there")
        assert add_taught(store, there) == 12
        assert tracemalloc.get_traced_memory()[1] < 7 * 2**20
    finally:
        tracemalloc.stop()
    assert there.index() == store.index() and len(list(there.folder.glob("pictures/*.jpg"))) == 12


def test_a_picture_that_is_gone_meanwhile_is_left_out_of_what_is_added(store, tmp_path):
    first, second = store.add("Pear", *(np.full((40, 30, 3), shade, np.uint8) for shade in (1, 2)))
    store.picture_file(first).unlink()
    there = TaughtStore(tmp_path / "there")
    add_taught(store, there)
    assert there.index().names == {"Pear": (second,)}


def test_a_name_of_countless_marks_takes_no_time_and_no_export_holds_it(store, tmp_path):
    """Its marks are sorted one by one, while no other thread runs."""
    name, start = "a" + "\u0301" * 60_000 + "\u0316" * 60_000, time.process_time()
    assert clean_name(name)[:1] == "á" and len(clean_name(name)) <= MAX_NAME_LENGTH
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as opened:
        opened.writestr(INDEX, json.dumps({"version": 1, "names": {name: ["0" * 32]}}))
        opened.writestr(f"pictures/{'0' * 32}.jpg", tiled(0))
    with pytest.raises(DataError) as caught:
        import_taught(store, tmp_path / "in.zip")
    assert caught.value.code == "taught-no-export" and time.process_time() - start < 2
    assert clean_name(" " * 5000 + "Quince") == "Quince"
