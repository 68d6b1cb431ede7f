"""A store of decoded pictures that was damaged is built again: its index answers as it was written, or not at all."""

from __future__ import annotations

import io
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read.image_store import INDEX, ImageStore
from fruitvision.data.read.store import open_dataset
from fruitvision.errors import DataError
from tests.damage import damaged
from tests.sentences import is_worded


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder of six pictures, one of them damaged, and beside it the store that was made of it."""
    top = tmp_path_factory.mktemp("store")
    for number, name in enumerate(("Apple", "Pear")):
        (top / "set" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (12 + i, 9), (80 * number, 40 * i, 9)).save(top / "set" / name / f"{i}.png")
    (top / "set" / "Apple" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    open_dataset(top / "set", cache=top / "cache")
    return top


@pytest.fixture
def store(built, tmp_path) -> Path:
    """A store's own folder, to be spoiled."""
    return Path(shutil.copytree(store_of(built), tmp_path / "store"))


def store_of(top: Path) -> Path:
    return next(top.glob(f"cache/stores/*/*/{INDEX}")).parent


def facts(store: ImageStore) -> tuple:
    pixels = [store[row].tobytes() for row in range(len(store))]
    return store.paths, store.hashes, store.shapes.tolist(), pixels, store.known(), store.problems()


def test_a_damaged_index_is_refused_or_says_the_same(store):
    before = facts(ImageStore(store))
    refused = 0
    for content in damaged((store / INDEX).read_bytes(), 600):
        (store / INDEX).write_bytes(content)
        try:
            assert facts(ImageStore(store)) == before
        except DataError as error:
            assert error.code == "store-damaged" and is_worded(error)
            refused += 1
    assert refused > 500


def rewritten(store: Path, **arrays: np.ndarray) -> None:
    """The index written anew, whole and well, with other content."""
    with np.load(store / INDEX) as index:
        kept = dict(index)
    stream = io.BytesIO()
    np.savez(stream, **{**kept, **arrays})
    (store / INDEX).write_bytes(stream.getvalue())


@pytest.mark.parametrize(
    "arrays",
    [
        {"facts": np.frombuffer(b"{}", dtype=np.uint8)},
        {"facts": np.frombuffer(b"[]", dtype=np.uint8)},
        {"facts": np.frombuffer(b"7", dtype=np.uint8)},
        {"facts": np.frombuffer(b'{"sizes": 7}', dtype=np.uint8)},
        {"facts": np.frombuffer(b"[" * 20_000, dtype=np.uint8)},
        {"facts": np.array("text")},
    ],
    ids=str,
)
def test_an_index_of_other_things_is_refused(store, arrays):
    rewritten(store, **arrays)
    with pytest.raises(DataError) as caught:
        ImageStore(store)
    assert caught.value.code == "store-damaged"


@pytest.mark.parametrize("spoil", [b"", b"\0" * 99, b"PK\x03\x04" + b"\xff" * 200])
def test_a_damaged_store_is_built_again(built, tmp_path, spoil):
    dataset, before = open_dataset(built / "set", cache=tmp_path / "cache")
    known = facts(before)
    (before.path / INDEX).write_bytes(spoil)
    again, after = open_dataset(built / "set", cache=tmp_path / "cache")
    assert facts(after) == known and again.fingerprint == dataset.fingerprint and after.path != before.path


def test_a_missing_or_shortened_file_of_pixels_is_found(store):
    for part in sorted(store.glob("pixels-*.bin")):
        whole = part.read_bytes()
        for content in (whole[:-1], whole + b"\0", None):
            part.unlink()
            if content is not None:
                if content == whole:  # nothing to cut off
                    part.write_bytes(whole)
                    continue
                part.write_bytes(content)
            with pytest.raises(DataError) as caught:
                ImageStore(store)
            assert caught.value.code in ("store-damaged", "store-missing")
            part.write_bytes(whole)


def test_a_flipped_bit_in_a_picture_is_found_when_it_is_asked_for_and_the_store_made_again(built, tmp_path):
    dataset, store = open_dataset(built / "set", cache=tmp_path / "cache")
    known, (part,) = facts(store), [part for part in store.path.glob("pixels-*.bin") if part.stat().st_size]
    whole = part.read_bytes()
    index = (store.path / INDEX).read_bytes()
    for place in range(0, len(whole), 37):
        part.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        (store.path / INDEX).write_bytes(index)
        spoiled = ImageStore(store.path)
        with pytest.raises(DataError) as caught:
            facts(spoiled)
        assert caught.value.code == "store-damaged" and is_worded(caught.value)
    again, after = open_dataset(built / "set", cache=tmp_path / "cache")
    assert facts(after) == known and after.path != store.path and again.fingerprint == dataset.fingerprint


def test_damage_in_a_cache_that_may_not_be_written_is_a_sentence_too(store, monkeypatch):
    part = next(part for part in store.glob("pixels-*.bin") if part.stat().st_size)
    part.write_bytes(bytes(part.stat().st_size))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "unlink", denied)
    with pytest.raises(DataError) as caught:
        facts(ImageStore(store))
    assert caught.value.code == "store-damaged" and str(store) in str(caught.value)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap-has-sprung",)


def test_a_pickle_is_never_run(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = (store / INDEX).read_bytes()
    (store / INDEX).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError):
        ImageStore(store)
    (store / INDEX).write_bytes(whole)
    rewritten(store, shapes=np.array([Trap()], dtype=object))
    with pytest.raises(DataError):
        ImageStore(store)
    assert not (tmp_path / "trap-has-sprung").exists()
