"""Pictures are decoded once, kept, and given out; what cannot be read is named."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read.listing import list_tree
from fruitvision.data.read.picture import load_pixels
from fruitvision.data.read.store import open_dataset, open_folder, open_store, open_unlabelled
from fruitvision.errors import DataError
from tests.data.read.store.conftest import draw, kinds, stores, sum_of


def test_what_systems_put_beside_pictures_is_no_picture(tmp_path, cache):
    picture = Image.new("RGB", (20, 20), "red")
    for place in ("rooms", "__MACOSX/rooms", ".hidden"):
        (tmp_path / place).mkdir(parents=True)
        picture.save(tmp_path / place / "one.jpg")
    for name in ("Thumbs.db", "rooms/Thumbs.db", "rooms/desktop.ini", ".DS_Store", "__MACOSX/rooms/._one.jpg"):
        (tmp_path / name).write_bytes(b"x")
    store = open_unlabelled(tmp_path)
    assert list(store.paths) == ["rooms/one.jpg"] and not store.problems()


def test_rows_hold_the_pixels_of_their_files(root, cache):
    dataset, store = open_dataset(root)
    assert dataset.classes == ("Apple", "Pear 梨")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 6, "test": 4}
    for split in dataset.splits.values():
        for path, row in zip(split.paths, split.rows, strict=True):
            assert (store[row] == load_pixels(root / path)).all()
            assert store.paths[row] == path
    assert store.paths == sorted(store.paths)


def test_what_is_given_out_cannot_be_written(root, cache):
    _, store = open_dataset(root)
    with pytest.raises(ValueError, match="read-only"):
        store[0][:] = 0


def test_pictures_of_one_size_come_as_one_array(root, cache):
    _, store = open_dataset(root)
    assert store.shapes.tolist() == [[24, 24]] * 10 and len(store) == 10
    batch = store.take([3, 0, 3])
    assert batch.shape == (3, 24, 24, 3) and batch.flags.writeable
    assert (batch[0] == store[3]).all() and (batch[1] == store[0]).all()
    assert store.take([]).shape == (0, 0, 0, 3)


def test_pictures_keep_their_aspect_with_the_short_side_capped(root, cache):
    draw(root / "Training" / "Apple" / "wide.png", 1, (120, 60))
    dataset, store = open_dataset(root, short_side=32)
    row = store.paths.index("Training/Apple/wide.png")
    assert store[row].shape == (32, 64, 3)
    assert store.shapes.dtype == np.int32 and store.shapes[row].tolist() == [32, 64]
    assert len(np.unique(store.shapes, axis=0)) > 1
    with pytest.raises(ValueError, match="different sizes"):
        store.take([row, row - 1])


def test_the_second_time_nothing_is_decoded(root, cache, decoded):
    first, _ = open_dataset(root)
    assert len(decoded) == 10
    told = []
    second, store = open_dataset(root, progress=lambda done, total: told.append((done, total)))
    assert len(decoded) == 10 and told == [(10, 10)]
    assert second.fingerprint == first.fingerprint and len(store) == 10


def test_progress_counts_to_the_end(root, cache):
    told = []
    open_dataset(root, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 10) and told[-1] == (10, 10)
    assert told == sorted(told)


def test_files_that_are_no_good_are_named_and_left_out(root, cache, decoded):
    good = (root / "Training" / "Apple" / "0.jpg").read_bytes()
    folder = root / "Training" / "Apple"
    (folder / "cut.jpg").write_bytes(good[: len(good) // 2])
    (folder / "empty.jpg").touch()
    (folder / "list.jpg").write_text("milk, eggs", encoding="utf-8")
    (folder / "notes.txt").write_text("taken in May", encoding="utf-8")
    (root / "lost.jpg").write_bytes(good)
    (root / "Training" / "lost.jpg").write_bytes(good)
    expected = {
        "Training/Apple/cut.jpg": "damaged",
        "Training/Apple/empty.jpg": "empty",
        "Training/Apple/list.jpg": "not-an-image",
        "Training/Apple/notes.txt": "not-an-image",
        "Training/lost.jpg": "outside-class",
    }
    for _ in range(2):
        dataset, store = open_dataset(root)
        assert kinds(dataset) == expected
        assert len(store) == 10
    assert len(decoded) == 14, "bad files are remembered too"
    assert all(problem.detail.endswith(".") for problem in dataset.problems)


def test_every_strange_picture_is_read(root, cache):
    folder = root / "Training" / "Apple"
    long = "a very long name " * 11
    Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(folder / "cmyk.jpg")
    Image.new("P", (9, 9)).save(folder / "palette.png")
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(folder / "16 bit.png")
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(folder / "transparent.webp")
    Image.new("RGB", (9, 9)).save(folder / "moves.gif", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")])
    Image.new("RGB", (1, 1)).save(folder / f"{long}.png")
    dataset, store = open_dataset(root)
    assert not dataset.problems
    assert len(store) == 16
    assert store[store.paths.index("Training/Apple/transparent.webp")].min() == 255
    assert store[store.paths.index(f"Training/Apple/{long}.png")].shape == (1, 1, 3)


def test_a_file_that_may_be_read_again_is_read(root, cache, monkeypatch):
    locked = root / "Training" / "Apple" / "0.jpg"
    really_open = os.open

    def guarded(path, *rest, **options):
        if str(path) == str(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really_open(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", guarded)
        patch.setattr(os, "access", lambda *_: False)
        for _ in range(2):
            dataset, store = open_dataset(root)
            assert kinds(dataset) == {"Training/Apple/0.jpg": "unreadable"} and len(store) == 9
    dataset, store = open_dataset(root)
    assert not dataset.problems and len(store) == 10


def test_two_caps_live_side_by_side(root, cache, decoded):
    for _ in range(2):
        assert np.unique(open_dataset(root, short_side=24)[1].shapes, axis=0).tolist() == [[24, 24]]
        assert np.unique(open_dataset(root, short_side=12)[1].shapes, axis=0).tolist() == [[12, 12]]
    assert len(decoded) == 20 and len(stores(cache)) == 2


def test_a_spawned_process_maps_the_same_pixels(root, cache):
    _, store = open_dataset(root)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(sum_of, (store, [1, 4])) == sum_of(store, [1, 4])


def test_a_folder_is_opened_for_scoring_whatever_its_splits(root, cache, decoded):
    draw(root / "Test" / "New" / "0.jpg", 500)
    names, split, store, problems = open_folder(root)
    assert names == ("Apple", "New", "Pear 梨") and len(split) == 11 and not problems
    assert [names[label] for label in split.labels] == [path.split("/")[1] for path in split.paths]
    dataset, same = open_dataset(root)
    assert same.path == store.path and len(decoded) == 11, "both read one store"
    assert kinds(dataset) == {"Test/New": "class-not-in-training"}


def test_one_class_is_enough_for_scoring(tmp_path, cache):
    draw(tmp_path / "set" / "Apple" / "0.jpg", 1)
    assert open_folder(tmp_path / "set")[0] == ("Apple",)


def test_a_tree_of_pictures_has_a_store_too(tmp_path, cache):
    draw(tmp_path / "things" / "a.jpg", 1)
    draw(tmp_path / "things" / "room" / "b.png", 2, (40, 20))
    store = open_store(list_tree(tmp_path / "things", "not-fruit"))
    assert store.paths == ["a.jpg", "room/b.png"] and store[1].shape == (20, 40, 3)


def test_a_folder_of_text_is_no_folder_of_pictures(tmp_path, cache):
    for name in ("A", "B"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "x.txt").write_text("x", encoding="utf-8")
    for opening in (open_dataset, open_folder):
        with pytest.raises(DataError) as caught:
            opening(tmp_path / "set")
        assert caught.value.code == "no-pictures"


def test_copies_are_found_by_content(root, cache):
    shutil.copy(root / "Training" / "Apple" / "0.jpg", root / "Test" / "Apple" / "copy of it.jpg")
    shutil.copy(root / "Test" / "Pear 梨" / "0.jpg", root / "Training" / "Pear 梨" / "0.jpg")
    for name in ("1.jpg", "2.jpg"):
        (root / "Training" / "Pear 梨" / name).unlink()
    dataset, _ = open_dataset(root)
    assert kinds(dataset) == {
        "Test/Apple/copy of it.jpg": "duplicate-across-splits",
        "Training/Pear 梨": "class-copied",
    }


def test_real_photographs_are_all_read(real_data, cache):
    dataset, store = open_dataset(real_data / "photos" / "ms-learn")
    assert dataset.classes == ("Apple", "Banana", "Orange") and dataset.layout == "class-folders"
    assert not dataset.problems and len(store) == 69
    assert min(store.shapes.min(axis=1)) <= 256


def test_a_heic_that_nothing_read_is_read_once_something_is_installed(tmp_path, cache, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    for name in ("Apple", "Banana"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (64, 48), "red").save(tmp_path / "set" / name / "a.png")
        heif.from_pillow(Image.new("RGB", (64, 48), "blue")).save(tmp_path / "set" / name / "IMG_1.HEIC")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        dataset, _ = open_dataset(tmp_path / "set", cache=cache, test_fraction=0)
        assert {problem.kind for problem in dataset.problems} == {"heic"} and len(dataset.splits["train"]) == 2
        assert "pillow-heif" not in dataset.problems[0].detail and "HEIC" in dataset.problems[0].detail
    dataset, store = open_dataset(tmp_path / "set", cache=cache, test_fraction=0)
    assert not dataset.problems and len(dataset.splits["train"]) == 4 and len(store) == 4
