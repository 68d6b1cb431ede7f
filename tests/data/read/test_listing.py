"""What lies in a folder is found in every layout that datasets are published in, from names alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fruitvision.data.read.layouts.scan import long_path
from fruitvision.data.read.listing import list_pictures, list_tree
from fruitvision.errors import DataError


def make(root: Path, *names: str) -> Path:
    """Files with nothing in them to look at."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def seen(root: Path) -> dict[str, set[tuple[str, str]]]:
    """{split: {(class folder, path)}}"""
    found: dict[str, set[tuple[str, str]]] = {}
    for file in list_pictures(root).files:
        found.setdefault(file.split, set()).add((file.folder, file.path))
    return found


def refused(root: Path, **options) -> DataError:
    with pytest.raises(DataError) as caught:
        list_pictures(root, **options)
    return caught.value


@pytest.mark.parametrize(
    ("training", "validation", "test", "layout"),
    [
        ("Training", None, "Test", "fruits-360"),
        ("Training_100x100", None, "Test_100x100", "fruits-360"),
        ("Training", "Validation", "Test", "fruits-360-original-size"),
        (
            "Training_original-size",
            "Validation_original-size",
            "Test_original-size",
            "fruits-360-original-size",
        ),
        ("train", "val", "test", "split-folders"),
        ("TRAIN", "valid", "Testing", "split-folders"),
        ("train", "validation", None, "split-folders"),
    ],
)
def test_every_layout_with_splits(tmp_path, training, validation, test, layout):
    folders = {"train": training, "val": validation, "test": test}
    for name in filter(None, folders.values()):
        make(tmp_path, f"{name}/Apple 1/a.jpg", f"{name}/Pear/b.jpg")
    make(tmp_path, "LICENSE", "readme.md", "papers/paper.pdf", "test-multiple_fruits/apple.jpg")
    assert list_pictures(tmp_path).layout == layout
    assert seen(tmp_path) == {
        split: {("Apple 1", f"{name}/Apple 1/a.jpg"), ("Pear", f"{name}/Pear/b.jpg")} for split, name in folders.items() if name
    }


@pytest.mark.parametrize("above", ["fruits-360_100x100", "archive/fruits-360_100x100/fruits-360"])
def test_a_folder_given_one_or_more_levels_too_high(tmp_path, above):
    make(tmp_path, f"{above}/Training/Apple/a.jpg", f"{above}/Test/Apple/b.jpg", ".DS_Store")
    listing = list_pictures(tmp_path)
    assert listing.root == tmp_path / above
    assert [file.path for file in listing.files] == ["Test/Apple/b.jpg", "Training/Apple/a.jpg"]


def test_several_datasets_in_one_folder_are_named(tmp_path):
    for size in ("100x100", "original-size"):
        make(tmp_path, f"fruits-360_{size}/fruits-360/Training/Apple/a.jpg")
    error = refused(tmp_path)
    assert error.code == "several-datasets"
    assert error.facts["datasets"] == "fruits-360_100x100/fruits-360, fruits-360_original-size/fruits-360"


def test_two_training_folders_are_not_mixed(tmp_path):
    make(tmp_path, "Training_100x100/Apple/a.jpg", "Training_50x50/Apple/a.jpg")
    assert refused(tmp_path).code == "several-datasets"


def test_class_folders_alone(tmp_path):
    make(tmp_path, "苹果/a.jpg", "Pear Williams/deep/er/b.jpg", "notes.txt")
    listing = list_pictures(tmp_path)
    assert listing.layout == "class-folders"
    assert seen(tmp_path) == {"train": {("苹果", "苹果/a.jpg"), ("Pear Williams", "Pear Williams/deep/er/b.jpg")}}


def test_class_folders_inside_the_folder_of_an_archive(tmp_path):
    make(tmp_path, "photos/photos/Apple/a.jpg", "photos/photos/Pear/b.jpg", "__MACOSX/photos/x.jpg")
    assert list_pictures(tmp_path).root == tmp_path / "photos" / "photos"


def test_a_training_folder_alone_is_a_folder_of_classes(tmp_path):
    make(tmp_path, "Training/Apple/a.jpg", "Training/Pear/b.jpg")
    listing = list_pictures(tmp_path)
    assert listing.layout == "class-folders" and {file.split for file in listing.files} == {"train"}


