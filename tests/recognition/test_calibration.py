"""Probabilities that can be believed, and the words for them."""

from __future__ import annotations

import pytest
import torch

from fruitvision.data.load.targets import Targets
from fruitvision.models.checkpoint import Thresholds
from fruitvision.recognition.calibration import (
    calibrate,
    confidence_threshold,
    fit_temperature,
    fit_thresholds,
    probabilities_of,
    sure_metrics,
    verdict,
)
from fruitvision.training.evaluation import expected_calibration_error


def drawn(temperature: float, count: int = 4000, classes: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that exaggerate ``temperature`` times, and labels drawn from the probabilities behind them."""
    generator = torch.Generator().manual_seed(3)
    honest = 2 * torch.randn(count, classes, generator=generator)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    return honest * temperature, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5, 6.0])
def test_temperature_that_made_the_logits_too_bold_is_found_again(temperature):
    logits, labels = drawn(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.08)


@pytest.mark.parametrize(("photos", "expected"), [(1000, 0.5), (50, 1.6)])
def test_enough_photographs_decide_the_temperature_alone(photos, expected):
    """The rest, made of other pictures, is known far less well than the network says."""
    logits, labels = drawn(1.0)
    logits = torch.cat((logits[:photos] / 2, logits[:3000] * 2))[:, None]
    labels = torch.cat((labels[:photos], labels[:3000]))
    unaugmented = torch.arange(len(labels)) < photos
    temperature, _ = calibrate(logits, labels, Targets.of(tuple("ABCDEF"), set(), not_fruit=False), unaugmented)
    assert temperature == pytest.approx(expected, rel=0.3)


def test_calibrated_confidence_agrees_with_accuracy():
    logits, labels = drawn(4.0)
    errors = []
    for temperature in (1.0, fit_temperature(logits, labels)):
        confidence, predicted = probabilities_of(logits, temperature).max(dim=1)
        errors.append(expected_calibration_error(confidence, predicted == labels))
    assert errors[0] > 0.2
    assert errors[1] < 0.03


def test_ten_pictures_all_right_give_no_endless_confidence():
    labels = torch.arange(10) % 3
    logits = 4.0 * torch.nn.functional.one_hot(labels, 3)
    confidence = probabilities_of(logits, fit_temperature(logits, labels)).max(dim=1).values
    assert confidence.max() < 0.95


def test_bounds_hold_on_sets_without_any_information():
    labels = torch.arange(50) % 5
    certain = 1000.0 * torch.nn.functional.one_hot(labels, 5)
    assert 0.25 <= fit_temperature(certain, labels) <= 10
    assert fit_temperature(certain, (labels + 1) % 5) == pytest.approx(10, rel=1e-3)  # always wrong
    assert 0.25 <= fit_temperature(torch.zeros(50, 5), labels) <= 10
    assert fit_temperature(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long)) == 1.0


def test_views_of_a_picture_are_averaged_as_probabilities():
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0], [1.0, 0.0], [1.0, 0.0]])
    probabilities = probabilities_of(logits, 1.0, views=2)
    assert probabilities.shape == (2, 2)
    assert probabilities[0].tolist() == pytest.approx([0.5, 0.5])
    assert probabilities[1].tolist() == pytest.approx(torch.tensor([1.0, 0.0]).softmax(0).tolist())


@pytest.mark.parametrize(
    ("confidence", "no_fruit", "word"),
    [(0.9, 0.05, "sure"), (0.6, 0.1, "sure"), (0.59, 0.1, "unsure"), (0.2, 0.7, "not-fruit"), (0.9, 0.7, "not-fruit")],
)
def test_words_follow_the_thresholds(confidence, no_fruit, word):
    assert verdict(confidence, no_fruit, Thresholds(unsure=0.6, not_fruit=0.7)) == word


def test_a_threshold_of_one_never_says_not_fruit():
    assert verdict(0.0, 1.0, Thresholds(unsure=0.6, not_fruit=1.0)) == "unsure"


def test_a_threshold_of_one_never_says_sure_even_of_a_saturated_probability():
    assert verdict(1.0, 0.0, Thresholds(unsure=1.0, not_fruit=1.0)) == "unsure"


def test_a_network_that_guesses_is_sure_of_nothing_however_far_apart_its_logits_are():
    generator = torch.Generator().manual_seed(0)
    logits, labels = 30 * torch.randn(400, 1, 5, generator=generator), torch.randint(5, (400,), generator=generator)
    targets = Targets.of(tuple("ABCDE"))
    temperature, thresholds = calibrate(logits, labels, targets)
    found = sure_metrics(logits, labels, targets, temperature, thresholds)
    assert found["answered"] < 0.05
    known = torch.nn.functional.one_hot(labels, 5).float()[:, None] * 30
    temperature, thresholds = calibrate(known, labels, targets)
    assert sure_metrics(known, labels, targets, temperature, thresholds) == {"answered": 1.0, "answered_top1": 1.0}


@pytest.mark.parametrize(("right", "unsure", "word"), [(True, 0.9999, "sure"), (False, 1.0, "unsure")], ids=["all right", "all wrong"])
def test_a_fitted_threshold_near_one_is_not_the_one_that_says_never(right, unsure, word):
    confidence, all_of = torch.full((400,), 0.99998), torch.ones(400, dtype=torch.bool)
    flags = all_of & right
    assert (confidence_threshold(confidence, flags) is None) == (not right)
    thresholds = fit_thresholds(confidence, torch.zeros(400), flags, all_of)
    assert thresholds.unsure == unsure and verdict(0.99998, 0.0, thresholds) == word


def test_pictures_without_fruit_that_look_certain_let_nothing_be_sure():
    confidence, is_fruit = torch.ones(200), torch.arange(200) < 100
    assert fit_thresholds(confidence, torch.zeros(200), is_fruit, is_fruit).unsure == 1
