"""Accuracy, the confusion matrix, and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def topk_correct(logits: Tensor, labels: Tensor, membership: Tensor | None = None, *, k: int = 1) -> Tensor:
    """(N,) bool: whether one of the ``k`` likeliest classes is the label, or in its set."""
    likeliest = logits.topk(min(k, logits.shape[1]), dim=1).indices
    if membership is None:
        return (likeliest == labels[:, None]).any(dim=1)
    return membership[labels[:, None], likeliest].any(dim=1)


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts (num_classes, num_classes): rows are true classes, columns predictions."""
    cells = labels.long() * num_classes + predicted.long()
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def recall_and_precision(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Per class (num_classes,), from :func:`confusion_matrix`; NaN for a class that never occurs or is never predicted."""
    right = counts.diagonal().double()
    return right / counts.sum(dim=1), right / counts.sum(dim=0)


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: values over equal-width bins of confidence, each (bins,) float64; NaN in an empty bin."""

    counts: Tensor
    confidence: Tensor
    """The mean confidence."""
    accuracy: Tensor
    """The share that is correct."""

    @property
    def error(self) -> float:
        """The expected calibration error (Guo et al. 2017, arXiv:1706.04599): 0 (calibrated) .. 1; NaN without pictures."""
        gaps = (self.confidence - self.accuracy).abs().nan_to_num(0) * self.counts
        return (gaps.sum() / self.counts.sum()).item()


def reliability(confidence: Tensor, correct: Tensor, bins: int = 15) -> Reliability:
    """How often predictions of each confidence are correct. confidence: (N,) in 0..1, correct: (N,) bool."""
    index = (confidence.double() * bins).long().clamp(0, bins - 1)
    counts = torch.bincount(index, minlength=bins).double()
    sums = (torch.bincount(index, weights=values.double(), minlength=bins) for values in (confidence, correct))
    return Reliability(counts, *(total / counts for total in sums))


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """As :attr:`Reliability.error`; NaN where there is no picture."""
    return reliability(confidence, correct, bins).error if len(confidence) else float("nan")
