"""Fitting the last layer to convergence, on the features of a trained trunk.

With a small learning rate for the trunk, the last layer has not converged after the last epoch. With the trunk frozen, fitting it is
a convex problem, solved in a minute: on augmented pictures at the resolution of evaluation (Touvron et al. 2019, arXiv:1906.06423),
and on the training pictures under the evaluation transform.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from itertools import islice
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fruitvision.data.load.batch import Batch
from fruitvision.data.load.loader import EvalLoader, MixedLoader, TrainLoader
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast
from fruitvision.training.distributed import SINGLE_PROCESS, World
from fruitvision.training.loss import likelihood_losses

MAX_PICTURES = 40_000
"""Features are kept in memory: 1280 of each of this many pictures are 0.2 GB."""
EPOCHS = 2
"""The number of augmented versions of each training picture."""
PLAIN_WEIGHT = 0.3
"""The total weight of the pictures without augmentation; that of the augmented ones is 1."""
ROUNDS, ITERATIONS = 12, 10


class Features(NamedTuple):
    """The features of N pictures."""

    features: Tensor
    """(N, F)"""
    labels: Tensor
    """(N,)"""
    weights: Tensor
    """(N,) the weight of each picture's loss"""


def extract_features(
    network: nn.Module,
    train: TrainLoader | MixedLoader,
    plain: EvalLoader,
    config: TrainConfig,
    size: int,
    device: torch.device,
    world: World = SINGLE_PROCESS,
) -> Generator[int, None, Features]:
    """Compute the features of ``EPOCHS`` more epochs of ``train`` at ``size`` px, and of all pictures of ``plain``.

    Yields the number of finished batches. The processes of a ``world`` divide the batches; all yield equally often and return all features.
    """
    network.eval()
    done = 0

    def features(batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), autocast(config, device):
            found = network(batch.images.to(device, memory_format=torch.channels_last)).features
        return found[: batch.local_size].float().cpu(), batch.labels[: batch.local_size].cpu()

    augmented, unaugmented = [], []
    for epoch in range(EPOCHS):
        batches = train.epoch(config.epochs + epoch, size, shard=world.shard)
        for batch in islice(batches, math.ceil(MAX_PICTURES / EPOCHS / config.batch_size)):
            augmented.append(features(batch))
            yield (done := done + 1)
    batches = plain.batches(world.shard)
    for _ in range(math.ceil(len(plain) / world.size)):
        if (batch := next(batches, None)) is not None:
            unaugmented.append(features(batch))
        yield (done := done + 1)
    found, labels, weights = [], [], []
    for batches, weight in ((world.all_gather(augmented), 1.0), (world.all_gather(unaugmented), PLAIN_WEIGHT)):
        count = sum(len(own) for _, own in batches)
        found += [own for own, _ in batches]
        labels += [own for _, own in batches]
        weights.append(torch.full((count,), weight / max(count, 1)))
    return Features(torch.cat(found), torch.cat(labels), torch.cat(weights))


def refit(head: nn.Linear, data: Features, membership: Tensor | None, penalty: float) -> Generator[float, None, None]:
    """Minimize the loss of ``head`` on ``data`` by L-BFGS, yielding the loss (nats) after each round.

    The loss is the weighted negative log-likelihood, as in :func:`fruitvision.training.loss.likelihood_loss`, plus ``penalty``
    times the squared L2 norm of the change of the weights, for features standardized to unit variance.
    """
    features, labels, weights = data
    mean, spread = features.mean(dim=0), features.std(dim=0)
    spread = spread + 0.01 * spread.mean()
    standard = (features - mean) / spread
    before, bias = head.weight.detach().float().cpu(), head.bias.detach().float().cpu()
    change = torch.zeros_like(before, requires_grad=True)
    level = (bias + before @ mean).requires_grad_(True)
    solver = torch.optim.LBFGS([change, level], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> float:
        solver.zero_grad()
        logits = F.linear(standard, before * spread + change, level)
        loss = (likelihood_losses(logits, labels, membership) * weights).sum() + penalty * change.square().sum()
        loss.backward()
        return loss  # pyright: ignore[reportReturnType]  # torch declares float, and documents and takes a tensor

    for _ in range(ROUNDS):
        yield cast(Tensor, solver.step(closure)).item()
    with torch.no_grad():
        weight = before + change / spread
        head.weight.copy_(weight)
        head.bias.copy_(level - weight @ mean)
