"""Calibration: the temperature of the probabilities, and the thresholds for "sure", "unsure" and "not-fruit"."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.load.targets import Targets
from fruitvision.training.loss import likelihood_loss

if TYPE_CHECKING:
    from fruitvision.models.checkpoint import Thresholds

Verdict = Literal["sure", "unsure", "not-fruit"]

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.25, 10.0
SURE_ACCURACY, MAX_FRUIT_REFUSED, MAX_NEGATIVES_ACCEPTED = 0.95, 0.02, 0.02
"""The targets of :func:`fit_thresholds`, as fractions."""
MIN_SURE_SHARE = 0.02
MIN_PHOTOS = 100
MIN_SURE = 0.4
"""No answer with a lower confidence is "sure", however accurate the answers to the given pictures are."""
MAX_FITTED_THRESHOLD = 0.9999
"""The largest threshold that is fitted, to four decimals: 1 would mean that no answer is ever "sure"."""


def calibrate(logits: Tensor, labels: Tensor, targets: Targets, photos: Tensor | None = None) -> tuple[float, Thresholds]:
    """Fit the temperature and the thresholds to a network's logits for N validation pictures.

    logits: (N, V, C) for V views of each picture; labels: (N,), rows of ``targets.membership``; photos: (N,) bool, which pictures are
    photos without augmentation. If there are at least ``MIN_PHOTOS``, only these determine the temperature: composed scenes are
    harder, and a temperature fitted to them would make the network underconfident on photos.
    """
    chosen = photos if photos is not None and photos.sum() >= MIN_PHOTOS else slice(None)
    temperature = fit_temperature(logits[chosen], labels[chosen], targets.membership)
    return temperature, fit_thresholds(*_answers(logits, labels, targets, temperature))


def sure_metrics(logits: Tensor, labels: Tensor, targets: Targets, temperature: float, thresholds: Thresholds) -> dict[str, float]:
    """The metrics "answered", the fraction of "sure" answers on the pictures of :func:`calibrate`, and "answered_top1", their accuracy.

    They are part of a network's metrics only if its thresholds were fitted to its own validation pictures.
    """
    confidence, no_fruit, right, _ = _answers(logits, labels, targets, temperature)
    sure = is_sure(confidence, no_fruit, thresholds)
    found = {"answered": sure.double().mean().item()}
    return {**found, "answered_top1": right[sure].double().mean().item()} if sure.any() else found


def _answers(logits: Tensor, labels: Tensor, targets: Targets, temperature: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The arguments of :func:`fit_thresholds`, from those of :func:`calibrate`."""
    probabilities = probabilities_of(logits.flatten(0, 1), temperature, logits.shape[1])
    types = [name for name in dict.fromkeys(targets.fruit_types) if name != NOT_FRUIT]
    belongs = torch.tensor([[own == name for name in types] for own in targets.fruit_types]).float()
    confidence, answer = (probabilities @ belongs).max(dim=1)
    nothing = torch.tensor([own == NOT_FRUIT for own in targets.fruit_types])
    # All classes in a label's set have the same type.
    type_of = torch.tensor([types.index(own) if own in types else -1 for own in targets.fruit_types])
    wanted = type_of[targets.membership.int().argmax(dim=1)][labels]
    return confidence.clamp(max=1.0), probabilities[:, nothing].sum(dim=1), answer == wanted, wanted >= 0


def sums_by_type(probabilities: Tensor, type_of: Tensor, types: int) -> Tensor:
    """(N, C) → (N, types): sums over the classes of each type, without a matrix of classes and types, which 10,000 of each would fill.

    type_of: (C,), the place of each class's type.
    """
    return probabilities.new_zeros(len(probabilities), types).scatter_add_(1, type_of.expand_as(probabilities), probabilities)


def fit_temperature(logits: Tensor, labels: Tensor, membership: Tensor | None = None) -> float:
    """The temperature T that maximizes the likelihood of ``softmax(logits / T)`` (Guo et al. 2017, arXiv:1706.04599).

    logits: (N, C), or (N, V, C) for V views whose probabilities are averaged; labels: (N,), of pictures that were not trained on.
    Labels are classes, or rows of ``membership`` (T, C), which are sets of classes. Returns a value in 0.25..10; 1 if N is 0.

    If all N answers are correct, the maximum likelihood is at infinite confidence. As in Platt's method (1999), each label
    is therefore correct only with probability (N + 1) / (N + 2).
    """
    count = len(labels)
    if count == 0:
        return 1.0
    logits, labels, classes = logits.detach().double(), labels.long(), logits.shape[-1]
    smoothing = min(classes / (classes - 1) / (count + 2), 1.0)  # torch smooths over all classes, including the correct one

    def loss(log_temperature: float) -> float:
        return likelihood_loss(_mean_over_views(logits / math.exp(log_temperature)), labels, membership, smoothing).item()

    # The loss is convex in 1 / T, so it is unimodal over log T.
    return math.exp(_golden_section(loss, math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)))


def _mean_over_views(logits: Tensor) -> Tensor:
    """Logits (N, V, C) of V views → log-probabilities (N, C) of their mean; (N, C) unchanged."""
    return logits.log_softmax(dim=2).logsumexp(dim=1) if logits.ndim == 3 else logits


