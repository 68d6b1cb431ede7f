"""What is kept is found again, decoded anew where a file changed, and built again where it was spoiled."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import fruitvision.data.read.store as store_module
from fruitvision.data.read.picture import load_pixels
from fruitvision.data.read.store import open_dataset
from fruitvision.errors import DataError
from fruitvision.files import cache_folder
from tests.data.read.store.conftest import draw, stores


def test_what_an_earlier_version_kept_is_cleared_away_and_other_folders_stores_are_not(root, cache, tmp_path):
    shutil.copytree(root, tmp_path / "other")
    open_dataset(tmp_path / "other")
    old = cache / "stores" / "0123456789abcdef0123" / f"{'01' * 16}-0123abcd"
    foreign = cache / "stores" / "grocery" / "2024", cache / "stores" / "0123456789abcdef9999" / "ledger"
    for folder in (old, *foreign):
        folder.mkdir(parents=True)
        (folder / "pixels-0.bin").write_bytes(b"x")
    open_dataset(root)
    assert not old.parent.exists() and all((folder / "pixels-0.bin").exists() for folder in foreign)
    assert len(stores(cache)) == 4


def test_only_what_changed_is_decoded_again(root, cache, decoded):
    _, before = open_dataset(root)
    kept = before[before.paths.index("Training/Pear 梨/2.jpg")].copy()
    del before
    decoded.clear()
    draw(root / "Training" / "Apple" / "0.jpg", 999)
    draw(root / "Training" / "Apple" / "new.jpg", 998)
    (root / "Test" / "Apple" / "1.jpg").unlink()
    dataset, store = open_dataset(root)
    assert sorted(decoded) == ["Training/Apple/0.jpg", "Training/Apple/new.jpg"]
    assert len(store) == 10 and store.paths == sorted(store.paths)
    for path in (
        "Training/Apple/0.jpg",
        "Training/Apple/new.jpg",
        "Training/Apple/1.jpg",
        "Test/Apple/0.jpg",
    ):
        assert (store[store.paths.index(path)] == load_pixels(root / path)).all()
    assert (store[store.paths.index("Training/Pear 梨/2.jpg")] == kept).all()
    assert len(stores(cache)) == 1, "the superseded one is gone"


def test_a_file_changed_in_place_is_noticed_by_its_time(root, cache, decoded):
    first, _ = open_dataset(root)
    path = root / "Training" / "Apple" / "0.jpg"
    size = path.stat().st_size
    Image.new("RGB", (24, 24), "red").save(path, "JPEG")
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    os.utime(path, ns=(1, 1))
    decoded.clear()
    second, _ = open_dataset(root)
    assert decoded == ["Training/Apple/0.jpg"]
    assert second.fingerprint != first.fingerprint


def test_a_moved_folder_is_decoded_for_its_new_place(root, cache):
    first, _ = open_dataset(root)
    second, store = open_dataset(shutil.copytree(root, root.parent / "copy"))
    assert second.fingerprint == first.fingerprint and len(store) == 10
    assert len(stores(cache)) == 2


def test_the_cache_lies_where_the_variable_says(root, cache, tmp_path):
    assert cache_folder() == cache
    _, store = open_dataset(root)
    assert store.path.is_relative_to(cache)
    _, store = open_dataset(root, cache=tmp_path / "elsewhere")
    assert store.path.is_relative_to(tmp_path / "elsewhere")


def test_without_the_variable_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("FRUITVISION_CACHE")
    assert cache_folder().is_absolute() and "fruitvision" in str(cache_folder()).lower()


def test_nothing_is_written_among_the_pictures(root, cache):
    before = sorted(root.rglob("*"))
    open_dataset(root)
    assert sorted(root.rglob("*")) == before


def spoil_size(folder: Path) -> None:
    part = max(folder.glob("pixels-*.bin"), key=lambda path: path.stat().st_size)
    part.write_bytes(part.read_bytes()[:-1])


def spoil_index(folder: Path) -> None:
    (folder / "index.npz").write_bytes((folder / "index.npz").read_bytes()[:200])


def forget_index(folder: Path) -> None:
    (folder / "index.npz").unlink()


def empty_index(folder: Path) -> None:
    (folder / "index.npz").write_bytes(b"")


@pytest.mark.parametrize("spoil", [spoil_size, spoil_index, forget_index, empty_index])
def test_a_store_that_a_crash_cut_short_is_built_again(root, cache, spoil):
    first = open_dataset(root)[0]
    spoil(stores(cache)[0])
    second, store = open_dataset(root)
    assert second.fingerprint == first.fingerprint
    assert (store[0] == load_pixels(root / store.paths[0])).all()
    assert len(stores(cache)) == 1


def test_a_store_that_is_gone_says_so(root, cache):
    _, store = open_dataset(root)
    packed = pickle.dumps(store)
    shutil.rmtree(store.path)
    with pytest.raises(DataError) as caught:
        pickle.loads(packed)
    assert caught.value.code == "store-missing"


def test_stopping_halfway_leaves_nothing_behind(root, cache):
    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dataset(root, progress=stop)
    assert stores(cache) == []
    assert len(open_dataset(root)[1]) == 10


def full_disk(tmp_path: Path) -> Path:
    """A real disk of 64 KiB, where this machine lets one be made."""
    place = tmp_path / "tiny disk"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only Linux's root can mount a tiny disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    return place


def test_a_full_disk_is_said_and_leaves_nothing_behind(root, tmp_path):
    for i in range(70):
        draw(root / "Training" / "Apple" / f"more {i}.jpg", i, (40, 40))
    place = full_disk(tmp_path)
    try:
        with pytest.raises(DataError) as caught:
            open_dataset(root, cache=place)
        assert caught.value.code == "cache-disk-full" and str(place) in str(caught.value)
        assert stores(place) == []
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_keeps_the_store_there_was(root, cache, monkeypatch):
    _, before = open_dataset(root)
    draw(root / "Training" / "Apple" / "new.jpg", 5)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_index", full)
        with pytest.raises(DataError) as caught:
            open_dataset(root)
    assert caught.value.code == "cache-disk-full"
    assert stores(cache) == [before.path]
    assert len(open_dataset(root)[1]) == 11


def test_a_cache_that_cannot_be_written_is_explained(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as caught:
        open_dataset(root, cache=tmp_path / "file")
    assert caught.value.code == "cache-not-writable"
    assert "FRUITVISION_CACHE" in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only to an administrator")
def test_a_read_only_cache_is_explained(root, cache):
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(DataError) as caught:
        open_dataset(root)
    assert caught.value.code == "cache-not-writable"
