"""The losses: cross-entropy over classes or sets of classes, and what a teacher says."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def likelihood_loss(
    logits: Tensor,
    labels: Tensor,
    membership: Tensor | None = None,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """The mean negative log-likelihood (nats) of logits (N, C).

    Without ``membership`` labels are classes and this is cross-entropy. With it, (T, C) bool, a label is a row: the set
    of classes that it may mean, and its likelihood is the sum of theirs. ``label_smoothing`` gives that share of the
    certainty to all classes evenly; ``weights``, one a label, multiply each picture's loss before the mean.
    """
    if weights is not None:
        return (each_likelihood_loss(logits, labels, membership, label_smoothing) * weights[labels]).mean()
    if membership is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    logs = logits.log_softmax(dim=1)
    loss = -logs.masked_fill(~membership[labels], -torch.inf).logsumexp(dim=1).mean()
    return loss if not label_smoothing else (1 - label_smoothing) * loss - label_smoothing * logs.mean()


def each_likelihood_loss(logits: Tensor, labels: Tensor, membership: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
    """(N,) the same of each picture."""
    if membership is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
    logs = logits.log_softmax(dim=1)
    loss = -logs.masked_fill(~membership[labels], -torch.inf).logsumexp(dim=1)
    return loss if not label_smoothing else (1 - label_smoothing) * loss - label_smoothing * logs.mean(dim=1)


def balancing_weights(counts: Tensor) -> Tensor:
    """One a label, for :func:`likelihood_loss`: every label that occurs counts the same, and the mean over pictures is 1.

    counts: (T,) pictures of each; a label without any has the weight 1.
    """
    there = counts > 0
    return torch.where(there, counts.sum() / (there.sum() * counts.clamp(min=1)), 1.0).float()


def distillation(logits: Tensor, taught: Tensor, temperature: float = 2.0) -> Tensor:
    """How far the answers are from the teacher's: Kullback-Leibler divergence at a temperature (Hinton et al. 2015,
    arXiv:1503.02531), times its square, so that its gradient does not shrink. Both are logits (N, C)."""
    own = (logits / temperature).log_softmax(dim=1)
    return F.kl_div(own, (taught / temperature).log_softmax(dim=1), reduction="batchmean", log_target=True) * temperature**2
