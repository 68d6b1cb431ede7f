"""Single pictures to review: the hardest ones, and possible label errors, as indices into an evaluation."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from fruitvision.recognition.classifier import Prediction
from fruitvision.recognition.evaluate.evaluation import Evaluation

MIN_CONFIDENCE = 0.6
"""A prediction of a lower confidence never contradicts a label."""


def losses(evaluation: Evaluation) -> np.ndarray:
    """(N,) float64, nats: the negative log-likelihood of each label."""
    return -torch.log(evaluation.scores.right.double().clamp(min=1e-12)).numpy()


def hardest(evaluation: Evaluation, limit: int) -> list[int]:
    """The pictures whose prediction is wrong or not "sure", by decreasing loss."""
    loss = losses(evaluation)
    worth = evaluation.wrong | ~evaluation.scores.sure.numpy()
    order = np.argsort(-loss, kind="stable")
    return [int(i) for i in order if worth[i]][:limit]


def label_issues(evaluation: Evaluation) -> list[int]:
    """Pictures that may be in the wrong folder, the most likely label errors first.

    Confident learning (Northcutt et al. 2021, arXiv:1911.00068): a label is doubtful where another class is at least as
    probable as it is, on average, for the pictures labelled with it. Where no picture is labelled with that class, only
    ``MIN_CONFIDENCE`` counts.
    """
    right, confidence = evaluation.scores.right.numpy().astype(np.float64), evaluation.scores.confidence.numpy()
    average = np.full(len(evaluation.names), MIN_CONFIDENCE)
    for name in np.unique(evaluation.labels):
        average[name] = max(right[evaluation.labels == name].mean(), MIN_CONFIDENCE)
    predicted = evaluation.scores.predicted.numpy()
    doubtful = np.flatnonzero(evaluation.wrong & (confidence >= average[predicted]))
    return sorted(doubtful.tolist(), key=lambda i: (right[i] - confidence[i], i))


def explained(evaluation: Evaluation, i: int) -> Prediction | None:
    """The prediction for picture ``i`` anew, with its heatmap; None if the network has none."""
    if not evaluation.classifier.has_heatmaps:
        return None
    pixels = evaluation.pictures.store[evaluation.rows[i]]
    return evaluation.classifier.predict_pixels([pixels], [Image.fromarray(pixels)])[0]
