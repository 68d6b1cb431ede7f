"""Which elements of a tensor share one mean and one variance, and what becomes of them.

Everything here follows from the axes that ``models/norms.py`` declares, and is held against the real layers by tests.
"""

from __future__ import annotations

import numpy as np

from fruitvision.models.norms import EPS, get_norm, groups_for


def sharing_sets(norm: str, n: int, c: int, h: int, w: int) -> np.ndarray:
    """(N, C, H, W) whole numbers: elements with the same number share a mean and a variance; −1 everywhere where
    nothing is normalized. Sets are numbered in the order of their first element.

    Raises ConfigError for an unknown norm.
    """
    found = get_norm(norm)
    if not found.shares:
        return np.full((n, c, h, w), -1)
    groups = groups_for(c) if found.grouped else 1
    axes = np.meshgrid(np.arange(n), np.arange(c), np.arange(h), np.arange(w), indexing="ij")
    size = dict(zip("NCHW", (n, c, h, w), strict=True))
    number = np.zeros((n, c, h, w), int)
    for name, axis in zip("NCHW", axes, strict=True):
        if name not in found.shares:
            number = number * size[name] + axis
        elif name == "C" and found.grouped:
            number = number * groups + axis // (c // groups)
    return number


def moments(values: np.ndarray, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (biased) variance of each sharing set: two arrays, one entry a set."""
    flat, numbers = values.reshape(-1).astype(np.float64), sets.reshape(-1)
    counts = np.bincount(numbers)
    mean = np.bincount(numbers, flat) / counts
    return mean, np.bincount(numbers, (flat - mean[numbers]) ** 2) / counts


def normalized(values: np.ndarray, norm: str) -> np.ndarray:
    """What the norm's layer gives at its initial weights, in training: zero mean and unit variance in each set."""
    sets = sharing_sets(norm, *values.shape)
    if (sets < 0).all():
        return values.astype(np.float64)
    mean, variance = moments(values, sets)
    return (values - mean[sets]) / np.sqrt(variance[sets] + EPS)
