"""The batches that loaders yield to training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A batch of B pictures, transformed for the network."""

    images: Tensor
    """(B, 3, S, S) float32"""
    labels: Tensor
    """(B,) int64: classes, or rows of the loader's ``membership``"""
    rows: np.ndarray
    """(B,) rows of the image store"""
    local_size: int
    """The number of pictures that count: B, or 0 if the only picture is padding, because this process has none in this step."""
    global_size: int
    """The number of pictures in the batches of all processes."""
