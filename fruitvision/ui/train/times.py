"""How long each preset will take on this machine, measured in the background, and which of them fit a person's time."""

from __future__ import annotations

import math

from fruitvision.runs.prepare.estimate import run_seconds, seconds_of_each
from fruitvision.runs.separate import call_separately
from fruitvision.training.config import PRESETS, TrainConfig
from fruitvision.ui.page.background import Progress, Task
from fruitvision.wording.text import duration, say, setting

CLASSES = 20
"""Of the network that is timed; their number matters little."""


class Estimates:
    """The time that each preset takes per picture here: measured once, while nothing trains."""

    def __init__(self) -> None:
        self.per_picture: dict[str, float] = {}
        """Seconds, by preset; NaN where it could not be measured."""
        self.task: Task[None] | None = None

    def begin(self) -> None:
        """Start measuring, unless that was done or is going on."""
        self.task = self.task or Task(self._measure, "estimate")

    def _measure(self, progress: Progress) -> None:
        presets = list(reversed(PRESETS))  # the quick ones first
        jobs = [(TrainConfig.from_preset(preset), CLASSES) for preset in presets]
        try:
            call_separately(seconds_of_each, jobs, report=lambda place, seconds: self.per_picture.update({presets[place]: seconds}))
        finally:  # without an estimate the card says nothing about time
            self.per_picture = {preset: self.per_picture.get(preset, math.nan) for preset in presets}

    @property
    def done(self) -> bool:
        """Whether every preset was measured."""
        return len(self.per_picture) == len(PRESETS)

    def seconds(self, preset: str, train_images: int, val_images: int) -> float | None:
        """The length of a run of that preset here; None where it is not known."""
        per_picture = self.per_picture.get(preset, math.nan)
        if math.isnan(per_picture):
            return None
        return run_seconds(TrainConfig.from_preset(preset), per_picture, train_images, val_images)

    def words(self, preset: str, train_images: int | None, val_images: int, language: str) -> str:
        """ "about 12 min here", or that it is being measured; empty where it could not be."""
        if preset not in self.per_picture or train_images is None:
            return say("train.time_measuring", language)
        seconds = self.seconds(preset, train_images, val_images)
        return "" if seconds is None else say("train.time_about", language, time=duration(seconds, language))


def preset_choices(estimates: Estimates, train_images: int | None, val_images: int, language: str) -> list[tuple[str, str]]:
    """The cards: name, what it is, and the time it will take here."""
    cards = []
    for preset in PRESETS:
        lines = [say(f"train.preset_{preset}", language), say(f"train.preset_{preset}_meaning", language)]
        lines.append(estimates.words(preset, train_images, val_images, language))
        cards.append(("\n".join(line for line in lines if line), preset))
    return cards


def fitting_words(estimates: Estimates, minutes: float | None, train_images: int | None, val_images: int, language: str) -> str:
    """Which presets end within so many minutes here; where none does, with how many pictures the quickest would.

    Empty before a time is given and everything is measured.
    """
    if not minutes or minutes <= 0 or not estimates.done or train_images is None:
        return ""
    known = {preset: estimates.seconds(preset, train_images, val_images) for preset in PRESETS}
    times = {preset: seconds for preset, seconds in known.items() if seconds is not None}
    if not times:
        return ""
    fitting = [preset for preset, seconds in times.items() if seconds <= minutes * 60]
    if fitting:
        return say("train.time_fits", language, names=" · ".join(say(f"train.preset_{preset}", language) for preset in fitting))
    quickest = min(times, key=lambda preset: times[preset])
    facts = {"name": say(f"train.preset_{quickest}", language), "setting": setting("max_train_images", language)[0]}
    return say("train.time_fits_none", language, pictures=int(train_images * minutes * 60 / times[quickest]), **facts)
