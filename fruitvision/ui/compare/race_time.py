"""How long a race will take, measured in the background while nothing trains. No gradio."""

from __future__ import annotations

import threading

from fruitvision.comparison.estimate import study_seconds
from fruitvision.comparison.study import StudyPlan
from fruitvision.errors import FruitVisionError
from fruitvision.wording.text import duration, say


class RaceTimes:
    """The times of the races that were asked about, by what they are. One for all visitors of an app."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}
        self._thread: threading.Thread | None = None

    def words(self, plan: StudyPlan, language: str, *, may_measure: bool) -> str:
        """ "36 runs, about 40 min here", or that it is being measured; the first question begins it where it may.

        A time that cannot be had is not spoken of.
        """
        key, count = repr(plan.model_dump(exclude={"name", "created"})), len(plan.cells())
        seconds = self._known.get(key)
        if seconds is None and may_measure and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._measure, args=(key, plan), name="fruitvision-race-time", daemon=True)
            self._thread.start()
        if seconds is None or seconds != seconds:
            return say("compare.time_measuring", language, count=count) if seconds is None and may_measure else ""
        about = say("train.time_about", language, time=duration(seconds, language))
        return say("compare.time_here", language, count=count, time=about)

    def _measure(self, key: str, plan: StudyPlan) -> None:
        try:
            self._known[key] = study_seconds(plan)
        except (FruitVisionError, RuntimeError):  # an estimate is no more than that
            self._known[key] = float("nan")
