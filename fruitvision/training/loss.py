"""The losses: cross-entropy over classes or sets of classes, and distillation."""

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

    Without ``membership`` labels are classes, and this is cross-entropy. With ``membership``, (T, C) bool, a label is a row: a set of
    classes, whose likelihood is the sum of theirs. ``label_smoothing`` distributes that fraction of the probability over all classes;
    ``weights``, one per label, multiply each picture's loss before the mean.
    """
    losses = likelihood_losses(logits, labels, membership, label_smoothing)
    return losses.mean() if weights is None else (losses * weights[labels]).mean()


def likelihood_losses(logits: Tensor, labels: Tensor, membership: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
    """(N,) the loss of each picture as in :func:`likelihood_loss`, without the mean."""
    if membership is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
    logs = logits.log_softmax(dim=1)
    loss = -logs.masked_fill(~membership[labels], -torch.inf).logsumexp(dim=1)
    return loss if not label_smoothing else (1 - label_smoothing) * loss - label_smoothing * logs.mean(dim=1)


def class_weights(counts: Tensor) -> Tensor:
    """Label weights for :func:`likelihood_loss`: labels that occur count equally, and the mean over pictures is 1.

    counts: (T,) pictures of each label; a label without pictures has the weight 1.
    """
    occurs = counts > 0
    return torch.where(occurs, counts.sum() / (occurs.sum() * counts.clamp(min=1)), 1.0).float()


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float = 2.0) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened probabilities (Hinton et al. 2015, arXiv:1503.02531).

    Times the temperature squared, so that the gradient does not shrink with it. Both are logits (N, C).
    """
    student = (logits / temperature).log_softmax(dim=1)
    teacher = (teacher_logits / temperature).log_softmax(dim=1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2
