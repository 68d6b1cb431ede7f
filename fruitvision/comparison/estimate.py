"""How long a study will take on this machine, measured by a few training steps of each kind."""

from __future__ import annotations

import json
from functools import lru_cache

from fruitvision.comparison.provenance import picture_counts
from fruitvision.comparison.study import StudyFolder, StudyPlan, is_done
from fruitvision.runs.prepare.estimate import run_seconds, seconds_per_picture
from fruitvision.training.config import TrainConfig

EVAL_BATCH_SIZE = 32


def study_seconds(plan: StudyPlan, study: StudyFolder | None = None) -> float:
    """Seconds for all cells that ``study`` has not finished, one after another; for all cells without it.

    Each norm and batch size is timed by two steps, once for all seeds; times are cached in this process.
    Raises DataError where the pictures are missing.
    """
    counts, classes = picture_counts(plan)
    cells = [cell for cell in plan.cells() if study is None or not is_done(study.run(cell))]
    return sum(cell_seconds(cell.training, counts["train"], counts["measured"], classes) for cell in cells)


def cell_seconds(config: TrainConfig, train_images: int, measured_images: int, num_classes: int) -> float:
    """Seconds of one run; evaluation has a batch size of its own."""
    learning = run_seconds(config, _timed(_key(config), num_classes), train_images, 0)
    large = config.model_copy(update={"batch_size": max(config.batch_size, EVAL_BATCH_SIZE)})
    return learning + run_seconds(config, _timed(_key(large), num_classes), 0, measured_images)


def _key(config: TrainConfig) -> str:
    """The part of a configuration that the time per picture depends on."""
    return json.dumps(config.model_copy(update={"seed": 0, "epochs": 1, "max_train_images": 0}).model_dump())


@lru_cache(maxsize=256)
def _timed(key: str, num_classes: int) -> float:
    return seconds_per_picture(TrainConfig.model_validate_json(key), num_classes)
