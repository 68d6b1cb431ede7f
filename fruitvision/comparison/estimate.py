"""How long a study will take on this machine, before it is begun: from a few steps of each kind that are really taken."""

from __future__ import annotations

import json
from functools import lru_cache

from fruitvision.comparison.circumstances import picture_counts
from fruitvision.comparison.study import StudyFolder, StudyPlan, is_settled
from fruitvision.runs.prepare.estimate import run_seconds, seconds_per_picture
from fruitvision.training.config import TrainConfig

EVALUATED_AT_ONCE = 32


def study_seconds(plan: StudyPlan, study: StudyFolder | None = None) -> float:
    """Seconds for all cells that ``study`` has not finished, one after the other; of all without it.

    Each norm and batch size is timed by two steps; the seeds are alike. What was timed once in this process is remembered.
    Raises DataError where the pictures are missing.
    """
    counts, classes = picture_counts(plan)
    cells = [cell for cell in plan.cells() if study is None or not is_settled(study.run(cell))]
    return sum(cell_seconds(cell.training, counts["train"], counts["measured"], classes) for cell in cells)


def cell_seconds(config: TrainConfig, train_images: int, measured_images: int, num_classes: int) -> float:
    """Seconds of one run; evaluation goes in batches of its own size, whatever the training's is."""
    learning = run_seconds(config, _timed(_key(config), num_classes), train_images, 0)
    large = config.model_copy(update={"batch_size": max(config.batch_size, EVALUATED_AT_ONCE)})
    return learning + run_seconds(config, _timed(_key(large), num_classes), 0, measured_images)


def _key(config: TrainConfig) -> str:
    """All of a configuration that its time a picture depends on."""
    return json.dumps(config.model_copy(update={"seed": 0, "epochs": 1, "max_train_images": 0}).model_dump())


@lru_cache(maxsize=256)
def _timed(key: str, num_classes: int) -> float:
    return seconds_per_picture(TrainConfig.model_validate_json(key), num_classes)
