"""What was found and could be decoded becomes classes, splits and problems; held out by path."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fruitvision.data.read.dataset import Dataset, Split, as_one_split, assemble, hold_out, refuse_classes
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import DataError
from tests.sentences import is_worded


def build(root: Path, contents: dict[str, str], *, bad: tuple[str, ...] = (), **options) -> Dataset:
    """A dataset of files with these contents, as if all but the ``bad`` ones were pictures."""
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    listing = list_pictures(root)
    good = [file.path for file in listing.files if file.path not in bad]
    rows = {path: row for row, path in enumerate(good)}
    return assemble(listing, rows, [(root / path).read_text(encoding="utf-8") for path in good], [], **options)


def each_different(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def kinds(dataset: Dataset) -> list[tuple[str, str]]:
    return [(problem.path, problem.kind) for problem in dataset.problems]


def split_of(per_class: dict[str, int]) -> Split:
    paths = [f"{name}/{i}.jpg" for name, count in per_class.items() for i in range(count)]
    names = sorted(per_class)
    labels = np.array([names.index(path.split("/")[0]) for path in paths])
    return Split("train", tuple(paths), labels, np.arange(len(paths)) + 100)


def test_classes_are_the_training_folders_in_sorted_order_for_every_split(tmp_path):
    dataset = build(
        tmp_path,
        each_different("train/Pear/1", "train/Apple/1", "train/Fig/1", "test/Fig/1", "test/Pear/1", "val/Pear/2"),
    )
    assert dataset.classes == ("Apple", "Fig", "Pear")
    assert dataset.counts() == {
        "train": {"Apple": 1, "Fig": 1, "Pear": 1},
        "val": {"Apple": 0, "Fig": 0, "Pear": 1},
        "test": {"Apple": 0, "Fig": 1, "Pear": 1},
    }
    test = dataset.splits["test"]
    assert test.paths == ("test/Fig/1", "test/Pear/1")
    assert test.labels.tolist() == [1, 2] and test.labels.dtype == np.int64
    assert dataset.name == tmp_path.name and not dataset.problems and not dataset.synthetic


def test_what_a_folder_is_too_small_for_is_noted(tmp_path):
    def codes(*names: str) -> list[str]:
        return [note.code for note in build(tmp_path / str(len(names)), each_different(*names)).notes]

    assert codes("A/1", "B/1") == ["few-pictures", "no-validation", "no-test"]
    assert codes("A/1", "A/2", "B/1", "B/2") == ["few-pictures", "no-validation"], "one of the two is kept for testing"
    assert codes(*(f"{name}/{n}" for name in "AB" for n in range(3))) == []
    note = build(tmp_path / "odd", each_different("A/1", *(f"B/{n}" for n in range(5)))).notes[0]
    assert note.code == "few-pictures" and note.facts == {"classes": "A (1)", "count": 1}


def test_a_class_that_training_lacks_is_reported_and_left_out(tmp_path):
    dataset = build(tmp_path, each_different("Training/A/1", "Training/B/1", "Test/A/2", "Test/New/1", "Test/New/2"))
    assert dataset.classes == ("A", "B")
    assert dataset.splits["test"].paths == ("Test/A/2",)
    assert kinds(dataset) == [("Test/New", "class-not-in-training")]
    assert "2 files" in dataset.problems[0].detail


def test_a_class_without_a_good_picture_is_no_class(tmp_path):
    (tmp_path / "Training" / "Empty").mkdir(parents=True)
    files = each_different("Training/A/1", "Training/B/1", "Training/Bad/1", "Test/A/2", "Test/Bad/2")
    dataset = build(tmp_path, files, bad=("Training/Bad/1",))
    assert dataset.classes == ("A", "B")
    assert kinds(dataset) == [
        ("Test/Bad", "class-not-in-training"),
        ("Training/Bad", "class-without-pictures"),
        ("Training/Empty", "class-without-pictures"),
    ]


def test_one_class_is_refused_by_name(tmp_path):
    with pytest.raises(DataError) as caught:
        build(tmp_path, each_different("Apple/1", "Apple/2"))
    assert caught.value.code == "one-class" and "Apple" in str(caught.value)


def test_files_that_are_no_pictures_are_none(tmp_path):
    with pytest.raises(DataError) as caught:
        build(tmp_path, each_different("A/1", "B/1"), bad=("A/1", "B/1"))
    assert caught.value.code == "no-pictures"


def test_copies_across_splits_are_reported_one_by_one(tmp_path):
    files = each_different("Training/A/1", "Training/A/2", "Training/B/1", "Test/A/1", "Test/B/1")
    dataset = build(tmp_path, files | {"Test/A/copy": "Training/A/2", "Test/B/also": "Training/A/2"})
    assert kinds(dataset) == [
        ("Test/A/copy", "duplicate-across-splits"),
        ("Test/B/also", "duplicate-across-splits"),
    ]
    assert "Training/A/2" in dataset.problems[0].detail
    assert len(dataset.splits["test"]) == 4, "they are reported, not removed"


def test_copies_within_one_split_are_nobodys_business(tmp_path):
    files = each_different("Training/A/1", "Training/B/1", "Test/A/1")
    assert not build(tmp_path, files | {"Training/A/copy": "Training/A/1"}).problems


def test_a_class_copied_whole_is_one_problem(tmp_path):
    files = each_different("Training/A/1", "Training/B/1", "Test/A/1", "Test/Nut Forest/1", "Test/Nut Forest/2")
    copies = {"Training/Nut Forest/1": "Test/Nut Forest/1", "Training/Nut Forest/2": "Test/Nut Forest/1"}
    dataset = build(tmp_path, files | copies)
    assert kinds(dataset) == [("Training/Nut Forest", "class-copied")]
    assert "Nut Forest" in dataset.problems[0].detail and "2 training pictures" in dataset.problems[0].detail


def test_a_folder_without_splits_is_divided_by_class_with_copies_kept_together(tmp_path):
    files = {f"{name}/{i}": f"{name}{i // 2}" for name in "AB" for i in range(40)}
    dataset = build(tmp_path, files, seed=3)
    assert {name: list(count.values()) for name, count in dataset.counts().items()} == {
        "train": [32, 32],
        "test": [8, 8],
    }
    assert not dataset.problems, "no copy lies on the other side"
    again = build(tmp_path, files, seed=3)
    other = build(tmp_path, files, seed=4)
    assert again.splits["test"].paths == dataset.splits["test"].paths != other.splits["test"].paths
    assert again.fingerprint == dataset.fingerprint == other.fingerprint


def test_the_fingerprint_follows_names_and_contents(tmp_path):
    files = each_different("train/A/1", "train/B/1", "test/A/1")
    first = build(tmp_path / "one", files).fingerprint
    assert len(first) == 64
    assert build(tmp_path / "two", files).fingerprint == first
    assert build(tmp_path / "three", files | {"test/A/1": "changed"}).fingerprint != first
    assert build(tmp_path / "four", files | {"test/A/2": "more"}).fingerprint != first


def test_drawn_pictures_are_called_synthetic(tmp_path):
    (tmp_path / "synthetic.json").write_text("{}", encoding="utf-8")
    assert build(tmp_path, each_different("A/1", "B/1")).synthetic


def test_a_folder_to_be_scored_ignores_its_splits(tmp_path):
    build(tmp_path, each_different("Training/A/1", "Training/B/1", "Test/A/2", "Test/C/1"))
    listing = list_pictures(tmp_path)
    names, split = as_one_split(listing, {file.path: row for row, file in enumerate(listing.files)})
    assert names == ("A", "B", "C")
    assert dict(zip(split.paths, split.labels.tolist(), strict=True)) == {
        "Test/A/2": 0,
        "Test/C/1": 2,
        "Training/A/1": 0,
        "Training/B/1": 1,
    }


def test_held_out_is_the_asked_share_of_every_class():
    rest, taken = hold_out(split_of({"A": 100, "B": 10, "C": 2, "D": 1}), 0.2, seed=0)
    assert Counter(path[0] for path in taken.paths) == {"A": 20, "B": 2, "C": 1}
    assert Counter(path[0] for path in rest.paths) == {"A": 80, "B": 8, "C": 1, "D": 1}
    assert (rest.name, taken.name) == ("train", "val")
    assert set(rest.rows.tolist()) | set(taken.rows.tolist()) == set(range(100, 213))


def test_held_out_depends_on_seed_and_path_alone():
    split = split_of({"A": 50, "B": 50})
    order = np.array(random.Random(0).sample(range(100), 100))
    shuffled = Split("train", tuple(split.paths[i] for i in order), split.labels[order], split.rows[order])
    taken = hold_out(split, 0.3, seed=7)[1]
    assert set(hold_out(shuffled, 0.3, seed=7)[1].paths) == set(taken.paths)
    assert set(hold_out(split, 0.3, seed=8)[1].paths) != set(taken.paths)
    assert taken.paths[:4] == ("A/0.jpg", "A/1.jpg", "A/4.jpg", "A/6.jpg"), "on every platform, in every version"


def test_a_picture_more_moves_hardly_any_other():
    before = set(hold_out(split_of({"A": 100}), 0.2, seed=0)[1].paths)
    after = set(hold_out(split_of({"A": 101}), 0.2, seed=0)[1].paths)
    assert len(before - after) <= 1


def test_pictures_with_the_same_key_stay_together():
    split = split_of({"A": 30})
    rest, taken = hold_out(split, 0.2, seed=1, keys=[str(i // 3) for i in range(30)])
    groups = Counter((row - 100) // 3 for row in taken.rows.tolist())
    assert len(taken) == 6 and set(groups.values()) == {3}


def test_a_class_of_copies_of_one_picture_is_not_parted():
    rest, taken = hold_out(split_of({"A": 5}), 0.2, seed=1, keys=["same"] * 5)
    assert (len(rest), len(taken)) == (5, 0)


def test_nothing_is_held_out_of_nothing_asked():
    rest, taken = hold_out(split_of({"A": 5}), 0, seed=0)
    assert (len(rest), len(taken)) == (5, 0)


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5])
def test_an_impossible_share_is_refused(fraction):
    with pytest.raises(DataError) as caught:
        hold_out(split_of({"A": 5}), fraction, seed=0)
    assert caught.value.code == "bad-fraction"


def test_classes_that_no_checkpoint_may_have_are_refused_before_training(tmp_path, monkeypatch):
    long = ("Apple of the tree " * 12).strip()  # 215 letters
    for name in (long, "Pear"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").touch()
    with pytest.raises(DataError) as caught:
        refuse_classes(list_pictures(tmp_path))
    assert caught.value.code == "class-name-long" and is_worded(caught.value) and "Apple of the tree" in str(caught.value)
    (tmp_path / long).rename(tmp_path / long[:200])
    refuse_classes(list_pictures(tmp_path))
    monkeypatch.setattr("fruitvision.data.read.dataset.MAX_CLASSES", 1)
    with pytest.raises(DataError) as caught:
        refuse_classes(list_pictures(tmp_path))
    assert caught.value.code == "too-many-classes" and is_worded(caught.value)
