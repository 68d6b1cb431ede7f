"""Sources of photographs: how they are found, balanced and left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fruitvision.data.read.sources import (
    check_left_out,
    negative_sources,
    photo_sources,
    read_credits,
    sampling_weights,
    with_enough_photos,
)
from fruitvision.errors import ConfigError, DataError


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"a picture")
    return root


def names(sources) -> list[str]:
    return [source.name for source in sources]


def test_a_folder_of_kinds_is_one_source_and_a_folder_of_such_folders_is_several(tmp_path):
    kinds = tree(tmp_path / "mine", "Apple/1.jpg", "Kiwi/1.jpg")
    assert names(photo_sources(kinds)) == ["mine"] and photo_sources(kinds)[0].root == kinds
    several = tree(tmp_path / "photos", "phone/Apple/1.jpg", "shop/Apple/1.jpg", "shop/Kiwi/2.PNG", "sources.csv", ".cache/x/1.jpg")
    assert names(photo_sources(several)) == ["phone", "shop"]


@pytest.mark.parametrize(
    "paths",
    [
        ("Apple/red/1.jpg", "Apple/green/2.jpg", "Banana/small/1.jpg"),  # varieties below their kinds
        ("Training/Apple/1.jpg", "Test/Apple/2.jpg"),  # the splits of one dataset
    ],
)
def test_folders_of_folders_that_are_kinds_or_splits_are_no_sources(tmp_path, paths):
    assert names(photo_sources(tree(tmp_path / "one", *paths))) == ["one"]


def test_kinds_beside_sources_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="Kiwi holds pictures and phone holds folders") as caught:
        photo_sources(tree(tmp_path, "phone/Apple/1.jpg", "Kiwi/1.jpg"))
    assert caught.value.code == "mixed-sources"


@pytest.mark.parametrize("find", [photo_sources, negative_sources])
def test_a_folder_that_is_not_there_is_an_error(tmp_path, find):
    with pytest.raises(DataError):
        find(tmp_path / "nowhere")


def test_pictures_without_fruit_may_lie_loose_or_by_source(tmp_path):
    assert names(negative_sources(tree(tmp_path / "rooms", "1.jpg", "more/2.jpg"))) == ["rooms"]
    assert names(negative_sources(tree(tmp_path / "all", "rooms/1.jpg", "hands/left/1.jpg", "empty/readme.txt"))) == ["hands", "rooms"]


def test_balance_shows_rare_kinds_and_small_sources_oftener():
    kinds, sources = ["Apple"] * 90 + ["Apple"] * 10 + ["Lime"] * 4, ["shop"] * 90 + ["phone"] * 10 + ["phone"] * 4
    assert np.allclose(sampling_weights(kinds, sources, 0, 0), 1)
    whole = sampling_weights(kinds, sources, 1, 1)
    assert whole.mean() == pytest.approx(1)
    shop, phone, lime = whole[:90].sum(), whole[90:100].sum(), whole[100:].sum()
    assert shop == pytest.approx(phone) and shop + phone == pytest.approx(lime)
    half = sampling_weights(kinds, sources, 0, 0.5)
    assert half[:90].sum() / half[90:100].sum() == pytest.approx(3)  # the square root of nine
    assert len(sampling_weights([], [], 0.5, 0.5)) == 0


def test_a_kind_needs_pictures_of_several_sources_where_there_are_several():
    kinds = ["Apple"] * 6 + ["Okra"] * 6 + ["Fig"] * 3
    sources = ["a", "b", "c"] * 2 + ["a"] * 6 + ["a", "b", "c"]
    assert with_enough_photos(kinds, sources, pictures=6, from_sources=3) == {"Apple"}
    assert with_enough_photos(kinds, ["a"] * 15, pictures=6, from_sources=3) == {"Apple", "Okra", "Fig"}


def test_a_source_that_is_not_there_cannot_be_left_out(tmp_path):
    sources = photo_sources(tree(tmp_path, "phone/Apple/1.jpg", "shop/Apple/1.jpg"))
    assert check_left_out(sources, ("shop",)) == {"shop"}
    with pytest.raises(ConfigError, match="No source is called 'shops'") as caught:
        check_left_out(sources, ("shops",))
    assert "phone, shop" in str(caught.value)


def test_credits_are_read_where_a_table_gives_them(tmp_path):
    assert read_credits(tmp_path) == []
    (tmp_path / "sources.csv").write_text(
        'source,pictures,repository,licence as stated\nshop,3,a/b,"MIT (LICENSE), by hand"\nphone,1,c/d,\n', encoding="utf-8"
    )
    assert read_credits(tmp_path) == [{"source": "shop", "repository": "a/b", "licence": "MIT (LICENSE), by hand"}]
    (tmp_path / "sources.csv").write_bytes(b"\xff\xfe\x00")
    assert read_credits(tmp_path) == []
