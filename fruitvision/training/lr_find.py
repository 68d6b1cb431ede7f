"""A learning-rate range test (Smith 2017, arXiv:1506.01186): a short run whose rate grows each step until the loss diverges.

The suggested rate is the one at which the loss falls most steeply.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from fruitvision.errors import TrainingError
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast
from fruitvision.training.engine import Training, image_size, to_device
from fruitvision.training.loss import likelihood_loss
from fruitvision.training.optim import clip_gradients, set_learning_rate
from fruitvision.training.state import TrainState

LOWEST, HIGHEST = 1e-6, 1.0
SMOOTHING = 0.9
"""Decay of the moving average of the losses of single batches."""
DIVERGED = 4.0
"""The test ends at a loss this many times the lowest."""
MIN_STEPS = 10


@dataclass(frozen=True)
class RangeTest:
    """The rate and loss of each step, and the suggested rate."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Smoothed, in nats."""
    suggested: float


def range_test(state: TrainState, loader: Training, *, steps: int = 100, progress: Callable[[int, int], None] | None = None) -> RangeTest:
    """Train ``state`` for ``steps`` steps with an exponentially growing rate; its weights are useless afterwards.

    Raises TrainingError "range-too-short" where the loss diverges within ``MIN_STEPS``.
    """
    config, network = state.config, state.network.train()
    rates, losses, running = [], [], 0.0
    membership = loader.membership if loader.membership is None else loader.membership.to(state.device)
    for number, batch in enumerate(islice(_endless(loader, config), steps)):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / max(steps - 1, 1))
        set_learning_rate(state.optimizer, rate)
        with autocast(config, state.device):
            logits = network(to_device(batch.images, state)).logits
        loss = likelihood_loss(logits.float(), batch.labels.to(state.device), membership, config.label_smoothing)
        if not math.isfinite(loss.item()):
            break
        running = SMOOTHING * running + (1 - SMOOTHING) * loss.item()
        rates.append(rate)
        losses.append(running / (1 - SMOOTHING ** (number + 1)))
        if losses[-1] > DIVERGED * min(losses):
            break
        loss.backward()
        clip_gradients(network, config.clip_norm)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        if progress:
            progress(number + 1, steps)
    if len(rates) < MIN_STEPS:
        raise TrainingError("range-too-short", steps=len(rates))
    return RangeTest(tuple(rates), tuple(losses), suggestion(rates, losses))


def suggestion(rates: list[float], losses: list[float]) -> float:
    """The rate at which the loss falls most steeply before its minimum, rounded to two digits.

    Slopes are averaged over five steps; the first steps, whose moving average says little, are skipped. Where the loss never
    falls after them, it is a tenth of the rate at the minimum.
    """
    lowest = int(np.argmin(losses))
    slopes = np.convolve(np.gradient(np.asarray(losses), np.log(rates)), np.ones(5) / 5, mode="same")[MIN_STEPS // 2 : lowest]
    if len(slopes) and slopes.min() < 0:
        return float(f"{rates[MIN_STEPS // 2 + int(slopes.argmin())]:.1e}")
    return float(f"{max(rates[lowest] / 10, rates[0]):.1e}")


def _endless(loader: Training, config: TrainConfig):
    """Batches of one epoch after another, at full picture size."""
    for epoch in count():
        yield from loader.epoch(epoch, image_size(config, config.epochs - 1))
