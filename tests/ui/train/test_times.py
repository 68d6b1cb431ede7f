"""Train: how long each recipe takes here, and which fit a person's time."""

from __future__ import annotations

import re
import time

import psutil

from fruitvision.errors import RunError
from fruitvision.runs.prepare.estimate import StepTimes
from fruitvision.training.config import PRESETS
from fruitvision.ui.train.times import Estimates, fitting_words, preset_choices

SPLITS = {"train": 600, "test": 100}


def test_a_card_says_that_its_time_is_not_known_and_then_how_long_it_takes(monkeypatch):
    estimates = Estimates()
    assert "measuring" in preset_choices(estimates, {"train": 100, "test": 20}, "en")[0][0]
    pace = StepTimes(train=0.1, augment=0.01, view=0.02)
    monkeypatch.setattr(
        "fruitvision.ui.train.times.call_in_subprocess",
        lambda paces, jobs, evaluating, report: [report(n, None if n < 0 else pace) for n in range(-1, len(jobs))],
    )
    estimates.begin()
    end = time.monotonic() + 10
    while not estimates.done and time.monotonic() < end:
        time.sleep(0.01)
    cards = {preset: text for text, preset in preset_choices(estimates, SPLITS, "en")}
    assert "about" in cards["plain"] and "min" in cards["plain"]  # 600 pictures × 0.1 s × 10 epochs
    assert cards.keys() == PRESETS.keys()


def test_a_time_that_could_not_be_measured_is_not_claimed(monkeypatch):
    def broken(paces, jobs, evaluating, report):
        raise RunError("work-ended")

    monkeypatch.setattr("fruitvision.ui.train.times.call_in_subprocess", broken)
    estimates = Estimates()
    estimates.begin()
    estimates.task.join(10)
    assert "about" not in preset_choices(estimates, SPLITS, "en")[0][0]


def test_the_times_are_measured_in_a_process_of_their_own(monkeypatch):
    monkeypatch.setattr("fruitvision.ui.train.times.PRESETS", {"fast": PRESETS["fast"]})
    before = psutil.Process().memory_info().rss
    estimates = Estimates()
    estimates.begin()
    estimates.task.join(60)
    pace = estimates.paces["fast"]
    assert estimates.done and 0 < pace.augment < pace.train < 10 and 0 < pace.view < pace.train and 0.5 < estimates.start < 60
    assert psutil.Process().memory_info().rss - before < 40 * 2**20, "a training step of the preset takes several hundred"


def test_the_recipes_that_fit_a_persons_time_are_named_or_how_many_pictures_would(monkeypatch):
    estimates = Estimates()
    assert fitting_words(estimates, "10", SPLITS, "en") == "", "not measured yet"
    paces = {"plain": StepTimes(0.1, 0.01, 0.035), "fast": StepTimes(0.01, 0.001, 0.0035), "robust": None}  # about 10 min and 35 s
    estimates.paces = paces
    assert fitting_words(estimates, None, SPLITS, "en") == fitting_words(estimates, "5", None, "en") == ""
    assert "Fast" in (words := fitting_words(estimates, "5", SPLITS, "en")) and "Plain" not in words
    assert "Plain · Fast" in fitting_words(estimates, "20", SPLITS, "en")
    assert "标准 · 快速" in fitting_words(estimates, "20", SPLITS, "zh")
    none = fitting_words(estimates, "0.4", SPLITS, "en")
    pictures = int(re.search(r"about (\d+)", none)[1])
    assert "Maximum training pictures" in none and 200 < pictures < 500
    assert estimates.seconds("fast", SPLITS, pictures) <= 24 + 0.1 < estimates.seconds("fast", SPLITS)
    assert all("as a number" in fitting_words(estimates, wrong, SPLITS, "en") for wrong in ("ten", "-1", "nan", "0"))
    assert "No recipe" in fitting_words(estimates, "0.05", SPLITS, "en")
