"""The last layer, fitted to the end on what a trained trunk makes of the pictures.

A trunk that is held to what it knew learns slowly, and the last layer above it is still on its way when the epochs end.
With the trunk at rest its fit is a convex problem, solved in a minute: on augmented pictures at the resolution of
evaluation (Touvron et al. 2019, arXiv:1906.06423), and on the training pictures just as evaluation shows them.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fruitvision.data.load.loader import Batch, EvalLoader, MixedLoader, TrainLoader
from fruitvision.training.config import TrainConfig
from fruitvision.training.distributed import SINGLE_PROCESS, World
from fruitvision.training.engine import autocast
from fruitvision.training.loss import each_likelihood_loss

MOST_PICTURES = 40_000
"""Features are kept in memory: 1280 of each of so many pictures are 0.2 GB."""
EPOCHS = 2
"""How often each training picture is augmented anew."""
AS_EVALUATED = 0.3
"""What the pictures as evaluation shows them weigh together, beside 1 for all the augmented ones."""
ROUNDS, ITERATIONS = 12, 10


class Seen(NamedTuple):
    """What a trunk made of N pictures."""

    features: Tensor
    """(N, F)"""
    labels: Tensor
    """(N,)"""
    weights: Tensor
    """(N,) of each picture's loss"""


def look(
    network: nn.Module,
    train: TrainLoader | MixedLoader,
    plain: EvalLoader,
    config: TrainConfig,
    size: int,
    device: torch.device,
    world: World = SINGLE_PROCESS,
) -> Generator[int, None, Seen]:
    """The features of ``EPOCHS`` further epochs of ``train`` at ``size`` px, and of all that ``plain`` shows.

    Yields the number of finished batches. The processes of a ``world`` share them, and all return the whole.
    """
    network.eval()
    done = 0

    def features(batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), autocast(config, device):
            found = network(batch.images.to(device, memory_format=torch.channels_last)).features
        return found[: batch.own].float().cpu(), batch.labels[: batch.own].cpu()

    augmented, as_evaluated = [], []
    for epoch in range(EPOCHS):
        batches = train.epoch(config.epochs + epoch, size, share=world.share)
        for batch in islice(batches, math.ceil(MOST_PICTURES / EPOCHS / config.batch_size)):
            augmented.append(features(batch))
            yield (done := done + 1)
    for batch in plain.batches(world.share):
        as_evaluated.append(features(batch))
        yield (done := done + 1)
    found, labels, weights = [], [], []
    for batches, weight in ((world.all_gather(augmented), 1.0), (world.all_gather(as_evaluated), AS_EVALUATED)):
        count = sum(len(own) for _, own in batches)
        found += [own for own, _ in batches]
        labels += [own for _, own in batches]
        weights.append(torch.full((count,), weight / max(count, 1)))
    return Seen(torch.cat(found), torch.cat(labels), torch.cat(weights))


def refit(head: nn.Linear, seen: Seen, membership: Tensor | None, hold: float) -> Iterator[float]:
    """Give ``head`` the weights of the least loss over ``seen``, yielding the loss (nats) from time to time.

    The loss is the weighted negative log-likelihood, as in :func:`fruitvision.training.loss.likelihood_loss`, and
    ``hold`` times the square of what the change of the weights adds to the logits where a feature is one standard
    deviation from its mean: it is held to where it was, in features that are all of one size. Solved with L-BFGS.
    """
    features, labels, weights = seen
    mean, spread = features.mean(dim=0), features.std(dim=0)
    spread = spread + 0.01 * spread.mean()
    standard = (features - mean) / spread
    before, bias = head.weight.detach().float().cpu(), head.bias.detach().float().cpu()
    change = torch.zeros_like(before, requires_grad=True)
    level = (bias + before @ mean).requires_grad_(True)
    solver = torch.optim.LBFGS([change, level], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        logits = F.linear(standard, before * spread + change, level)
        loss = (each_likelihood_loss(logits, labels, membership) * weights).sum() + hold * change.square().sum()
        loss.backward()
        return loss

    for _ in range(ROUNDS):
        yield solver.step(closure).item()
    with torch.no_grad():
        weight = before + change / spread
        head.weight.copy_(weight)
        head.bias.copy_(level - weight @ mean)
