"""Which elements of a tensor are normalized with the same mean and variance.

Everything is derived from the axes in ``models/norms.py``; tests compare it with the real layers.
"""

from __future__ import annotations

import math

import numpy as np

from fruitvision.models.norms import EPS, get_norm, groups_for


def sharing_sets(norm: str, n: int, c: int, h: int, w: int) -> np.ndarray:
    """(N, C, H, W) integers: elements with the same number share a mean and a variance; −1 if nothing is normalized.

    Sets are numbered in the order of their first element.

    Raises ConfigError for an unknown norm.
    """
    found = get_norm(norm)
    return axis_sets(found.shares, n, c, h, w, groups_for(c) if found.grouped else 1)


def axis_sets(shares: str, n: int, c: int, h: int, w: int, groups: int = 1) -> np.ndarray:
    """As :func:`sharing_sets`, for the axes named in ``shares`` ("NHW", "C"…), with C split into ``groups`` first."""
    if not shares:
        return np.full((n, c, h, w), -1)
    size = dict(zip("NCHW", (n, c, h, w), strict=True))
    number = np.zeros((1, 1, 1, 1), np.int64)
    for place, name in enumerate("NCHW"):
        axis = np.arange(size[name]).reshape([-1 if place == at else 1 for at in range(4)])
        if name not in shares:
            number = number * size[name] + axis
        elif name == "C":
            number = number * groups + axis // (c // groups)
    return np.ascontiguousarray(np.broadcast_to(number, (n, c, h, w)))


def count_sets(norm: str, n: int, c: int, h: int, w: int) -> int:
    """The number of means (and variances) that the norm's layer computes for a tensor (N, C, H, W); 0 if none."""
    found = get_norm(norm)
    if not found.shares:
        return 0
    kept = [size for name, size in zip("NCHW", (n, c, h, w), strict=True) if name not in found.shares]
    return math.prod(kept) * (groups_for(c) if found.grouped else 1)


def moments(values: np.ndarray, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (biased) variance of each sharing set: two arrays, one entry a set."""
    flat, numbers = values.reshape(-1).astype(np.float64), sets.reshape(-1)
    counts = np.bincount(numbers)
    mean = np.bincount(numbers, flat) / counts
    return mean, np.bincount(numbers, (flat - mean[numbers]) ** 2) / counts


def normalize(values: np.ndarray, norm: str) -> np.ndarray:
    """The output of the norm's layer at its initial weights, in training: zero mean and unit variance in each set."""
    sets = sharing_sets(norm, *values.shape)
    if (sets < 0).all():
        return values.astype(np.float64)
    mean, variance = moments(values, sets)
    return (values - mean[sets]) / np.sqrt(variance[sets] + EPS)
