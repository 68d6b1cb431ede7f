"""How sure is sure: probabilities that can be believed, and the words for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from fruitvision.models.checkpoint import Thresholds

Verdict = Literal["sure", "unsure", "not-fruit"]

NOT_FRUIT = "not-fruit"
"""The fruit type of a class that means "no fruit here", and the folder name of pictures that hold none."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.25, 10.0


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T under which ``softmax(logits / T)`` is likeliest (Guo et al. 2017, arXiv:1706.04599).

    logits: (N, C), labels: (N,), of pictures that training did not see → 0.25 .. 10; 1 where N is 0. It leaves every
    answer as it is and changes how sure the answer is.

    Where all N answers are right, the likelihood alone would ask for endless confidence. As in Platt's method (1999),
    the labels therefore count as right with probability (N + 1) / (N + 2) only.
    """
    count = len(labels)
    if count == 0:
        return 1.0
    logits, labels, classes = logits.detach().double(), labels.long(), logits.shape[1]
    smoothing = min(classes / (classes - 1) / (count + 2), 1.0)  # torch gives the right class its part of it back

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return F.cross_entropy(scaled, labels, label_smoothing=smoothing).item()

    # The loss is convex in 1 / T, so it has one valley over log T too.
    return math.exp(_golden_section(loss, math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)))


def _golden_section(f: Callable[[float], float], low: float, high: float, tolerance: float = 1e-4) -> float:
    """Where a function with one valley is lowest between two bounds (Kiefer 1953)."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = f(left), f(right)
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = f(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = f(right)
    return (low + high) / 2


def calibrated(logits: Tensor, temperature: float, views: int = 1) -> Tensor:
    """Logits (N × views, C), the views of a picture side by side → probabilities (N, C), the mean over its views."""
    probabilities = torch.softmax(logits.float() / temperature, dim=1)
    return probabilities if views == 1 else probabilities.unflatten(0, (-1, views)).mean(dim=1)


def verdict(confidence: float, no_fruit: float, thresholds: Thresholds) -> Verdict:
    """In words: ``confidence`` is the probability of the likeliest fruit type, ``no_fruit`` that of none at all.

    A ``not_fruit`` threshold of 1 means that nothing is ever called "not-fruit".
    """
    if thresholds.not_fruit < 1 and no_fruit >= thresholds.not_fruit:
        return "not-fruit"
    return "sure" if confidence >= thresholds.unsure else "unsure"