@pytest.mark.parametrize("names", [("train", "test"), ("train1", "TEST3"), ("train_zip", "test_zip"), ("training_set", "dev")])
def test_folders_named_like_splits_are_never_classes(tmp_path, names):
    make(tmp_path, *(f"{name}/{i}.jpg" for name in names for i in range(2)))
    error = refused(tmp_path)
    assert error.code == "splits-without-classes" and error.facts["pictures"] == 4
    assert all(name in error.facts["splits"] for name in names)
    make(tmp_path, "car/a.jpg")
    assert refused(tmp_path).code == "splits-without-classes", "nor beside one"


@pytest.mark.parametrize(
    "names",
    [
        ("1_train", "2_val", "3_test"),
        ("train (1)", "val (1)", "test (1)"),
        ("训练集", "验证集", "测试集"),
        ("fruits_train", "fruits_val", "fruits_test"),
        ("train_zip/train", "valid_zip/valid", "test_zip/test"),
    ],
)
def test_splits_are_known_behind_a_number_or_a_word_in_chinese_and_in_a_folder_of_their_own(tmp_path, names):
    make(tmp_path, *(f"{name}/{kind}/1.jpg" for name in names for kind in ("Apple", "Pear")))
    files = list_pictures(tmp_path).files
    assert sorted((file.split, file.folder) for file in files) == [(s, k) for s in ("test", "train", "val") for k in ("Apple", "Pear")]


def test_a_word_before_the_name_of_a_split_is_a_class_where_not_all_have_it(tmp_path):
    make(tmp_path, "Steam train/1.jpg", "Model train/1.jpg", "Crash test/1.jpg")
    assert {file.folder for file in list_pictures(tmp_path).files} == {"Steam train", "Model train", "Crash test"}


def test_a_test_folder_alone_can_be_scored_but_not_learned_from(tmp_path):
    make(tmp_path, "Test/Apple/a.jpg", "Test/Pear/b.jpg")
    assert refused(tmp_path).code == "no-training-folder"
    listing = list_pictures(tmp_path, need_training=False)
    assert {file.folder for file in listing.files} == {"Apple", "Pear"}


def test_hidden_folders_and_the_systems_own_are_not_classes(tmp_path):
    make(tmp_path, "Apple/a.jpg", "Apple/.a.jpg", "Apple/._a.jpg", "Apple/Thumbs.db", "Apple/.hidden/b.jpg")
    make(tmp_path, ".git/x.jpg", ".ipynb_checkpoints/y.jpg", "__MACOSX/z.jpg", "Pear/c.jpg", "Pear/desktop.ini")
    assert [file.path for file in list_pictures(tmp_path).files] == ["Apple/a.jpg", "Pear/c.jpg"]


def test_names_in_chinese_with_spaces_and_very_long(tmp_path):
    long = "a long name " * 16 + "end"  # 195 characters
    make(tmp_path, f"{long}/{long}.jpg", "红 苹果/图 片 1.jpg", "Äpfel/é.jpg")
    assert {file.path for file in list_pictures(tmp_path).files} == {
        f"{long}/{long}.jpg",
        "红 苹果/图 片 1.jpg",
        "Äpfel/é.jpg",
    }


def test_pictures_beside_the_class_folders_are_reported(tmp_path):
    make(
        tmp_path,
        "Training/Apple/a.jpg",
        "Training/Pear/a.jpg",
        "Training/lost.jpg",
        "Test/unsorted.png",
        "Training/notes.txt",
    )
    listing = list_pictures(tmp_path)
    assert [(path, kind) for path, kind, _ in listing.left_out] == [
        ("Test/unsorted.png", "outside-class"),
        ("Training/lost.jpg", "outside-class"),
    ]
    assert listing.layout == "class-folders", "there is nothing to test on: some is held out"


def test_pictures_in_no_folder_at_all_are_explained(tmp_path):
    error = refused(make(tmp_path, "a.jpg", "b.PNG"))
    assert error.code == "no-class-folders" and error.facts["pictures"] == 2


