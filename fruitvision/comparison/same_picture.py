"""One picture, classified by the network of every norm of a study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fruitvision.comparison.study import StudyFolder, Trial
from fruitvision.data.read.picture import PictureSource

if TYPE_CHECKING:
    from fruitvision.recognition.classifier import Classifier, Prediction

CACHED_NETWORKS = 24


@dataclass(frozen=True)
class Answer:
    """The prediction of one trial's network."""

    trial: Trial
    prediction: Prediction
    """Never "sure" if the network's thresholds were not fitted to its own validation pictures."""
    heatmap: Image.Image
    """RGB, with the picture's size: the class activation map for the predicted fruit type."""
    accuracy: float | None
    """The accuracy of these weights on ``split``."""
    split: str | None
    """"test", or else "validation"; None if the accuracy was not measured."""


def pairs(study: StudyFolder) -> list[tuple[int, int]]:
    """The (batch size, seed) for which at least one norm has a checkpoint, in the study's order."""
    return list(dict.fromkeys((trial.batch_size, trial.seed) for trial in _trained(study)))


def answers(study: StudyFolder, picture: PictureSource, batch_size: int, seed: int) -> list[Answer]:
    """The answer of every norm's network, with the weights of the best epoch, in order. Raises PictureError, CheckpointError."""
    found = []
    for trial in _trained(study):
        if (trial.batch_size, trial.seed) != (batch_size, seed):
            continue
        run = study.run(trial)
        classifier = _classifier(run.best, (run.best / "config.json").stat().st_mtime_ns)
        prediction, metrics = classifier.predict(picture), classifier.config.metrics
        if prediction.verdict == "sure" and "answered" not in metrics.get("validation", {}):
            prediction = replace(prediction, verdict="unsure")
        split = next((name for name in ("test", "validation") if isinstance(metrics.get(name, {}).get("top1"), int | float)), None)
        found.append(Answer(trial, prediction, prediction.heatmap(), metrics[split]["top1"] if split else None, split))
    return found


def _trained(study: StudyFolder) -> list[Trial]:
    return [trial for trial in study.plan().trials() if study.run(trial).has_checkpoint]


@lru_cache(maxsize=CACHED_NETWORKS)
def _classifier(path: Path, changed: int) -> Classifier:
    from fruitvision.recognition.classifier import Classifier

    return Classifier.from_checkpoint(path)
