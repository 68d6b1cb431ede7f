"""Batches of pictures: seeded, so that an epoch's order and augmentation follow from its number alone.

Nothing here has a state to be saved: (seed, epoch, step) decides every batch, and (seed, epoch, picture) every
augmentation, whatever the batch size. That is what makes a resume exact and a comparison of two networks matched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.dataset import Split
from fruitvision.data.store import ImageStore
from fruitvision.data.transforms import EvalTransform, TrainTransform


@dataclass(frozen=True)
class Batch:
    """B pictures ready for the network."""

    images: Tensor
    """(B, 3, S, S) float32"""
    labels: Tensor
    """(B,) int64"""
    rows: np.ndarray
    """(B,) positions in the image store"""


class TrainLoader:
    """Every training picture once an epoch, in a new order and with a new augmentation each time."""

    def __init__(
        self, store: ImageStore, split: Split, transform: TrainTransform, batch_size: int, *, seed: int = 0
    ) -> None:
        self.store, self.split, self.transform = store, split, transform
        self.batch_size, self.seed = batch_size, seed

    @property
    def steps(self) -> int:
        """Batches an epoch. A last batch of one picture is left out: batch norm cannot learn from it."""
        full, rest = divmod(len(self.split.labels), self.batch_size)
        return full + (rest > 1 or full == 0 or (rest == 1 and self.batch_size == 1))

    def epoch(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step ``start`` on, as pictures of ``size`` × ``size``."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.split.labels))
        for step in range(start, self.steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            rows = self.split.rows[chosen]
            pictures = [self.store[row] for row in rows]
            seeds = [(self.seed, epoch, int(row)) for row in rows]
            yield Batch(self.transform(pictures, seeds, size), torch.from_numpy(self.split.labels[chosen]), rows)


class EvalLoader:
    """Every picture of a split once, in order, as the evaluation transform shows it."""

    def __init__(self, store: ImageStore, split: Split, transform: EvalTransform, batch_size: int = 64) -> None:
        self.store, self.split, self.transform, self.batch_size = store, split, transform, batch_size

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.split.labels), self.batch_size):
            rows = self.split.rows[start : start + self.batch_size]
            images = self.transform.batch([self.store[row] for row in rows])
            labels = torch.from_numpy(self.split.labels[start : start + self.batch_size])
            yield Batch(images, labels, rows)
