"""Which pictures train, validate and are left out, and how often each is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.read.dataset import held_out
from fruitvision.errors import ConfigError
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.runs.prepare.sources import find_sources
from tests.runs.robust.conftest import config, draw_into


def test_what_is_held_out_neither_trains_nor_chooses(world):
    data = prepare(config(world))
    for beside in (*data.photos, *data.not_fruit):
        rows = np.concatenate([beside.train[0], beside.validation[0]])
        assert len(rows) == len(set(rows.tolist())) and len(beside.validation[0])
        assert not any(held_out(beside.store.paths[row]) for row in rows)
        assert len(rows) == sum(not held_out(path) for path in beside.store.paths)


def test_an_epoch_mixes_its_sources_as_asked(world):
    asked = config(world, photo_repeat=2.0, not_fruit_share=0.5)
    data = prepare(asked)
    train, validation = loaders(data, asked.training)
    labels = np.concatenate([batch.labels.numpy() for batch in train.epoch(0, 32)])
    photos = len(data.photos[0].train[0])
    lab = len(data.train.labels)
    counts = {name: int((labels == data.targets.label(name)).sum()) for name in data.targets.names}
    assert counts["Apple Red 1"] + counts["Apple Red 2"] <= lab
    assert counts[NOT_FRUIT] == pytest.approx(0.5 * (lab + 2 * photos), abs=8)
    assert counts["Apple"] + counts["Kiwi"] <= 2 * photos and counts["Kiwi"] > 0
    again = [batch.images for batch in train.epoch(0, 32)]
    assert all(torch.equal(a, b.images) for a, b in zip(again[2:], train.epoch(0, 32, 2), strict=True))
    assert sum(len(batch.labels) for batch in validation) > 5


def test_a_type_with_many_varieties_is_not_believed_in_more_readily(world):
    """Of the lab's pictures two thirds are apples. A quarter stays on white as it comes, the rest is balanced by type."""
    shares = {}
    for balance in (0.0, 1.0):
        asked = config(world, photos=False, nothing=False, type_balance=balance, plain_share=0.25)
        train, _ = loaders(prepare(asked), asked.training)
        labels = np.concatenate([batch.labels.numpy() for epoch in range(8) for batch in train.epoch(epoch, 32)])
        shares[balance] = (labels < 2).mean()
    assert shares[0.0] == pytest.approx(2 / 3, abs=0.04)
    assert shares[1.0] == pytest.approx(0.25 * 2 / 3 + 0.75 / 2, abs=0.04)


def test_photos_filmed_on_white_are_shown_as_often_as_others_half_of_the_time_in_scenes(world, tmp_path):
    for name in ("Apple", "Kiwi"):
        draw_into(tmp_path / "more" / name, name, 12, "white" if name == "Apple" else "wood")
    settings = {"photo_repeat": 3.0, "type_balance": 0.0, "source_balance": 0.0, "flip": 0.0}
    asked = config(world, nothing=False, **settings).model_copy(update={"photos": (str(tmp_path / "more"),)})
    data = prepare(asked)
    train, _ = loaders(data, asked.training)
    labels = np.concatenate([batch.labels.numpy() for batch in train.epoch(0, 32)])
    names = data.photos[0].train[1]
    for name in ("Apple", "Kiwi"):
        assert (labels == data.targets.label(name)).sum() == pytest.approx(3 * names.count(name), abs=1)
    on_white = [source for source in train.sources if source.store is data.photos[0].store and len(source.rows) == names.count("Apple")]
    assert sorted(type(source.transform).__name__ for source in on_white)[0] == "PhotoRecipe" and len(on_white) >= 2


