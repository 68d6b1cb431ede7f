"""What is counted: right answers, confusions, and how far confidence can be believed."""

from __future__ import annotations

import torch
from torch import Tensor


def answered_right(logits: Tensor, labels: Tensor, membership: Tensor | None = None, *, k: int = 1) -> Tensor:
    """(N,) bool: whether one of the ``k`` likeliest classes is what the label means."""
    likeliest = logits.topk(min(k, logits.shape[1]), dim=1).indices
    if membership is None:
        return (likeliest == labels[:, None]).any(dim=1)
    return membership[labels[:, None], likeliest].any(dim=1)


def confusion(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts (num_classes, num_classes): row = true class, column = answer."""
    cells = labels.long() * num_classes + predicted.long()
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def recall_and_precision(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Per class (num_classes,), from :func:`confusion`; NaN for a class that never occurs or is never answered."""
    right = counts.diagonal().double()
    return right / counts.sum(dim=1), right / counts.sum(dim=0)


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """The mean distance of confidence and accuracy over equal-width bins, weighted by count (Guo et al. 2017).

    confidence: (N,) in 0..1, correct: (N,) bool → 0 (can be believed) .. 1.
    """
    if len(confidence) == 0:
        return float("nan")
    index = (confidence.double() * bins).long().clamp(0, bins - 1)
    counts = torch.bincount(index, minlength=bins).double()
    sum_confidence = torch.bincount(index, weights=confidence.double(), minlength=bins)
    sum_correct = torch.bincount(index, weights=correct.double(), minlength=bins)
    return ((sum_confidence - sum_correct).abs().sum() / counts.sum()).item()
