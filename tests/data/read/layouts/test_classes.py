"""Which folders are classes, and their names."""

from __future__ import annotations

import time
import unicodedata
from itertools import combinations, pairwise

import pytest

from fruitvision.data.read.layouts.classes import class_names, find_classes
from fruitvision.data.read.layouts.names import describes, is_sidecar, normalized_name, split_of


def places(*paths: str, depth: int | None = None) -> set[str]:
    """The class folders of these folders, each with its number of files (``Fruit/Apple=3``), one by default."""
    counts = {}
    for path in paths:
        place, _, count = path.partition("=")
        counts[tuple(place.split("/"))] = int(count or 1)
    return {"/".join(place) for place in find_classes(counts, depth)}


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (("Apple", "Pear"), {"Apple", "Pear"}),
        (("Fruit/Apple", "Fruit/Pear", "Veg/Leek"), {"Fruit/Apple", "Fruit/Pear", "Veg/Leek"}),
        (("Fruit/Apple/Golden", "Fruit/Apple/Red", "Fruit/Banana"), {"Fruit/Apple/Golden", "Fruit/Apple/Red", "Fruit/Banana"}),
        (("Fruit/Apple/Golden", "Fruit/Pear/Golden", "Veg/Leek/Blue"), {"Fruit/Apple/Golden", "Fruit/Pear/Golden", "Veg/Leek/Blue"}),
        (("Apple", "Pear/day one/best"), {"Apple", "Pear"}),  # a way to one folder
        (("Apple=9", "Apple/more=3", "Pear=2"), {"Apple", "Pear"}),  # what lies deeper belongs to it
        (("Fruit=1", "Fruit/Apple=9", "Fruit/Pear=9"), {"Fruit/Apple", "Fruit/Pear"}),  # a cover picture makes no class
    ],
)
def test_the_deepest_folders_are_the_classes(folders, classes):
    assert places(*folders) == classes


def test_a_level_can_be_asked_for():
    folders = ("Fruit/Apple/Golden", "Fruit/Pear", "Veg/Leek/Blue")
    assert places(*folders, depth=1) == {"Fruit", "Veg"}
    assert places(*folders, depth=2) == {"Fruit/Apple", "Fruit/Pear", "Veg/Leek"}
    assert places(*folders, depth=3) == {"Fruit/Apple/Golden", "Veg/Leek/Blue"}


def named(*paths: str, split: str = "train") -> tuple[set[str], tuple[str, ...]]:
    names, merged = class_names({(split, tuple(path.split("/"))): 1 for path in paths})
    return set(names.values()), merged


def test_folders_that_are_called_alike_are_named_with_those_above_them():
    assert named("Fruit/Apple/Golden", "Fruit/Pear/Golden", "Fruit/Pear/Red")[0] == {"Apple Golden", "Pear Golden", "Red"}
    assert named("Fruit/Apple/Golden", "Tea/Apple/Golden")[0] == {"Fruit Apple Golden", "Tea Apple Golden"}
    assert named("A B/C", "A/B C", "x/C", "x/B C")[0] >= {"x C", "x B C"}
    assert len(named("A B/C", "A/B C", "x/C", "x/B C")[0]) == 4


def test_thousands_of_folders_that_make_one_name_are_numbered_without_trying_each_number():
    """3 seconds for 2,000 folders, and (hours) for the 100,000 that an archive may hold: each number was tried for each folder."""
    words = ["a"] * 48
    cuts = list(combinations(range(1, 48), 3))[:3000]
    places = [tuple(" ".join(words[start:end]) for start, end in pairwise((0, *cut, 48))) for cut in cuts]
    start = time.process_time()
    names, _ = class_names({("train", place): 1 for place in [*places, ("x", " ".join(words) + " (2)")]})
    assert time.process_time() - start < 3
    numbered = sorted(names.values())
    assert len(set(numbered)) == 3001 and {" ".join(words) + f" ({n})" for n in range(2, 2900)} < set(numbered)


def test_spellings_of_one_name_are_one_class_and_merging_is_said_within_a_split_alone():
    decomposed = unicodedata.normalize("NFD", "Maçã")
    names, merged = class_names({("train", (decomposed,)): 5, ("test", ("Maçã",)): 9, ("train", ("Pear",)): 1, ("test", ("pear",)): 7})
    assert set(names.values()) == {"Maçã", "Pear"} and not merged
    names, merged = class_names({("train", ("apple",)): 5, ("train", ("Apple",)): 2})
    assert set(names.values()) == {"apple"} and merged == ("Apple, apple",)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training_100x100", "train"),
        ("train1", "train"),
        ("train_zip", "train"),
        ("train2017", "train"),
        ("training_set", "train"),
        ("VALID", "val"),
        ("Validation_original-size", "val"),
        ("dev", "val"),
        ("eval 2", "val"),
        ("test3", "test"),
        ("Testing", "test"),
        ("test_images", "test"),
        ("trainer", None),
        ("test-multiple_fruits", None),
        ("testarossa", None),
        ("Apple", None),
        ("train" + "1" * 240 + "x", None),
    ],
)
def test_a_split_is_known_by_its_name(name, split):
    assert split_of(name) == split


def test_what_lies_beside_pictures():
    assert all(map(is_sidecar, ("IMG_1.MOV", "IMG_1.AAE", "a.xmp", "Thumbs.db", "Icon\r")))
    assert not any(map(is_sidecar, ("a.jpg", "a.heic", "notes.txt", "a")))
    beside = {"a.jpg", "a"}
    assert describes("a.xml", beside) and describes("A.TXT", beside) and describes("a.jpg.json", beside)
    assert not describes("b.xml", beside) and not describes("a.png", beside) and not describes("notes.txt", beside)


def test_names_are_compared_composed_and_without_case():
    assert normalized_name(unicodedata.normalize("NFD", "ÄPFEL")) == normalized_name("äpfel")
    assert normalized_name("Straße") == normalized_name("STRASSE")
