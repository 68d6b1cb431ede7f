"""Pictures that are there twice are found: the same file, the same picture saved again, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.recognition.evaluate.evaluation import evaluate_in_detail
from fruitvision.recognition.evaluate.near_duplicates import MAX_DIFFERENCE, Duplicates, find_duplicates


def scene(number: int) -> Image.Image:
    """A picture like no other: blocks of random colours, made smooth."""
    blocks = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((80, 80), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two splits of two kinds, three different pictures each."""
    number = 0
    for split in ("Training", "Test"):
        for kind in ("Kiwi", "Blueberry"):
            (tmp_path / split / kind).mkdir(parents=True)
            for name in "abc":
                number += 1
                scene(number).save(tmp_path / split / kind / f"{name}.png")
    return tmp_path


def twins(colour_classifier, folder: Path, split: str | None = None) -> Duplicates:
    return find_duplicates(evaluate_in_detail(colour_classifier(), folder, split=split))


def test_different_pictures_are_no_twins(colour_classifier, folder):
    found = twins(colour_classifier, folder)
    assert (found.copies, found.other_name, found.other_place, found.measured) == ((), (), (), 0)


def test_a_copy_under_another_name_and_one_saved_again_are_found_across_splits(colour_classifier, folder):
    (folder / "Test" / "Kiwi" / "copy.png").write_bytes((folder / "Training" / "Blueberry" / "a.png").read_bytes())
    with Image.open(folder / "Training" / "Kiwi" / "b.png") as picture:
        picture.resize((64, 64)).save(folder / "Test" / "Kiwi" / "again.jpg", quality=70)
    found = twins(colour_classifier, folder, split="test")
    (other_name,), (other_place,) = found.other_name, found.other_place
    assert (other_name.difference, other_name.same_file) == (0, True)
    assert 0 < other_place.difference < MAX_DIFFERENCE and not other_place.same_file
    assert found.measured == 1


def test_a_pair_is_reported_once_though_both_were_scored(colour_classifier, folder):
    (folder / "Test" / "Kiwi" / "copy.png").write_bytes((folder / "Test" / "Kiwi" / "a.png").read_bytes())
    found = twins(colour_classifier, folder)
    assert len(found.copies) == 1 and found.copies[0].same_file
    assert not found.other_name and not found.other_place


@pytest.mark.slow
def test_frames_of_one_film_are_twins_across_splits_and_classes_are_not(real_data):
    from fruitvision.recognition.evaluate.labelled import open_labelled

    class Seen:  # what find_duplicates reads of an examination; the network is not asked
        pictures = open_labelled(real_data / "fruits-360", "test")
        rows = pictures.rows[::30]

    found = find_duplicates(Seen)
    assert not found.other_name
    assert found.measured > len(Seen.rows) / 10
