"""Every class of Fruits-360 knows its kind of fruit, and both have a Chinese name."""

from __future__ import annotations

import csv
import time

import pytest

from fruitvision.data.fruits import chinese_name, display_name, fruit_type, fruit_types

OF_2020 = [own.name for own in fruit_types().values() if own.release == "2020"]


@pytest.fixture(scope="module")
def published(real_data) -> dict[str, str]:
    """The mapping of all 131 classes of the 2020 release."""
    with (real_data / "fruit-types.csv").open(encoding="utf-8", newline="") as stream:
        return {row["class"]: row["fruit_type"] for row in csv.DictReader(stream)}


def test_all_131_classes_map_as_published(published):
    assert len(published) == 131
    assert {name: fruit_type(name) for name in published} == published
    assert set(OF_2020) == set(published.values())


def test_all_131_classes_have_a_chinese_name_of_their_own(published):
    names = {name: chinese_name(name) for name in published}
    assert len(set(names.values())) == 131
    latin = [name for name, chinese in names.items() if any(letter.isascii() and letter.isalpha() for letter in chinese)]
    assert latin == []


@pytest.mark.parametrize(
    ("class_name", "kind"),
    [
        ("Apple Braeburn", "Apple"),
        ("Apple Red Yellow 2", "Apple"),
        ("Cantaloupe 1", "Melon"),
        ("Clementine", "Mandarine"),
        ("Ginger Root", "Ginger"),
        ("Grape White 4", "Grape"),
        ("Grapefruit Pink", "Grapefruit"),
        ("Limes", "Lime"),
        ("Maracuja", "Passion Fruit"),
        ("Melon Piel de Sapo", "Melon"),
        ("Pitahaya Red", "Pitahaya"),
        ("Pineapple Mini", "Pineapple"),
        ("Potato Red Washed", "Potato"),
        ("Potato Sweet", "Sweet Potato"),
        ("Tomato not Ripened", "Tomato"),
    ],
)
def test_classes_of_the_2020_release(class_name, kind):
    assert fruit_type(class_name) == kind


@pytest.mark.parametrize(
    ("class_name", "kind"),
    [
        ("Apple 10", "Apple"),
        ("apple_crimson_snow_1", "Apple"),
        ("apple_red_delicios_1", "Apple"),
        ("Cactus fruit green 1", "Cactus fruit"),
        ("Cherry Wax not rippen 1", "Cherry"),
        ("Limes 1", "Lime"),
        ("Maracuja 1", "Passion Fruit"),
        ("Potato Sweet 1", "Sweet Potato"),
        ("Ginger 2", "Ginger"),
        ("Carambola 1", "Carambula"),
        ("Almonds 1", "Almond"),
        ("Blackberrie half rippen 1", "Blackberry"),
        ("BlackBerry 3", "Blackberry"),
        ("Caju seed 1", "Cashew"),
        ("cabbage_white_1", "Cabbage"),
        ("Peanut shell 1x 1", "Peanut"),
        ("zucchini_dark_1", "Zucchini"),
    ],
)
def test_classes_of_later_releases(class_name, kind):
    assert fruit_type(class_name) == kind


@pytest.mark.parametrize(
    ("class_name", "kind"),
    [
        ("Dragon eye 2", "Dragon eye"),
        ("my_fruit_12", "my_fruit"),
        ("苹果", "苹果"),
        ("c1", "c1"),
        ("7", "7"),
        ("Applet", "Applet"),
    ],
)
def test_a_name_not_known_is_its_own_kind_without_its_number(class_name, kind):
    assert fruit_type(class_name) == kind
    assert chinese_name(class_name) is None
    assert display_name(class_name, "zh") == class_name


def test_every_kind_is_its_own_kind_and_has_a_chinese_name():
    assert len(OF_2020) == len(set(OF_2020)) == 65
    assert [kind for kind in OF_2020 if fruit_type(kind) != kind] == []
    chinese = [chinese_name(kind) for kind in OF_2020]
    assert None not in chinese and len(set(chinese)) == 65


@pytest.mark.parametrize(
    ("name", "chinese"),
    [
        ("Apple", "苹果"),
        ("Apple Braeburn", "苹果（布瑞本）"),
        ("Apple Golden 2", "苹果（金冠 2）"),
        ("Plum 3", "李子 3"),
        ("Salak", "蛇皮果"),
        ("Carambula", "杨桃"),
        ("Granadilla", "甜百香果"),
        ("Kaki", "柿子"),
        ("Pitahaya Red", "火龙果（红色）"),
        ("Tamarillo", "树番茄"),
        ("Pepino", "人参果"),
        ("Cocos", "椰子"),
        ("Limes", "青柠"),
        ("Huckleberry", "越橘"),
        ("Potato Sweet", "红薯"),
        ("Peach Flat", "蟠桃"),
        ("apple_golden_2", "苹果（金冠 2）"),
        ("Peach Flat 1", "蟠桃 1"),
    ],
)
def test_chinese_names(name, chinese):
    assert chinese_name(name) == chinese
    assert display_name(name, "zh") == chinese
    assert display_name(name, "en") == name


LONG = ["_" * 200_000 + "x", "a " * 100_000, "1_" * 100_000, "Apple" + " x" * 100_000, "-" * 200_000 + "7"]


@pytest.mark.parametrize("name", LONG, ids=lambda name: name[:5])
def test_a_long_name_takes_no_time(name):
    """One of a million letters took (hours), while no other thread ran."""
    start = time.process_time()
    assert isinstance(fruit_type.__wrapped__(name), str) and isinstance(display_name(name, "zh"), str)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("class_name", "kind"),
    [("my fruit - 7", "my fruit"), ("_7", "_7"), ("a_1_2", "a_1"), ("a _-_ 12", "a"), ("a_1 b", "a_1 b"), ("a7", "a7")],
)
def test_the_number_behind_a_name_is_left_out_with_all_that_parts_them(class_name, kind):
    assert fruit_type(class_name) == kind
