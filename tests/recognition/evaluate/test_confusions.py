"""What is taken for what: the counts and the pairs are those worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.recognition.evaluate.confusions import by_kind, by_variety, most_confused, within_kind
from fruitvision.recognition.evaluate.evaluation import Evaluation, evaluate_in_detail
from fruitvision.recognition.evaluate.findings import hardest, label_issues, losses

RED, DEEP, GREEN, BLUE, GREY = (250, 20, 20), (200, 0, 0), (20, 250, 20), (20, 20, 250), (128, 128, 128)


def put(folder: Path, *colours: tuple[int, int, int]) -> Path:
    folder.mkdir(parents=True)
    for number, colour in enumerate(colours):
        Image.new("RGB", (40, 40), colour).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def examined(colour_classifier, tmp_path) -> Evaluation:
    """Red apples of two varieties that the network cannot tell apart, one blue apple, a red kiwi; the rest as named."""
    put(tmp_path / "Apple Red 1", RED, DEEP, BLUE)
    put(tmp_path / "Apple Red 2", RED)
    put(tmp_path / "Kiwi", GREEN, GREEN, RED)
    put(tmp_path / "Blueberry", BLUE)
    return evaluate_in_detail(colour_classifier(), tmp_path)


def test_kinds_are_counted_whatever_the_folder_was_scored_by(examined):
    found = by_kind(examined)
    assert found.rows == found.columns == ("Apple", "Blueberry", "Kiwi")
    assert found.counts.tolist() == [[3, 1, 0], [0, 1, 0], [1, 0, 2]]
    assert by_kind(examined, mistaken_only=True).counts.sum() == 8


def test_kinds_without_a_mistake_can_be_left_out(colour_classifier, tmp_path):
    put(tmp_path / "Apple Red 1", RED)
    put(tmp_path / "Kiwi", GREEN)
    found = by_kind(evaluate_in_detail(colour_classifier(), tmp_path), mistaken_only=True)
    assert (found.rows, found.counts.shape) == ((), (0, 0))


def test_varieties_of_a_kind_stand_before_what_else_was_answered(examined):
    found = within_kind(examined, "Apple")
    assert found.rows == ("Apple Red 1", "Apple Red 2")
    assert found.columns == ("Apple Red 1", "Apple Red 2", "Blueberry")
    assert found.counts.tolist() == [[2, 0, 1], [1, 0, 0]]
    assert by_variety(examined).counts.sum() == 8


def test_pairs_are_those_with_the_most_mistakes_the_more_mistaken_first(examined):
    pairs = most_confused(examined, limit=10)
    assert [(pair.names, pair.counts) for pair in pairs] == [
        (("Apple Red 2", "Apple Red 1"), (1, 0)),
        (("Apple Red 1", "Blueberry"), (1, 0)),
        (("Kiwi", "Apple Red 1"), (1, 0)),
    ]
    kiwi = pairs[2]
    assert [examined.path(i) for i in kiwi.mistaken] == ["Kiwi/2.png"]
    assert examined.path(kiwi.typical[0]).startswith("Kiwi/") and examined.path(kiwi.typical[1]).startswith("Apple Red 1/")
    assert len(most_confused(examined, limit=1)) == 1


def test_a_name_of_which_no_picture_was_recognized_shows_none(examined):
    first = most_confused(examined, limit=1)[0]  # the only picture of Apple Red 2 was taken for Apple Red 1
    assert first.typical[0] is None and examined.path(first.typical[1]).startswith("Apple Red 1/")
    for pair in most_confused(examined, limit=10):
        assert not any(examined.wrong[i] for i in pair.typical if i is not None)


def test_a_name_that_no_picture_has_shows_none(colour_classifier, tmp_path):
    put(tmp_path / "Kiwi", RED, GREEN)
    (pair,) = most_confused(evaluate_in_detail(colour_classifier(), tmp_path), limit=5)
    assert pair.names == ("Kiwi", "Apple Red 1") and pair.typical[1] is None


def test_the_hardest_picture_is_the_one_whose_right_answer_was_least_likely(examined):
    loss = losses(examined)
    order = hardest(examined, 2)
    assert {examined.path(i) for i in order} == {"Apple Red 1/2.png", "Kiwi/2.png"}
    assert loss[order[0]] == loss.max() > -np.log(0.1)


def test_a_firm_contradiction_is_reported_and_a_doubtful_one_is_not(colour_classifier, tmp_path):
    put(tmp_path / "Kiwi", GREEN, GREEN, RED)
    put(tmp_path / "Blueberry", BLUE, BLUE, GREEN, GREY)
    examined = evaluate_in_detail(colour_classifier(unsure=0.1), tmp_path)
    assert {examined.path(i) for i in label_issues(examined)} <= {"Kiwi/2.png", "Blueberry/2.png"}
    assert "Blueberry/2.png" in {examined.path(i) for i in label_issues(examined)}
