"""How long a study will take on this machine, estimated from a few timed steps of each norm and batch size."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from fruitvision.comparison.provenance import picture_counts
from fruitvision.comparison.study import StudyFolder, StudyPlan, is_done
from fruitvision.runs.subprocess_call import call_in_subprocess
from fruitvision.training.config import TrainConfig

if TYPE_CHECKING:
    from fruitvision.runs.prepare.estimate import StepTimes

EVAL_BATCH_SIZE = 32
MAX_TIMED_STEPS = 256


def study_seconds(plan: StudyPlan, study: StudyFolder | None = None, *, in_subprocess: bool = False) -> float:
    """Seconds for all unfinished trials of ``study``, one after another; without it, for all trials.

    Each norm and batch size is timed with a few steps, once for all seeds; times are cached in this process.

    Args:
        in_subprocess: run those steps in another process, so that their memory is freed.

    Returns:
        The seconds; NaN if a trial could not be timed.

    Raises:
        DataError: the pictures are missing.
        RunError: the other process ended.
    """
    counts, classes = picture_counts(plan)
    trials = [trial.training for trial in plan.trials() if study is None or not is_done(study.run(trial))]
    _time(list(dict.fromkeys(job for config in trials for job in _jobs(config, classes))), in_subprocess)
    return sum(trial_seconds(config, counts["train"], counts["measured"], classes) for config in trials)


def trial_seconds(config: TrainConfig, train_images: int, measured_images: int, num_classes: int) -> float:
    """Seconds of one trial, whose steps were timed by :func:`study_seconds`."""
    from fruitvision.runs.prepare.estimate import EVALUATION_SHARE, training_seconds

    training, evaluating = (_timed.get(job, math.nan) for job in _jobs(config, num_classes))
    return training_seconds(config, training, train_images) + evaluating * measured_images * EVALUATION_SHARE * config.epochs


Job = tuple[str, int]
"""What the time per picture depends on: the relevant part of a configuration, as JSON, and the number of classes."""

_timed: dict[Job, float] = {}
"""Seconds per picture; at most ``MAX_TIMED_STEPS``."""


def _jobs(config: TrainConfig, num_classes: int) -> tuple[Job, Job]:
    """The jobs for the training and the evaluation of a trial."""
    large = config.model_copy(update={"batch_size": max(config.batch_size, EVAL_BATCH_SIZE)})
    return (_key(config), num_classes), (_key(large), num_classes)


def _key(config: TrainConfig) -> str:
    return json.dumps(config.model_copy(update={"seed": 0, "epochs": 1, "max_train_images": 0}).model_dump())


def _time(jobs: list[Job], in_subprocess: bool) -> None:
    from fruitvision.runs.prepare.estimate import measure_each

    if len(_timed) > MAX_TIMED_STEPS:
        _timed.clear()
    unknown = [job for job in jobs if job not in _timed]
    asked = [(TrainConfig.model_validate_json(key), num_classes) for key, num_classes in unknown]

    def report(index: int, times: StepTimes | None) -> None:
        if times is not None:  # otherwise it may be measurable another time
            _timed[unknown[index]] = times.train

    if asked and in_subprocess:
        call_in_subprocess(measure_each, asked, False, report=report)
    elif asked:
        measure_each(asked, False, report)
