"""How sure is sure: probabilities that can be believed, and the words for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from fruitvision.data.load.targets import NOT_FRUIT, Targets
from fruitvision.training.loss import likelihood_loss

if TYPE_CHECKING:
    from fruitvision.models.checkpoint import Thresholds

Verdict = Literal["sure", "unsure", "not-fruit"]

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.25, 10.0
SURE_RIGHT, FRUIT_REFUSED, NOTHING_ACCEPTED = 0.95, 0.02, 0.02
"""What :func:`fit_thresholds` aims at, as shares."""
ENOUGH_SURE = 0.02
ENOUGH_PHOTOS = 100
LEAST_SURE = 0.4
"""No answer less likely than this is "sure", however well the pictures at hand are known."""


def calibrate(logits: Tensor, labels: Tensor, targets: Targets, as_taken: Tensor | None = None) -> tuple[float, Thresholds]:
    """Temperature and thresholds for a network's answers to N pictures that training did not see.

    logits: (N, V, C), of V looks at each; labels: (N,), rows of ``targets.membership``; as_taken: (N,) bool, which of
    them are photographs as somebody took them. Where there are ``ENOUGH_PHOTOS`` the temperature is theirs alone: among
    harder pictures that are made of others a network looks surer than it is, and would doubt what it rightly answers.
    """
    alone = as_taken if as_taken is not None and as_taken.sum() >= ENOUGH_PHOTOS else slice(None)
    temperature = fit_temperature(logits[alone], labels[alone], targets.membership)
    probabilities = calibrated(logits.flatten(0, 1), temperature, logits.shape[1])
    types = [name for name in dict.fromkeys(targets.fruit_types) if name != NOT_FRUIT]
    belongs = torch.tensor([[own == name for name in types] for own in targets.fruit_types]).float()
    confidence, answer = (probabilities @ belongs).max(dim=1)
    nothing = torch.tensor([own == NOT_FRUIT for own in targets.fruit_types])
    # A label's type: that of any class that it may mean.
    type_of = torch.tensor([types.index(own) if own in types else -1 for own in targets.fruit_types])
    wanted = type_of[targets.membership.int().argmax(dim=1)][labels]
    return temperature, fit_thresholds(confidence.clamp(max=1.0), probabilities[:, nothing].sum(dim=1), answer == wanted, wanted >= 0)


def fit_temperature(logits: Tensor, labels: Tensor, membership: Tensor | None = None) -> float:
    """The temperature T under which ``softmax(logits / T)`` is likeliest (Guo et al. 2017, arXiv:1706.04599).

    logits: (N, C), or (N, V, C) of V looks whose probabilities are averaged; labels: (N,), of pictures that training did
    not see → 0.25 .. 10; 1 where N is 0. It changes how sure the answers are. Labels are classes, or rows of
    ``membership`` (T, C), the sets of classes that they may mean.

    Where all N answers are right, the likelihood alone would ask for endless confidence. As in Platt's method (1999),
    the labels therefore count as right with probability (N + 1) / (N + 2) only.
    """
    count = len(labels)
    if count == 0:
        return 1.0
    logits, labels, classes = logits.detach().double(), labels.long(), logits.shape[-1]
    smoothing = min(classes / (classes - 1) / (count + 2), 1.0)  # torch gives the right class its part of it back

    def loss(log_temperature: float) -> float:
        return likelihood_loss(_joined(logits / math.exp(log_temperature)), labels, membership, smoothing).item()

    # The loss is convex in 1 / T, so it has one valley over log T too.
    return math.exp(_golden_section(loss, math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)))


def _joined(logits: Tensor) -> Tensor:
    """(N, V, C) of V looks → (N, C), their mean as probabilities; (N, C) as they are."""
    return logits.log_softmax(dim=2).logsumexp(dim=1) if logits.ndim == 3 else logits


def calibrated_loss(logits: Tensor, labels: Tensor, membership: Tensor | None = None) -> float:
    """The mean negative log-likelihood (nats) of answers at their own best temperature; arguments as there."""
    temperature = fit_temperature(logits, labels, membership)
    return likelihood_loss(_joined(logits.double() / temperature), labels.long(), membership).item()


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


def fit_thresholds(confidence: Tensor, no_fruit: Tensor, right: Tensor, is_fruit: Tensor) -> Thresholds:
    """The thresholds for "unsure" and "not a fruit", from pictures that training did not see.

    Of N pictures, each (N,): ``confidence``, the probability of the likeliest fruit type; ``no_fruit``, that of none;
    ``right``, whether that type is right; ``is_fruit``, whether the picture holds any.

    "Not a fruit" is said so rarely that at most ``FRUIT_REFUSED`` of the fruit is refused by it. An answer is "sure"
    from the confidence on at which ``SURE_RIGHT`` of such answers are right and at most ``NOTHING_ACCEPTED`` of the
    pictures without fruit are taken for one; and from ``LEAST_SURE`` on only. Where no confidence is enough for that, no
    answer is ever "sure".
    """
    from fruitvision.models.checkpoint import Thresholds

    fruit, nothing = confidence[is_fruit], confidence[~is_fruit]
    if not len(fruit):
        return Thresholds()
    not_fruit = 1.0
    if no_fruit.max() > 0:
        # Above the largest of the fruit's own, where that is small: a picture of a shirt has most of its probability here.
        not_fruit = min(max(float(torch.quantile(no_fruit[is_fruit], 1 - FRUIT_REFUSED)), 0.3), 0.95)
    answered = is_fruit & (no_fruit < not_fruit)
    bounds = [LEAST_SURE, right_from(confidence[answered], right[answered])]
    if len(nothing):
        open_to = confidence[~is_fruit & (no_fruit < not_fruit)]
        bounds.append(_accepted_from(open_to, allowed=math.floor(NOTHING_ACCEPTED * len(nothing))))
    return Thresholds(unsure=round(max(bounds), 4), not_fruit=round(not_fruit, 4))


def right_from(confidence: Tensor, right: Tensor, share_right: float = SURE_RIGHT) -> float:
    """The lowest confidence from which on ``share_right`` of N answers, (N,) each, are right; 1 where there is none.

    A few lucky ones at the top are no ground: at least ``ENOUGH_SURE`` of the answers must reach it.
    """
    order = confidence.argsort(descending=True)
    count = torch.arange(1, len(order) + 1)
    good = torch.nonzero((right[order].double().cumsum(0) / count >= share_right) & (count >= ENOUGH_SURE * len(order)))
    return float(confidence[order][good[-1, 0]]) if len(good) else 1.0


def _accepted_from(confidence: Tensor, allowed: int) -> float:
    """The confidence that at most ``allowed`` of these reach."""
    if len(confidence) <= allowed:
        return 0.0
    return min(float(confidence.sort(descending=True).values[allowed]) + 1e-4, 1.0)


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
