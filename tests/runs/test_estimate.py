"""The time that is promised before a run is the sum of what the run does."""

from __future__ import annotations

import pytest

from fruitvision.runs.counts import PictureCounts
from fruitvision.runs.prepare import estimate
from fruitvision.runs.prepare.estimate import END_SECONDS, EPOCH_SECONDS, PREPARE_SECONDS, StepTimes, run_seconds, training_seconds
from fruitvision.training.config import TrainConfig

STEP_TIMES = StepTimes(train=0.1, augment=0.01, view=0.02)
SAMPLE = {"train": 560, "test": 140}
START = 5.0
BESIDE = START + PREPARE_SECONDS + END_SECONDS


def test_pictures_are_divided_as_a_run_divides_them():
    plain = TrainConfig.from_preset("plain")
    assert PictureCounts.of(SAMPLE, plain) == PictureCounts(504, 56, 140)
    assert PictureCounts.of({**SAMPLE, "val": 70}, plain) == PictureCounts(560, 70, 140)
    assert PictureCounts.of(SAMPLE, TrainConfig.from_preset("plain", val_fraction=0)) == PictureCounts(560, 140, 140)
    assert PictureCounts.of({"train": 100}, TrainConfig.from_preset("plain", val_fraction=0)) == PictureCounts(80, 20, 20)
    assert PictureCounts.of({"train": 100}, plain) == PictureCounts(72, 8, 20)
    assert PictureCounts.of(SAMPLE, TrainConfig.from_preset("plain", max_train_images=50)) == PictureCounts(50, 56, 140)


def test_the_plain_recipe_is_ten_epochs_at_full_size_with_a_validation_each_and_one_test():
    config = TrainConfig.from_preset("plain")
    epoch = 504 * 0.1 + 56 * 0.02 + EPOCH_SECONDS
    assert run_seconds(config, STEP_TIMES, PictureCounts.of(SAMPLE, config), START) == pytest.approx(
        BESIDE + 10 * epoch + (56 + 140) * 0.02
    )


def test_smaller_pictures_in_the_first_epochs_cost_by_their_area():
    config = TrainConfig.from_preset("fast", epochs=2)  # 64 and 96 pixels
    learning = 504 * 0.1 * ((64 / 96) ** 2 + 1)
    expected = BESIDE + learning + 2 * (56 * 0.02 + EPOCH_SECONDS) + (56 + 140) * 0.02
    assert run_seconds(config, STEP_TIMES, PictureCounts.of(SAMPLE, config), START) == pytest.approx(expected)
    assert training_seconds(config, 0.1, 504) == pytest.approx(learning)


def test_views_scenes_and_the_refit_of_the_robust_recipe_are_counted(monkeypatch):
    config = TrainConfig.from_preset("robust", epochs=1, first_image_size=0)
    monkeypatch.setattr(estimate, "weights_are_here", lambda: False)
    views = 2  # the whole picture and its middle
    validated = 56 * (0.02 + 0.01)  # composed into scenes, one view
    refit = 504 * (2 * (0.02 + 0.01) + 0.02) + 56 * 0.02 * views
    expected = BESIDE + 504 * 0.1 + validated + EPOCH_SECONDS + (56 + 140) * 0.02 * views + refit
    pictures = PictureCounts.of(SAMPLE, config)
    assert run_seconds(config, STEP_TIMES, pictures, START) == pytest.approx(expected)
    monkeypatch.setattr(estimate, "weights_are_here", lambda: True)  # the original network answers each picture too
    assert run_seconds(config, STEP_TIMES, pictures, START) == pytest.approx(expected + 504 * 0.02 * (128 / 160) ** 2)
