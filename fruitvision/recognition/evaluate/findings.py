"""Single pictures worth a look: what was hardest, and what the folder may be wrong about. Positions in an examination."""

from __future__ import annotations

import numpy as np
import torch

from fruitvision.recognition.evaluate.evaluation import Examination

LEAST_CONTRADICTION = 0.6
"""An answer less likely than this contradicts nobody."""


def losses(examination: Examination) -> np.ndarray:
    """(N,) float64, nats: minus the logarithm of the right answer's probability."""
    return -torch.log(examination.scores.right.double().clamp(min=1e-12)).numpy()


def hardest(examination: Examination, limit: int) -> list[int]:
    """The pictures with the highest loss, the highest first; those that were answered wrongly or not surely only."""
    loss = losses(examination)
    worth = examination.wrong | ~examination.scores.sure.numpy()
    order = np.argsort(-loss, kind="stable")
    return [int(i) for i in order if worth[i]][:limit]


def contradicted(examination: Examination) -> list[int]:
    """Pictures that may lie in the wrong folder, the most suspicious first.

    Confident learning (Northcutt et al. 2021, arXiv:1911.00068): a picture contradicts its label where another answer is
    at least as likely as that answer is, on the average, for the pictures that are labelled with it. An answer that no
    picture here is labelled with has no such average, and ``LEAST_CONTRADICTION`` alone counts.
    """
    right, confidence = examination.scores.right.numpy().astype(np.float64), examination.scores.confidence.numpy()
    usual = np.full(len(examination.names), LEAST_CONTRADICTION)
    for name in np.unique(examination.labels):
        usual[name] = max(right[examination.labels == name].mean(), LEAST_CONTRADICTION)
    predicted = examination.scores.predicted.numpy()
    suspicious = np.flatnonzero(examination.wrong & (confidence >= usual[predicted]))
    return sorted(suspicious.tolist(), key=lambda i: (right[i] - confidence[i], i))
