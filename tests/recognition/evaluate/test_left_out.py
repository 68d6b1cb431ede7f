"""Answers about sources left out: what they come to, and what a network is probabilities_of to by them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.errors import DataError
from fruitvision.models.checkpoint import Thresholds
from fruitvision.recognition.evaluate.left_out import (
    Answers,
    calibrate_on_sources,
    concatenate,
    read_answers,
    read_study,
    summarize_sources,
    to_bytes,
    very_sure_from,
)

CLASSES = ("Apple Red 1", "Apple Red 2", "Banana", "Kiwi", NOT_FRUIT)
TYPES = ("Apple", "Apple", "Banana", "Kiwi", NOT_FRUIT)


def made(count: int = 600, right: float = 0.7, seed: int = 0, boldness: float = 1.0) -> Answers:
    """``count`` answers: a share is right at high probability, the rest wrong at a low one; two sources and one without fruit.

    ``boldness`` multiplies the logits. A tenth shows a kind without a name, which is taken for another one, half sure.
    """
    rng = np.random.default_rng(seed)
    logits, sources, kinds = rng.normal(0, 0.3, (count, 1, 5)), [], []
    for i in range(count):
        kind = ["Apple", "Banana", "Kiwi", NOT_FRUIT, "Okra"][rng.choice(5, p=[0.3, 0.2, 0.2, 0.2, 0.1])]
        sources.append("rooms" if kind == NOT_FRUIT else ["phone", "shop"][i % 2])
        kinds.append(kind)
        if kind == "Okra":
            logits[i, 0, rng.integers(4)] += 1.5
        elif kind == NOT_FRUIT:
            logits[i, 0, 4] += 4
        else:
            true = {"Apple": 0, "Banana": 2, "Kiwi": 3}[kind]
            good = rng.random() < right
            logits[i, 0, true if good else (true + 2) % 4] += 6 if good else 1.5
    return Answers(CLASSES, TYPES, torch.tensor(logits * boldness, dtype=torch.float32), tuple(sources), tuple(kinds))


def test_kinds_are_counted_by_type_and_a_kind_without_a_name_is_never_right():
    answers = made()
    assert answers.types == ("Apple", "Banana", "Kiwi")
    wanted = dict(zip(answers.kinds, answers.labels.tolist(), strict=True))
    assert wanted == {"Apple": 0, "Banana": 1, "Kiwi": 2, NOT_FRUIT: -1, "Okra": -1}
    by_type, nothing = answers.probabilities(1.0)
    assert by_type.shape == (600, 3) and torch.allclose(by_type.sum(1) + nothing, torch.ones(600), atol=1e-5)


@pytest.mark.parametrize("boldness", [0.5, 1.0, 3.0])
def test_sure_is_said_where_nineteen_of_twenty_are_right_however_bold_the_network_is(boldness):
    answers = made(boldness=boldness)
    found = summarize_sources(answers, *calibrate_on_sources(answers))
    assert found["top1"] == pytest.approx(0.7, abs=0.06)
    assert found["sure_right"] >= 0.95 and found["sure"] > 0.5
    assert found["unknown_kinds_sure"] < 0.1 and found["not_fruit_sure"] <= 0.02
    assert found["ece"] < 0.2


def test_a_network_that_is_wrong_wherever_it_is_bold_is_never_sure():
    answers = made(right=0.0)
    found = summarize_sources(answers, *calibrate_on_sources(answers))
    assert found["sure"] < 0.02


def test_very_sure_is_said_of_nothing_where_no_confidence_is_right_often_enough():
    answers = made(right=0.7)
    found = summarize_sources(answers, 1.0, Thresholds(unsure=1.0))
    assert (found["very_sure_from"], found["very_sure"], found["very_sure_right"]) == (None, 0.0, None)
    certain = torch.full((400,), 0.99998)
    for right, least in ((True, 0.9999), (False, None)):
        assert very_sure_from(certain, torch.full((400,), right), torch.ones(400, dtype=torch.bool), Thresholds(unsure=0.5)) == least


def test_a_few_lucky_answers_are_no_ground_to_be_sure():
    answers = made(count=500, right=0.0)
    logits = answers.logits.clone()
    fruit = [i for i, kind in enumerate(answers.kinds) if kind == "Banana"][:3]
    logits[fruit, 0, 2] = 20  # three of five hundred are right, and boldest of all
    answers = Answers(CLASSES, TYPES, logits, answers.sources, answers.kinds)
    found = summarize_sources(answers, *calibrate_on_sources(answers))
    assert found["sure"] == 0 and found["sure_right"] is None


def test_a_large_source_does_not_speak_for_all():
    small, large = made(200, right=0.9, seed=1), made(3000, right=0.1, seed=2)
    large = Answers(CLASSES, TYPES, large.logits, tuple("huge" if kind != NOT_FRUIT else "rooms" for kind in large.kinds), large.kinds)
    both = concatenate([small, large]).capped(100)
    counts = {name: both.sources.count(name) for name in set(both.sources)}
    assert counts["huge"] == 100 and counts["phone"] <= 100
    taken = [kind for source, kind in zip(both.sources, both.kinds, strict=True) if source == "huge"]
    assert min(taken.count(kind) for kind in ("Apple", "Banana", "Kiwi", "Okra")) >= 24  # spread over its kinds


def test_figures_are_of_each_source_and_of_each_kind():
    found = summarize_sources(made(), 1.0, Thresholds(unsure=0.5))
    assert set(found["per_source"]) == {"phone", "shop", "rooms"}
    assert found["per_source"]["rooms"]["images"] == 0 and found["per_source"]["rooms"]["top1"] is None
    assert found["sources"] == 2 and found["images"] == sum(own["images"] for own in found["per_source"].values())
    assert found["top1"] == pytest.approx((found["per_source"]["phone"]["top1"] + found["per_source"]["shop"]["top1"]) / 2)
    apple = found["per_kind"]["Apple"]
    assert 0.5 < apple["recall"] < 0.9 and sum(apple["taken_for"].values()) == round(apple["images"] * (1 - apple["recall"]))
    assert "Okra" not in found["per_kind"]
    json.dumps(found, allow_nan=False)


def test_answers_come_back_from_disk_as_they_were(tmp_path):
    answers = made(40)
    (tmp_path / "answers-0.npz").write_bytes(to_bytes(answers))
    (tmp_path / "study.json").write_text('{"groups": [["phone"]]}')
    again = read_study(tmp_path)
    assert (again.classes, again.sources, again.kinds) == (CLASSES, answers.sources, answers.kinds)
    torch.testing.assert_close(again.logits, answers.logits, rtol=2e-3, atol=2e-3)


def test_a_study_that_is_not_there_not_finished_or_damaged_is_a_sentence(tmp_path):
    with pytest.raises(DataError) as caught:
        read_study(tmp_path)
    assert caught.value.code == "no-study" and "evaluate-sources" in str(caught.value)
    (tmp_path / "study.json").write_text('{"groups": [["a"], ["b"]]}')
    (tmp_path / "answers-0.npz").write_bytes(to_bytes(made(5)))
    with pytest.raises(DataError, match="1 of 2 groups"):
        read_study(tmp_path)
    (tmp_path / "answers-1.npz").write_bytes(to_bytes(made(5))[:100])
    with pytest.raises(DataError) as caught:
        read_study(tmp_path)
    assert caught.value.code == "study-damaged"
    other = Answers(("A", "B"), ("A", "B"), torch.zeros(1, 1, 2), ("x",), ("A",))
    (tmp_path / "answers-1.npz").write_bytes(to_bytes(other))
    with pytest.raises(DataError, match="same classes"):
        read_study(tmp_path)


def test_a_pickle_among_the_answers_is_not_opened(tmp_path):
    np.savez(tmp_path / "x.npz", classes=np.array([object()], dtype=object))
    with pytest.raises(DataError):
        read_answers(tmp_path / "x.npz")
