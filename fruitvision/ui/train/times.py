"""How long each preset will take on this machine, measured in the background, and which of them fit a person's time."""

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
"""Of the network that is timed; their number matters little."""
FEWEST = 20
"""Pictures that a person may be told to train on."""

Splits = Mapping[str, int]
"""How many pictures a dataset has in its splits "train", "val" and "test"."""


class Estimates:
    """The time that each preset takes per picture here, and that a process takes to start: measured once, while nothing trains."""

    def __init__(self) -> None:
        self.paces: dict[str, StepTimes | None] = {}
        """By preset; None where it could not be measured."""
        self.start = 0.0
        """Seconds from the start of a process until its libraries are loaded."""
        self.task: Task[None] | None = None

    def begin(self) -> None:
        """Start measuring, unless that was done or is going on."""
        self.task = self.task or Task(self._measure, "estimate")

    def _measure(self, progress: Progress) -> None:
        from fruitvision.runs.prepare.estimate import measure_each

        presets = list(reversed(PRESETS))  # the quick ones first
        began = time.monotonic()

        def measured(place: int, pace: StepTimes | None) -> None:
            if place < 0:
                self.start = time.monotonic() - began
            else:
                self.paces[presets[place]] = pace

        try:
            call_in_subprocess(measure_each, [(TrainConfig.from_preset(preset), CLASSES) for preset in presets], True, report=measured)
        finally:  # without an estimate the card says nothing about time
            self.paces = {preset: self.paces.get(preset) for preset in presets}

    @property
    def done(self) -> bool:
        """Whether every preset was measured."""
        return len(self.paces) == len(PRESETS)

    def seconds(self, preset: str, splits: Splits, most: int = 0) -> float | None:
        """The length of a run of that preset here, on ``most`` training pictures (0: all); None where it is not known."""
        from fruitvision.runs.prepare.estimate import run_seconds

        pace = self.paces.get(preset)
        if pace is None:
            return None
        config = TrainConfig.from_preset(preset, max_train_images=most)
        return run_seconds(config, pace, PictureCounts.of(splits, config), self.start)

    def fitting(self, preset: str, splits: Splits, seconds: float) -> int:
        """With how many training pictures the preset would end in so many seconds; 0 where with none."""
        most = PictureCounts.of(splits, TrainConfig.from_preset(preset)).train
        few, every = self.seconds(preset, splits, 1) or 0.0, self.seconds(preset, splits, most) or 0.0
        if most < 2 or every <= few:
            return 0
        pictures = int(1 + (most - 1) * (seconds - few) / (every - few))  # the time grows evenly with the pictures
        return max(pictures, 0)

    def words(self, preset: str, splits: Splits | None, language: str) -> str:
        """ "about 12 min here", or that it is being measured; empty where it could not be."""
        if preset not in self.paces or splits is None:
            return say("train.time_measuring", language)
        seconds = self.seconds(preset, splits)
        return "" if seconds is None else say("train.time_about", language, time=duration(seconds, language))


def preset_choices(estimates: Estimates, splits: Splits | None, language: str) -> list[tuple[str, str]]:
    """The cards: name, what it is, and the time it will take here."""
    cards = []
    for preset in PRESETS:
        lines = [say(f"train.preset_{preset}", language), say(f"train.preset_{preset}_meaning", language)]
        lines.append(estimates.words(preset, splits, language))
        cards.append(("\n".join(line for line in lines if line), preset))
    return cards


def fitting_words(estimates: Estimates, given: str | None, splits: Splits | None, language: str) -> str:
    """Which presets end within so many minutes here; where none does, with how many pictures the quickest would.

    Empty before a time is given and everything is measured.
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
    if pictures < FEWEST:
        return say("train.time_fits_no", language)
    facts = {"name": say(f"train.preset_{quickest}", language), "setting": setting("max_train_images", language)[0]}
    return say("train.time_fits_none", language, pictures=pictures, **facts)


def _minutes(given: str) -> float | None:
    """A positive number, also with a comma."""
    try:
        minutes = float(given.strip().replace(",", "."))
    except ValueError:
        return None
    return minutes if 0 < minutes < 1e6 else None
