"""The losses: cross-entropy over classes or sets of classes, and what a teacher says."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def likelihood_loss(
    logits: Tensor, labels: Tensor, membership: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """The mean negative log-likelihood (nats) of logits (N, C).

    Without ``membership`` labels are classes and this is cross-entropy. With it, (T, C) bool, a label is a row: the set
    of classes that it may mean, and its likelihood is the sum of theirs. ``label_smoothing`` gives that share of the
    certainty to all classes evenly.
    """
    if membership is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    logs = logits.log_softmax(dim=1)
    loss = -logs.masked_fill(~membership[labels], -torch.inf).logsumexp(dim=1).mean()
    return loss if not label_smoothing else (1 - label_smoothing) * loss - label_smoothing * logs.mean()


def distillation(logits: Tensor, taught: Tensor, temperature: float = 2.0) -> Tensor:
    """How far the answers are from the teacher's: Kullback-Leibler divergence at a temperature (Hinton et al. 2015,
    arXiv:1503.02531), times its square, so that its gradient does not shrink. Both are logits (N, C)."""
    own = (logits / temperature).log_softmax(dim=1)
    return F.kl_div(own, (taught / temperature).log_softmax(dim=1), reduction="batchmean", log_target=True) * temperature**2
