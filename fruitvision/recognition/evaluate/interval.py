"""The confidence interval of an accuracy, which a few test pictures leave wide. Needs no torch."""

from __future__ import annotations

import math

FEW_PICTURES = 200
"""With fewer test pictures the interval is shown beside the accuracy: of 200 it is up to 14 percentage points wide."""
Z = 1.959964
"""The 97.5% quantile of the normal distribution."""


def wilson_interval(accuracy: float, images: int) -> tuple[float, float]:
    """The bounds of the 95% confidence interval of an accuracy measured on ``images`` pictures (Wilson 1927).

    Unlike the normal approximation it stays within 0..1, and is no point at an accuracy of 0 or 1. The pictures are taken to be
    independent: those of one video or one fruit say less.
    """
    if images < 1 or not 0 <= accuracy <= 1:
        raise ValueError(f"no interval for an accuracy of {accuracy} on {images} pictures")
    square = Z * Z / images
    center = (accuracy + square / 2) / (1 + square)
    half = math.sqrt(square * accuracy * (1 - accuracy) + square * square / 4) / (1 + square)
    return max(center - half, 0.0), min(center + half, 1.0)
