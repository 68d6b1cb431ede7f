"""One picture, classified by the network of every norm of a study."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fruitvision.comparison.study import Cell, StudyFolder
from fruitvision.data.read.picture import PictureSource

if TYPE_CHECKING:
    from fruitvision.recognition.classifier import Classifier, Prediction

CACHED_NETWORKS = 24


@dataclass(frozen=True)
class Answer:
    """The answer of one cell's network."""

    cell: Cell
    prediction: Prediction
    heatmap: Image.Image
    """RGB, the picture's size: the class activation map of the answered fruit type."""
    accuracy: float | None
    """Of the cell's last epoch, on the split that its epochs are evaluated on."""


def pairs(study: StudyFolder) -> list[tuple[int, int]]:
    """The (batch size, seed) for which at least one norm has a checkpoint, in the study's order."""
    return list(dict.fromkeys((cell.batch_size, cell.seed) for cell in _trained(study)))


def answers(study: StudyFolder, picture: PictureSource, batch_size: int, seed: int) -> list[Answer]:
    """Every norm's answer, by the weights of the best epoch, in the study's order. Raises PictureError, CheckpointError."""
    found = []
    for cell in _trained(study):
        if (cell.batch_size, cell.seed) != (batch_size, seed):
            continue
        run = study.run(cell)
        prediction = _classifier(run.best, (run.best / "config.json").stat().st_mtime_ns).predict(picture)
        epochs = run.metrics("epoch")
        found.append(Answer(cell, prediction, prediction.heatmap(), epochs[-1]["val_accuracy"] if epochs else None))
    return found


def _trained(study: StudyFolder) -> list[Cell]:
    return [cell for cell in study.plan().cells() if study.run(cell).has_checkpoint]


@lru_cache(maxsize=CACHED_NETWORKS)
def _classifier(path: Path, changed: int) -> Classifier:
    from fruitvision.recognition.classifier import Classifier

    return Classifier.from_checkpoint(path)
