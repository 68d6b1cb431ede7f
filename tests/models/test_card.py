"""What a checkpoint's card says of its thresholds, by what its configuration holds."""

from __future__ import annotations

import pytest

from fruitvision.models.card import model_card
from fruitvision.models.checkpoint import Thresholds
from tests.models.test_checkpoint import config

ELSE = "on which it was not trained;"
SAME = "on which it was not trained, and which validation above measured, too;"
BOTH = "on which it was not trained, and which validation and test above measured, too;"
ROW = {"images": 9, "top1": 0.5, "loss": 1.5}


@pytest.mark.parametrize(
    ("unsure", "words"),
    [(0.86, "below 86% is unsure."), (0.9999, "below 99.99% is unsure."), (1.0, "no answer is sure.")],
    ids=["plain", "near one", "never"],
)
def test_the_card_says_from_where_an_answer_is_sure_and_where_none_is(unsure, words):
    card = model_card(config(thresholds=Thresholds(unsure=unsure)).model_dump(mode="json"))
    assert words in card and "100%" not in card


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Temperature 1.000, not calibrated;"),
        (
            {"temperature": 1.2, "metrics": {"validation": {**ROW, "answered": 0.2}, "test": {**ROW, "loss": 1}}},
            f"validation pictures, {SAME}",
        ),
        (
            {"temperature": 1.2, "metrics": {"validation": {**ROW, "answered": 0.2}, "test": {**ROW, "loss": 1.500001}}},
            f"validation pictures, {BOTH}",
        ),
        ({"temperature": 1.2, "metrics": {"test": {"top1": 0.5}}}, f"fitted on validation pictures, {ELSE}"),
        ({"imported": {"calibrated_on": "", "head": ["fc"], "file": "a", "sha256": "b", "classes_from": "c"}}, "1.000, not calibrated;"),
    ],
    ids=["uncalibrated", "measured on the same", "test pictures", "measured on others", "imported"],
)
def test_the_card_says_truly_what_its_confidence_was_fitted_on(changes, words):
    card = model_card(config(**changes).model_dump(mode="json"))
    assert words in card and ("its confidence was calibrated" in card) == (changes.get("temperature", 1) != 1)
