"""A label is a class, or a set of classes that share a fruit type."""

from __future__ import annotations

import pytest

from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.load.targets import Targets

LAB = ("Apple Golden 1", "Apple Red 1", "Banana", "Lemon Meyer")


def test_a_dataset_alone_has_its_classes_as_they_are():
    targets = Targets.of(LAB)
    assert targets.classes == LAB and targets.fruit_types == ("Apple", "Apple", "Banana", "Lemon")
    assert targets.membership[: len(LAB)].int().tolist() == [[int(i == j) for j in range(4)] for i in range(4)]


def test_a_type_means_all_its_varieties():
    targets = Targets.of(LAB, ["Apple", "Banana"])
    assert targets.classes == LAB
    assert targets.membership[targets.label("Apple")].tolist() == [True, True, False, False]
    assert targets.membership[targets.label("Banana")].tolist() == [False, False, True, False]
    assert targets.membership[targets.label("Lemon")].tolist() == [False, False, False, True]


def test_types_that_only_photos_have_and_no_fruit_come_behind():
    targets = Targets.of(LAB, ["Zucchini", "Apple", "Carrot", NOT_FRUIT], not_fruit=True)
    assert targets.classes == (*LAB, "Carrot", "Zucchini", NOT_FRUIT)
    assert targets.membership[targets.label("Carrot")].sum() == 1
    assert targets.fruit_types[-1] == NOT_FRUIT


def test_a_variety_is_its_class_and_its_other_spellings_its_type():
    targets = Targets.of(LAB, ["Apple"])
    assert targets.label("Apple Red 1") == 1 and targets.type_of(1) == "Apple"
    assert targets.names[targets.label("Apple Braeburn")] == "Apple"
    with pytest.raises(KeyError):
        targets.label("Carburettor")
