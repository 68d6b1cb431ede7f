"""A learning-rate range test (Smith 2017, arXiv:1506.01186): a short run whose rate grows each step until the loss diverges.

The suggested rate is the one at which the loss falls most steeply.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import torch

from fruitvision.errors import TrainingError
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast
from fruitvision.training.engine import Regularizer, Teacher, Training, image_size, set_training, to_device, training_loss
from fruitvision.training.loss import class_weights
from fruitvision.training.optim import clip_gradients, set_learning_rate
from fruitvision.training.state import TrainState

LOWEST, HIGHEST = 1e-6, 1.0
SMOOTHING = 0.9
"""The decay of the moving average of batch losses."""
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


def range_test(
    state: TrainState,
    loader: Training,
    teacher: Teacher | None = None,
    regularizer: Regularizer | None = None,
    *,
    steps: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> RangeTest:
    """Train ``state`` for ``steps`` steps of one batch with an exponentially growing rate; its weights are useless afterwards.

    The loss is that of :func:`fruitvision.training.engine.fit`. Raises TrainingError "range-too-short" if it diverges within ``MIN_STEPS``.
    """
    config, network = state.config, state.network
    set_training(state)
    rates, losses, running = [], [], 0.0
    membership = loader.membership if loader.membership is None else loader.membership.to(state.device)
    weights = class_weights(torch.from_numpy(loader.counts)).to(state.device) if config.balance == "loss" else None
    for number, batch in enumerate(islice(_endless(loader, config), steps)):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / max(steps - 1, 1))
        set_learning_rate(state.optimizer, rate)
        images, labels = to_device(batch.images, state), batch.labels.to(state.device)
        with autocast(config, state.device):
            output = network(images)
        loss = training_loss(config, output, images, labels, membership, weights, teacher, regularizer)
        if not math.isfinite(loss.item()):
            break
        running = SMOOTHING * running + (1 - SMOOTHING) * loss.item()
        rates.append(rate)
        losses.append(running / (1 - SMOOTHING ** (number + 1)))
        if losses[-1] > DIVERGED * min(losses):
            break
        state.scaler.scale(loss).backward()
        state.scaler.unscale_(state.optimizer)
        clip_gradients(network, config.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        if progress:
            progress(number + 1, steps)
    if len(rates) < MIN_STEPS:
        raise TrainingError("range-too-short", steps=len(rates))
    return RangeTest(tuple(rates), tuple(losses), suggestion(rates, losses))


def suggestion(rates: list[float], losses: list[float]) -> float:
    """The rate at which the loss falls most steeply before its minimum, rounded to two digits.

    Slopes are averaged over five steps; the first steps, whose moving average is unreliable, are skipped. If the loss never falls
    after them, a tenth of the rate at the minimum is returned.
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