def calibrated_loss(logits: Tensor, labels: Tensor, membership: Tensor | None = None) -> float:
    """The mean negative log-likelihood (nats) at the best temperature; arguments as :func:`fit_temperature`."""
    temperature = fit_temperature(logits, labels, membership)
    return likelihood_loss(_mean_over_views(logits.double() / temperature), labels.long(), membership).item()


def _golden_section(f: Callable[[float], float], low: float, high: float, tolerance: float = 1e-4) -> float:
    """The minimum of a unimodal function between two bounds (Kiefer 1953)."""
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
    """Fit the thresholds for "unsure" and "not-fruit" to pictures that were not trained on.

    Each (N,): ``confidence``, the probability of the most probable fruit type; ``no_fruit``, that of no fruit; ``right``,
    whether that type is correct; ``is_fruit``, whether the picture shows fruit.

    At the threshold for "not-fruit" at most ``MAX_FRUIT_REFUSED`` of the fruit is refused. An answer is "sure" from the
    confidence at which ``SURE_ACCURACY`` of the answers are correct and at most ``MAX_NEGATIVES_ACCEPTED`` of the pictures
    without fruit are accepted, and never below ``MIN_SURE`` or above ``MAX_FITTED_THRESHOLD``. Where there is no such
    confidence, the threshold is 1: no answer is ever "sure".
    """
    from fruitvision.models.checkpoint import Thresholds

    fruit, nothing = confidence[is_fruit], confidence[~is_fruit]
    if not len(fruit):
        return Thresholds()  # pyright: ignore[reportCallIssue]  # all fields have defaults
    not_fruit = 1.0
    if no_fruit.max() > 0:
        # At least 0.3, even if the values of fruit are smaller: without fruit most of the probability is on "no fruit".
        not_fruit = min(max(float(torch.quantile(no_fruit[is_fruit], 1 - MAX_FRUIT_REFUSED)), 0.3), 0.95)
    answered = is_fruit & (no_fruit < not_fruit)
    accurate, accepted = confidence_threshold(confidence[answered], right[answered]), 0.0
    if len(nothing):
        passed = confidence[~is_fruit & (no_fruit < not_fruit)]
        accepted = _accepted_from(passed, allowed=math.floor(MAX_NEGATIVES_ACCEPTED * len(nothing)))
    unsure = 1.0 if accurate is None or accepted is None else fitted_threshold(MIN_SURE, accurate, accepted)
    return Thresholds(unsure=unsure, not_fruit=round(not_fruit, 4))


def fitted_threshold(*bounds: float) -> float:
    """The largest of some lower bounds, rounded to four decimals and at most ``MAX_FITTED_THRESHOLD``."""
    return min(round(max(bounds), 4), MAX_FITTED_THRESHOLD)


def confidence_threshold(confidence: Tensor, right: Tensor, accuracy: float = SURE_ACCURACY) -> float | None:
    """The lowest confidence at or above which ``accuracy`` of N answers, (N,) each, are correct; None if there is none.

    At least ``MIN_SURE_SHARE`` of the answers must reach it, since a few at the top may be correct by chance.
    """
    order = confidence.argsort(descending=True)
    count = torch.arange(1, len(order) + 1)
    good = torch.nonzero((right[order].double().cumsum(0) / count >= accuracy) & (count >= MIN_SURE_SHARE * len(order)))
    return float(confidence[order][good[-1, 0]]) if len(good) else None


def _accepted_from(confidence: Tensor, allowed: int) -> float | None:
    """A confidence below 1 that at most ``allowed`` of these reach; None if there is none."""
    if len(confidence) <= allowed:
        return 0.0
    least = float(confidence.sort(descending=True).values[allowed]) + 1e-4
    return least if least < 1 else None


def probabilities_of(logits: Tensor, temperature: float, views: int = 1) -> Tensor:
    """Logits (N × views, C), with the views of a picture consecutive → probabilities (N, C), averaged over the views."""
    probabilities = torch.softmax(logits.float() / temperature, dim=1)
    return probabilities if views == 1 else probabilities.unflatten(0, (-1, views)).mean(dim=1)


def verdict(confidence: float, no_fruit: float, thresholds: Thresholds) -> Verdict:
    """The verdict for ``confidence``, the probability of the most probable fruit type, and ``no_fruit``, that of no fruit.

    With a ``not_fruit`` threshold of 1 nothing is ever "not-fruit", and with an ``unsure`` threshold of 1 nothing is ever "sure",
    although a confidence may round to 1.
    """
    if thresholds.not_fruit < 1 and no_fruit >= thresholds.not_fruit:
        return "not-fruit"
    return "sure" if thresholds.unsure < 1 and confidence >= thresholds.unsure else "unsure"


def is_sure(confidence: Tensor, no_fruit: Tensor, thresholds: Thresholds) -> Tensor:
    """Whether the :func:`verdict` of each of N answers is "sure": (N,) bool; both arguments are (N,)."""
    pairs = zip(confidence.tolist(), no_fruit.tolist(), strict=True)
    return torch.tensor([verdict(*pair, thresholds) == "sure" for pair in pairs], dtype=torch.bool)
