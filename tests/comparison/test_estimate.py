"""How long a study will take is said before it begins."""

from __future__ import annotations

import math
import shutil

import pytest

from fruitvision.comparison import estimate
from fruitvision.comparison.provenance import measured_on, picture_counts
from fruitvision.comparison.runner import run_study
from fruitvision.comparison.study import StudyFolder, StudyPlan
from fruitvision.runs.config import RunConfig
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.estimate import StepTimes

TINY = {"width": 8, "image_size": 40, "epochs": 2}


def plan(sample_set, **changes) -> StudyPlan:
    values = {"data": str(sample_set), "norms": ("batch", "group"), "batch_sizes": (2, 8), "training": TINY}
    return StudyPlan.parse({**values, **changes})


@pytest.fixture
def a_millisecond(monkeypatch):
    """Every picture takes one, ten in batches of 2; what was asked for is kept."""
    asked = []

    def measure_each(jobs, evaluating, report):
        for place, (config, num_classes) in enumerate(jobs):
            asked.append((config.norm, config.batch_size, num_classes))
            report(place, StepTimes(0.01 if config.batch_size == 2 else 0.001, 0, 0))

    monkeypatch.setattr("fruitvision.runs.prepare.estimate.measure_each", measure_each)
    estimate._timed.clear()
    yield asked
    estimate._timed.clear()


def test_each_kind_of_step_is_timed_once_whatever_the_seeds(sample_set, a_millisecond):
    one, three = (estimate.study_seconds(plan(sample_set, seeds=seeds)) for seeds in ((0,), (0, 1, 2)))
    assert three == pytest.approx(3 * one)
    assert sorted(a_millisecond) == sorted([(norm, size, 4) for norm in ("batch", "group") for size in (2, 8, 32)])
    # two norms × two epochs × 32 pictures, and 16 that are measured at a third of the price
    assert one == pytest.approx(2 * 2 * (32 * (0.01 + 0.001) + 2 * 16 * 0.001 * 0.35))


def test_what_is_finished_takes_no_time(tmp_path, sample_set, a_millisecond):
    study = plan(sample_set, batch_sizes=(8,))
    run_study(study, tmp_path / "study")
    assert estimate.study_seconds(study, StudyFolder(tmp_path / "study")) == 0 < estimate.study_seconds(study)


def test_which_pictures_an_epoch_is_measured_on(sample_set):
    assert (measured_on(plan(sample_set)), picture_counts(plan(sample_set))) == ("test", ({"train": 32, "measured": 16}, 4))
    held_out = plan(sample_set, training={**TINY, "val_fraction": 0.25, "max_train_images": 10})
    assert (measured_on(held_out), picture_counts(held_out)[0]) == ("validation", {"train": 10, "measured": 8})


def test_a_folder_without_splits_is_measured_on_the_fifth_that_a_run_keeps_for_testing(sample_set, tmp_path):
    shutil.copytree(sample_set / "Training", tmp_path / "plain")
    whole = plan(tmp_path / "plain")
    assert (measured_on(whole), picture_counts(whole)) == ("test", ({"train": 26, "measured": 6}, 4))
    data = prepare(RunConfig(data=whole.data, training=whole.trials()[0].training))
    assert abs(len(data.validation.labels) - 6) <= 2 and data.validation.paths == data.test.paths


@pytest.mark.parametrize("in_subprocess", [False, True])
def test_a_real_measurement_is_a_positive_time(sample_set, in_subprocess):
    estimate._timed.clear()
    assert 0 < estimate.study_seconds(plan(sample_set), in_subprocess=in_subprocess) < 600


def test_what_cannot_be_timed_is_not_claimed_and_is_tried_again(sample_set, monkeypatch):
    estimate._timed.clear()
    with monkeypatch.context() as patch:
        patch.setattr("fruitvision.runs.prepare.estimate.measure_step_times", lambda config, num_classes, evaluating: 1 / 0)
        assert math.isnan(estimate.study_seconds(plan(sample_set)))
    assert estimate.study_seconds(plan(sample_set)) > 0
