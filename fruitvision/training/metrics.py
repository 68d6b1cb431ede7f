"""What is counted: right answers, confusions, and how far confidence can be believed."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(probabilities: Tensor, labels: Tensor, k: int) -> float:
    """The share of rows whose label is among the k likeliest. probabilities: (N, C), labels: (N,) → 0..1."""
    if len(labels) == 0:
        return float("nan")
    k = min(k, probabilities.shape[1])
    best = probabilities.topk(k, dim=1).indices
    return (best == labels[:, None]).any(dim=1).double().mean().item()


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
