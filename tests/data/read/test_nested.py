"""Class folders within folders, names that differ in their spelling, and what lies beside pictures."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from fruitvision.data.read.layouts.splits import is_dataset
from fruitvision.data.read.listing import list_pictures


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def classes(root: Path, **options) -> dict[str, str]:
    return {file.path: file.folder for file in list_pictures(root, **options).files}


def test_the_deepest_folders_are_the_classes_and_that_is_said(tmp_path):
    make(tmp_path, "Fruit/Apple/1.jpg", "Fruit/Pear/1.jpg", "Veg/Leek/1.jpg")
    listing = list_pictures(tmp_path)
    assert {file.folder for file in listing.files} == {"Apple", "Pear", "Leek"}
    assert [note.code for note in listing.notes] == ["deepest-folders"] and listing.notes[0].facts["depth"] == 2
    above = list_pictures(tmp_path, depth=1)
    assert {file.folder for file in above.files} == {"Fruit", "Veg"} and not above.notes


def test_the_same_level_holds_in_every_split(tmp_path):
    make(tmp_path, "train/Fruit/Apple/1.jpg", "train/Fruit/Pear/1.jpg", "test/Fruit/Apple/2.jpg")
    assert classes(tmp_path)["test/Fruit/Apple/2.jpg"] == "Apple"


def test_pictures_above_the_level_that_was_asked_for_are_reported(tmp_path):
    make(tmp_path, "Fruit/Apple/1.jpg", "Veg/Leek/1.jpg", "Veg/cover.jpg")
    listing = list_pictures(tmp_path, depth=2)
    assert [(path, kind) for path, kind, _ in listing.left_out] == [("Veg/cover.jpg", "outside-class")]


def test_splits_may_lie_in_the_class_folders_and_pictures_in_a_folder_of_their_own(tmp_path):
    make(tmp_path, "Apple/train/1.jpg", "Apple/test/2.jpg", "Pear/train/images/1.jpg")
    found = {file.path: (file.split, file.folder) for file in list_pictures(tmp_path).files}
    assert found == {
        "Apple/train/1.jpg": ("train", "Apple"),
        "Apple/test/2.jpg": ("test", "Apple"),
        "Pear/train/images/1.jpg": ("train", "Pear"),
    }


def test_a_name_decomposed_or_in_other_case_is_the_same_class(tmp_path):
    make(tmp_path, f"Training/{unicodedata.normalize('NFD', 'Maçã')}/1.jpg", "Training/apple/1.jpg", "Test/Maçã/2.jpg", "Test/Apple/2.jpg")
    assert set(classes(tmp_path).values()) == {"Maçã", "apple"} and not list_pictures(tmp_path).notes


def test_two_spellings_in_one_split_are_merged_with_a_note(tmp_path):
    make(tmp_path, "Apple/1.jpg", "apple/2.jpg", "apple/3.jpg", "Pear/1.jpg")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system does not tell them apart")
    listing = list_pictures(tmp_path)
    assert {file.folder for file in listing.files} == {"apple", "Pear"}
    assert [(note.code, note.facts["names"]) for note in listing.notes] == [("names-merged", "Apple, apple")]


def test_what_phones_and_systems_lay_beside_pictures_is_passed_over(tmp_path):
    make(tmp_path, *(f"{name}/IMG_1.{kind}" for name in ("Apple", "Pear") for kind in ("JPG", "MOV", "AAE", "xmp", "xml", "JPG.json")))
    make(tmp_path, "Apple/.DS_Store", "Apple/._IMG_1.JPG", "Pear/Thumbs.db", "@eaDir/IMG_1.JPG", "__MACOSX/Apple/IMG_1.JPG")
    assert set(classes(tmp_path)) == {"Apple/IMG_1.JPG", "Pear/IMG_1.JPG"}
    assert not list_pictures(tmp_path).left_out


def test_a_dataset_is_told_from_a_folder_of_datasets(tmp_path):
    one = make(tmp_path / "one", "Training/Apple/1.jpg", "Test/Apple/1.jpg")
    two = make(tmp_path / "two", "Apple/1.jpg", "Pear/1.jpg")
    assert is_dataset(one) and is_dataset(two) and not is_dataset(tmp_path) and not is_dataset(tmp_path / "none")
