"""Estimates of how long each preset takes on this machine, measured in the background, and which presets fit a given time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fruitvision.runs.counts import PictureCounts
from fruitvision.runs.subprocess_call import call_in_subprocess
from fruitvision.training.config import PRESETS, TrainConfig
from fruitvision.ui.page.background import Progress, Task
from fruitvision.wording.text import duration, say, setting

if TYPE_CHECKING:
    from fruitvision.runs.prepare.estimate import StepTimes

CLASSES = 20
"""Number of classes of the network that is timed; it matters little."""
MIN_PICTURES = 20
"""Smallest number of training pictures that is suggested."""

Splits = Mapping[str, int]
"""Number of pictures in a dataset's splits "train", "val" and "test"."""


class Estimates:
    """The time per picture of each preset on this machine, and the start time of a process; measured once, while nothing trains."""

    def __init__(self) -> None:
        self.paces: dict[str, StepTimes | None] = {}
        """By preset; None if it could not be measured."""
        self.start = 0.0
        """Seconds until a new process has loaded its libraries."""
        self.task: Task[None] | None = None

    def begin(self) -> None:
        """Start measuring, unless it was started already."""
        self.task = self.task or Task(self._measure, "estimate")

    def _measure(self, progress: Progress) -> None:
        from fruitvision.runs.prepare.estimate import measure_each

        presets = list(reversed(PRESETS))  # the fast ones first
        began = time.monotonic()

        def measured(place: int, pace: StepTimes | None) -> None:
            if place < 0:
                self.start = time.monotonic() - began
            else:
                self.paces[presets[place]] = pace

        try:
            call_in_subprocess(measure_each, [(TrainConfig.from_preset(preset), CLASSES) for preset in presets], True, report=measured)
        finally:  # presets without an estimate show no time
            self.paces = {preset: self.paces.get(preset) for preset in presets}

    @property
    def done(self) -> bool:
        """Whether every preset was measured."""
        return len(self.paces) == len(PRESETS)

    def seconds(self, preset: str, splits: Splits, most: int = 0) -> float | None:
        """The estimated duration of a run on ``most`` training pictures (0: all); None if unknown."""
        from fruitvision.runs.prepare.estimate import run_seconds

        pace = self.paces.get(preset)
        if pace is None:
            return None
        config = TrainConfig.from_preset(preset, max_train_images=most)
        return run_seconds(config, pace, PictureCounts.of(splits, config), self.start)

    def fitting(self, preset: str, splits: Splits, seconds: float) -> int:
        """The number of training pictures for which the preset takes that many seconds; 0 if it takes longer with any."""
        total = PictureCounts.of(splits, TrainConfig.from_preset(preset)).train
        shortest, longest = self.seconds(preset, splits, 1) or 0.0, self.seconds(preset, splits, total) or 0.0
        if total < 2 or longest <= shortest:
            return 0
        pictures = int(1 + (total - 1) * (seconds - shortest) / (longest - shortest))  # the time is linear in the number of pictures
        return max(pictures, 0)

    def words(self, preset: str, splits: Splits | None, language: str) -> str:
        """ "about 12 min here", or that it is being measured; empty if it could not be measured."""
        if preset not in self.paces or splits is None:
            return say("train.time_measuring", language)
        seconds = self.seconds(preset, splits)
        return "" if seconds is None else say("train.time_about", language, time=duration(seconds, language))


def preset_choices(estimates: Estimates, splits: Splits | None, language: str) -> list[tuple[str, str]]:
    """The choices as cards: name, description, and estimated duration of each preset."""
    cards = []
    for preset in PRESETS:
        lines = [say(f"train.preset_{preset}", language), say(f"train.preset_{preset}_meaning", language)]
        lines.append(estimates.words(preset, splits, language))
        cards.append(("\n".join(line for line in lines if line), preset))
    return cards


def fitting_words(estimates: Estimates, given: str | None, splits: Splits | None, language: str) -> str:
    """Which presets finish within the given minutes; if none does, with how many pictures the fastest would.

    Empty until a time is given and all presets are measured.
    """
    if not (given or "").strip():
        return ""
    minutes = _minutes(given or "")
    if minutes is None:
        return say("train.time_no_number", language)
    if not estimates.done or splits is None:
        return ""
    known = {preset: estimates.seconds(preset, splits) for preset in PRESETS}
    times = {preset: seconds for preset, seconds in known.items() if seconds is not None}
    if not times:
        return ""
    fitting = [preset for preset, seconds in times.items() if seconds <= minutes * 60]
    if fitting:
        return say("train.time_fits", language, names=" · ".join(say(f"train.preset_{preset}", language) for preset in fitting))
    quickest = min(times, key=lambda preset: times[preset])
    pictures = estimates.fitting(quickest, splits, minutes * 60)
    if pictures < MIN_PICTURES:
        return say("train.time_fits_no", language)
    facts = {"name": say(f"train.preset_{quickest}", language), "setting": setting("max_train_images", language)[0]}
    return say("train.time_fits_none", language, pictures=pictures, **facts)


def _minutes(given: str) -> float | None:
    """A positive number, with a decimal point or comma; None for anything else."""
    try:
        minutes = float(given.strip().replace(",", "."))
    except ValueError:
        return None
    return minutes if 0 < minutes < 1e6 else None
