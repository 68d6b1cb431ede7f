"""What is counted: right answers, confusions, and how far confidence can be believed."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Reliability:
    """Over equal-width bins of confidence, each (bins,) float64; NaN in a bin without pictures."""

    counts: Tensor
    confidence: Tensor
    """The mean of what was claimed."""
    accuracy: Tensor
    """The share that was right."""

    @property
    def error(self) -> float:
        """The mean distance of the two, weighted by count (Guo et al. 2017): 0 (can be believed) .. 1; NaN without pictures."""
        gaps = (self.confidence - self.accuracy).abs().nan_to_num(0) * self.counts
        return (gaps.sum() / self.counts.sum()).item()


def reliability(confidence: Tensor, correct: Tensor, bins: int = 15) -> Reliability:
    """How often answers of each confidence are right. confidence: (N,) in 0..1, correct: (N,) bool."""
    index = (confidence.double() * bins).long().clamp(0, bins - 1)
    counts = torch.bincount(index, minlength=bins).double()
    sums = (torch.bincount(index, weights=values.double(), minlength=bins) for values in (confidence, correct))
    return Reliability(counts, *(total / counts for total in sums))


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """As :attr:`Reliability.error`; NaN where there is no picture."""
    return reliability(confidence, correct, bins).error if len(confidence) else float("nan")
