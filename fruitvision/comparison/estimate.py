"""How long a study will take on this machine, measured by a few training steps of each kind."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from fruitvision.comparison.provenance import picture_counts
from fruitvision.comparison.study import StudyFolder, StudyPlan, is_done
from fruitvision.runs.separate import call_separately
from fruitvision.training.config import TrainConfig

if TYPE_CHECKING:
    from fruitvision.runs.prepare.estimate import Pace

EVAL_BATCH_SIZE = 32
MOST_KNOWN = 256


def study_seconds(plan: StudyPlan, study: StudyFolder | None = None, *, separately: bool = False) -> float:
    """Seconds for all cells that ``study`` has not finished, one after another; for all cells without it.

    Each norm and batch size is timed by a few steps, once for all seeds; times are cached in this process.

    Args:
        separately: take those steps in a process of its own, which gives its memory back.

    Returns:
        NaN where a cell could not be timed.

    Raises:
        DataError: the pictures are missing.
        RunError: the process of its own ended.
    """
    counts, classes = picture_counts(plan)
    cells = [cell.training for cell in plan.cells() if study is None or not is_done(study.run(cell))]
    _time(list(dict.fromkeys(job for config in cells for job in _jobs(config, classes))), separately)
    return sum(cell_seconds(config, counts["train"], counts["measured"], classes) for config in cells)


def cell_seconds(config: TrainConfig, train_images: int, measured_images: int, num_classes: int) -> float:
    """Seconds of one run; evaluation has a batch size of its own. Its steps have been timed by :func:`study_seconds`."""
    from fruitvision.runs.prepare.estimate import epochs_seconds

    learning, evaluating = (_timed.get(job, math.nan) for job in _jobs(config, num_classes))
    return epochs_seconds(config, learning, train_images, 0) + epochs_seconds(config, evaluating, 0, measured_images)


Job = tuple[str, int]
"""What the time per picture depends on: that part of a configuration, as JSON, and the number of classes."""

_timed: dict[Job, float] = {}
"""Seconds per picture; at most ``MOST_KNOWN``."""


def _jobs(config: TrainConfig, num_classes: int) -> tuple[Job, Job]:
    """The steps of its training, and of its evaluation."""
    large = config.model_copy(update={"batch_size": max(config.batch_size, EVAL_BATCH_SIZE)})
    return (_key(config), num_classes), (_key(large), num_classes)


def _key(config: TrainConfig) -> str:
    return json.dumps(config.model_copy(update={"seed": 0, "epochs": 1, "max_train_images": 0}).model_dump())


def _time(jobs: list[Job], separately: bool) -> None:
    from fruitvision.runs.prepare.estimate import paces

    if len(_timed) > MOST_KNOWN:
        _timed.clear()
    unknown = [job for job in jobs if job not in _timed]
    asked = [(TrainConfig.model_validate_json(key), num_classes) for key, num_classes in unknown]

    def report(place: int, pace: Pace | None) -> None:
        if pace is not None:  # else it may be measurable another time
            _timed[unknown[place]] = pace.train

    if asked and separately:
        call_separately(paces, asked, False, report=report)
    elif asked:
        paces(asked, False, report)