def test_small_sources_and_rare_kinds_are_shown_oftener(world, tmp_path):
    for source, count in (("shop", 16), ("phone", 4), ("web", 4), ("kitchen", 4)):
        draw_into(tmp_path / "photos" / source / "Apple", "Apple", count, "wood")
    shown = {}
    for balance in (0.0, 1.0):
        asked = config(world, nothing=False, source_balance=balance, type_balance=0.0, photo_validation="pictures", photo_repeat=2.0)
        data = prepare(asked.model_copy(update={"photos": (str(tmp_path / "photos"),)}))
        train, _ = loaders(data, asked.training)
        shown[balance] = {one.source: sum(s.epoch_size for s in train.sources if s.store is one.store) for one in data.photos}
    assert shown[0.0]["shop"] > 3 * shown[0.0]["phone"]
    assert shown[1.0]["shop"] == pytest.approx(shown[1.0]["phone"], abs=2)
    assert sum(shown[1.0].values()) == pytest.approx(sum(shown[0.0].values()), abs=3)


def test_whole_sources_validate_where_there_are_enough_and_none_is_on_both_sides(world, tmp_path):
    for number in range(8):
        draw_into(tmp_path / "photos" / f"source {number}" / "Apple", "Apple", 6, "wood")
    several = config(world).model_copy(update={"photos": (str(tmp_path / "photos"),)})
    data = prepare(several)
    sides = {one.source: (len(one.train[0]), len(one.validation[0])) for one in (*data.photos, *data.not_fruit)}
    assert sum(bool(validation) for _, validation in sides.values()) >= 1 and all(not (train and val) for train, val in sides.values())
    pictures = prepare(several.model_copy(update={"training": several.training.model_copy(update={"photo_validation": "pictures"})}))
    assert all(len(one.train[0]) for one in pictures.photos)


def test_a_source_that_is_left_out_takes_no_part_and_its_kinds_are_still_known(world, tmp_path):
    for source, kinds in (("a", ("Apple", "Kiwi")), ("b", ("Apple", "Kiwi")), ("c", ("Kiwi",))):
        for kind in kinds:
            draw_into(tmp_path / "photos" / source / kind, kind, 5, "wood")
    asked = config(world).model_copy(update={"photos": (str(tmp_path / "photos"),)})
    without = prepare(asked.model_copy(update={"leave_out": ("b",)}))
    assert [one.source for one in without.photos] == ["a", "c"] and without.targets.classes == prepare(asked).targets.classes
    with pytest.raises(ConfigError, match="No source is called 'bb'"):
        find_sources(asked.model_copy(update={"leave_out": ("bb",)}))


def test_the_fifth_is_kept_of_those_sources_that_are_named_or_of_all(world, tmp_path):
    for source in ("a", "b"):
        draw_into(tmp_path / "photos" / source / "Apple", "Apple", 30, "wood")
    asked = config(world).model_copy(update={"photos": (str(tmp_path / "photos"),)})

    def counts(of: str) -> dict[str, int]:
        data = prepare(asked.model_copy(update={"training": asked.training.model_copy(update={"heldout_of": of})}))
        return {one.source: len(one.train[0]) + len(one.validation[0]) for one in data.photos}

    kept = {source: sum(not held_out(path.name) for path in (tmp_path / "photos" / source).rglob("*.jpg")) for source in "ab"}
    assert max(kept.values()) < 30 and counts("") == kept and counts("a") == {"a": kept["a"], "b": 30}
    with pytest.raises(ConfigError, match="No source is called 'c'"):
        counts("a, c")


def test_a_kind_of_too_few_photos_is_left_out_and_named(world, tmp_path):
    for source in "abc":
        draw_into(tmp_path / "photos" / source / "Kiwi", "Kiwi", 4, "wood")
        draw_into(tmp_path / "photos" / source / "Okra", "Apple", 2, "wood")
    data = prepare(config(world).model_copy(update={"photos": (str(tmp_path / "photos"),)}))
    assert "Kiwi" in data.targets.classes and "Okra" not in data.targets.names
    assert data.too_few == ("Okra (6 photos of 3 sources)",)
    assert not any("Okra" in one.train[1] + one.validation[1] for one in data.photos)
