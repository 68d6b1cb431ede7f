from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.fruits import fruit_types
from fruitvision.data.synthetic import sample
from fruitvision.data.synthetic.fruit import KINDS
from fruitvision.data.synthetic.sample import BACKGROUNDS, draw_fruit, draw_sample
from fruitvision.errors import DataError


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def drawn(kind: str, seed: int, **settings) -> np.ndarray:
    return np.asarray(draw_fruit(kind, np.random.default_rng(seed), **settings)).astype(float)


def test_a_set_lies_on_disk_as_fruits_360_does(tmp_path):
    folder = draw_sample(tmp_path / "果 篮", train_per_class=3, test_per_class=2, size=24, classes=("Apple", "Kiwi"))
    assert folder == tmp_path / "果 篮"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*")) == [
        "Test/Apple",
        "Test/Kiwi",
        "Training/Apple",
        "Training/Kiwi",
    ]
    assert {len(list((folder / "Training" / kind).iterdir())) for kind in ("Apple", "Kiwi")} == {3}
    assert {len(list((folder / "Test" / kind).iterdir())) for kind in ("Apple", "Kiwi")} == {2}
    for path in folder.rglob("*.jpg"):
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (24, 24))
    assert json.loads((folder / "synthetic.json").read_text(encoding="utf-8"))["synthetic"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["果 篮"], "nothing else is left behind"


def test_the_same_seed_draws_the_same_set_and_another_seed_another(tmp_path):
    settings = {"train_per_class": 2, "test_per_class": 1, "size": 24, "classes": ("Banana", "Plum")}
    first, again, other = (contents(draw_sample(tmp_path / name, seed=seed, **settings)) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first == again
    pictures = [name for name in first if name.endswith(".jpg")]
    assert all(first[name] != other[name] for name in pictures)
    assert len({first[name] for name in pictures}) == len(pictures), "no picture twice, within or across splits"


def test_a_larger_set_contains_the_smaller(tmp_path):
    small = contents(draw_sample(tmp_path / "s", train_per_class=1, test_per_class=1, size=24, classes=("Pear",)))
    large = contents(draw_sample(tmp_path / "l", train_per_class=2, test_per_class=1, size=24, classes=("Pear", "Lime")))
    del small["synthetic.json"]
    assert small.items() <= large.items()


def test_there_are_at_least_twelve_kinds_and_all_are_fruit_types_of_fruits_360():
    assert len(KINDS) >= 12
    assert set(KINDS) <= set(fruit_types())


@pytest.mark.parametrize("kind", KINDS)
def test_a_fruit_fills_much_of_a_white_picture_and_varies(kind):
    shares, means = [], []
    for seed in range(6):
        picture = drawn(kind, seed, size=48, background="white")
        fruit = picture.min(axis=2) < 245
        shares.append(fruit.mean())
        means.append(picture[fruit].mean(axis=0))
        assert (picture[~fruit] == 255).mean() > 0.9, "the background is exactly white, as in Fruits-360"
    assert min(shares) > 0.08
    assert max(shares) > 0.2
    assert np.ptp(means, axis=0).max() > 15, "one kind comes in more than one colour"


@pytest.mark.parametrize("background", [background for background in BACKGROUNDS if background != "white"])
def test_the_other_backgrounds_fill_the_picture(background):
    grounds = [drawn("Orange", seed, size=48, background=background)[[0, 0, -1, -1], [0, -1, 0, -1]] for seed in range(3)]
    assert np.ptp(np.concatenate(grounds), axis=0).max() > 10
    assert min(corners.min() for corners in grounds) < 250


def test_mean_colour_alone_does_not_tell_the_kinds_apart(tmp_path):
    """The nearest mean colour must do far worse than a network can, but better than chance."""
    colours = np.array([[drawn(kind, seed, size=24, background="white").mean((0, 1)) for seed in range(12)] for kind in KINDS])
    centres = colours[:, :6].mean(axis=1)
    test = colours[:, 6:]
    nearest = np.linalg.norm(test[:, :, None] - centres[None, None], axis=-1).argmin(axis=-1)
    right = (nearest == np.arange(len(KINDS))[:, None]).mean()
    assert 1.5 / len(KINDS) < right < 0.6


def test_a_fruit_can_be_placed_for_a_film(tmp_path):
    frames = [drawn("Tomato", 5, size=(96, 64), background="tinted", place=(x, 0.5, 0.3, 0.0)) for x in (0.3, 0.7)]
    assert frames[0].shape == (64, 96, 3)
    # The same fruit in another place: shifted back, the two nearly agree.
    shifted = np.roll(frames[1], -38, axis=1)
    middle = np.s_[20:44, 20:38]
    assert np.abs(frames[0][middle] - shifted[middle]).mean() < 12
    assert np.abs(frames[0][middle] - frames[1][middle]).mean() > 40


def test_a_second_drawing_replaces_the_first(tmp_path):
    settings = {"train_per_class": 1, "test_per_class": 1, "size": 16}
    draw_sample(tmp_path / "set", classes=("Apple", "Lemon"), **settings)
    draw_sample(tmp_path / "set", classes=("Cherry",), **settings)
    assert [path.name for path in (tmp_path / "set" / "Training").iterdir()] == ["Cherry"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_empty_folder_is_taken_and_a_foreign_one_is_left_alone(tmp_path):
    empty, foreign = tmp_path / "empty", tmp_path / "mine"
    empty.mkdir()
    foreign.mkdir()
    (foreign / "holiday.jpg").write_bytes(b"mine")
    draw_sample(empty, train_per_class=1, test_per_class=1, size=16, classes=("Apple",))
    assert (empty / "Test" / "Apple" / "000.jpg").is_file()
    for target in (foreign, foreign / "holiday.jpg"):
        with pytest.raises(DataError) as caught:
            draw_sample(target, train_per_class=1, test_per_class=1, size=16)
        assert caught.value.code == "not-a-sample-set"
    assert (foreign / "holiday.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"classes": ("Apple", "Durian")}, "unknown-kind"),
        ({"classes": ()}, "sample-too-small"),
        ({"train_per_class": 0}, "sample-too-small"),
        ({"size": 2}, "sample-too-small"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path, settings, code):
    with pytest.raises(DataError) as caught:
        draw_sample(tmp_path / "set", **settings)
    assert caught.value.code == code
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_earlier_set_and_no_remains(tmp_path, monkeypatch):
    settings = {"train_per_class": 1, "test_per_class": 1, "size": 16, "classes": ("Apple",)}
    before = contents(draw_sample(tmp_path / "set", **settings))

    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError) as caught:
        draw_sample(tmp_path / "set", seed=9, **settings)
    assert caught.value.code == "disk-full"
    assert contents(tmp_path / "set") == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_negative_seed_is_a_seed_too(tmp_path):
    folder = draw_sample(tmp_path / "set", train_per_class=1, test_per_class=1, size=16, classes=("Apple",), seed=-1)
    assert (folder / sample.MARKER).is_file()


def test_drawing_is_quick():
    began = time.process_time()
    for kind in KINDS:
        drawn(kind, 0, size=100)
    # 700 pictures in 8 seconds on an idle core; three times that where the core is shared.
    assert (time.process_time() - began) / len(KINDS) < 3 * 8 / 700


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_a_folder_that_is_a_link_is_filled_where_it_leads(tmp_path):
    (tmp_path / "large disk").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "large disk")
    for seed in (0, 1):
        draw_sample(tmp_path / "set", train_per_class=1, test_per_class=1, size=16, seed=seed, classes=("Apple",))
    assert (tmp_path / "set").is_symlink() and (tmp_path / "large disk" / "Training").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large disk", "set"]
