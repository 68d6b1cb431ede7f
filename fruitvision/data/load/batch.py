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
    """(B,) positions in the image store"""
    local_size: int
    """Pictures of this process: B, or 0 where B is 1 and the picture only pads the batch, because this process has none in this step."""
    global_size: int
    """Pictures of all processes."""
