"""What loaders give to training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B pictures ready for the network."""

    images: Tensor
    """(B, 3, S, S) float32"""
    labels: Tensor
    """(B,) int64: classes, or rows of the loader's ``membership``"""
    rows: np.ndarray
    """(B,) positions in the image store"""
    own: int
    """How many of them count: all, or 0 for the stand-in of a process that has no picture in this step."""
    total: int
    """Pictures in the whole batch, those of other processes included."""