def test_an_empty_class_folder_is_kept_in_mind(tmp_path):
    make(tmp_path, "Training/Apple/a.jpg", "Test/Apple/b.jpg")
    (tmp_path / "Training" / "Pear").mkdir()
    assert list_pictures(tmp_path).empty_folders == (("train", "Pear"),)


def test_nothing_to_find(tmp_path):
    assert refused(tmp_path / "none").code == "data-missing"
    assert refused(make(tmp_path, "set.zip") / "set.zip").code == "data-not-a-folder"
    assert refused(tmp_path).code == "no-pictures"
    (tmp_path / "Apple").mkdir()
    error = refused(tmp_path)
    assert error.code == "no-pictures" and error.facts == {"folder": str(tmp_path)}


def test_a_forbidden_folder_is_named(tmp_path, monkeypatch):
    make(tmp_path, "Apple/a.jpg", "Pear/b.jpg")
    scandir = os.scandir

    def guarded(path):
        if "Pear" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    error = refused(tmp_path)
    assert error.code == "data-unreadable" and error.facts["folder"].endswith("Pear")


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only administrators make links")
def test_links_are_followed_once_and_never_in_circles(tmp_path):
    elsewhere = make(tmp_path / "elsewhere", "x.jpg")
    root = make(tmp_path / "set", "Apple/a.jpg", "Pear/b.jpg")
    (root / "Apple" / "again").symlink_to(root / "Apple")
    (root / "Apple" / "up").symlink_to(root)
    (root / "Pear" / "more").symlink_to(elsewhere)
    (root / "Pear" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    listing = list_pictures(root)
    assert [file.path for file in listing.files] == ["Apple/a.jpg", "Pear/b.jpg", "Pear/more/x.jpg"]
    assert [(path, kind) for path, kind, _ in listing.left_out] == [("Pear/gone.jpg", "unreadable")]


@pytest.mark.skipif(os.name == "nt", reason="Windows' names are always Unicode")
def test_a_name_that_is_no_text_is_reported_readably(tmp_path):
    make(tmp_path, "Apple/a.jpg", "Pear/b.jpg")
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/Apple/bad\xff.jpg"))).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes Unicode names alone")
    listing = list_pictures(tmp_path)
    assert len(listing.files) == 2
    assert [(path, kind) for path, kind, _ in listing.left_out] == [("Apple/bad\\udcff.jpg", "bad-name")]


def test_a_pipe_in_a_class_folder_is_not_opened(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    make(tmp_path, "Apple/a.jpg", "Pear/b.jpg")
    os.mkfifo(tmp_path / "Apple" / "pipe.jpg")
    assert len(list_pictures(tmp_path).files) == 2


def test_a_tree_is_one_class_whatever_its_folders(tmp_path):
    make(tmp_path, "a.jpg", "rooms/kitchen/b.jpg", "train/c.jpg", ".hidden/d.jpg")
    listing = list_tree(tmp_path, "not-fruit")
    assert {(file.path, file.folder) for file in listing.files} == {
        ("a.jpg", "not-fruit"),
        ("rooms/kitchen/b.jpg", "not-fruit"),
        ("train/c.jpg", "not-fruit"),
    }


def test_paths_beyond_what_windows_takes_are_marked(monkeypatch):
    monkeypatch.setattr(os.path, "abspath", lambda path: str(path))
    assert long_path("/data") == "/data"
    monkeypatch.setattr(os, "name", "nt")
    assert long_path(r"C:\data") == r"\\?\C:\data"
    assert long_path(r"\\server\share") == r"\\?\UNC\server\share"
    assert long_path(r"\\?\C:\data") == r"\\?\C:\data"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_the_same_folder_are_followed_once(tmp_path):
    """Twelve folders with two links each took 22 seconds: 2^12 paths."""
    make(tmp_path, "Apple/0.jpg", "Pear/0.jpg", "d30/0.jpg")
    for number in range(30):
        (tmp_path / f"d{number}").mkdir(exist_ok=True)
        for name in "xy":
            (tmp_path / f"d{number}" / name).symlink_to(f"../d{number + 1}")
    started = time.monotonic()
    found = list_pictures(tmp_path)
    assert time.monotonic() - started < 5 and {"Apple", "Pear"} <= {one.folder for one in found.files}
