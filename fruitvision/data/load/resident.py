"""Training pictures kept in GPU memory and augmented there, where the CPU would be too slow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.augment.recipes import RANDOM_NUMBERS, BatchedRecipe, reductions, resample_same_size
from fruitvision.data.augment.transforms import normalize
from fruitvision.data.load.batch import Batch
from fruitvision.data.load.loader import UNSHARDED, Shard, TrainLoader
from fruitvision.data.read.dataset import Split
from fruitvision.data.read.image_store import ImageStore

MAX_MEMORY_SHARE = 0.4
"""The fraction of the GPU's total memory that pictures may take; not of the free memory, since the choice of loader determines the
augmentation."""
AT_ONCE = 2048


class ResidentLoader(TrainLoader):
    """As :class:`TrainLoader`, for pictures of equal size, which are kept on ``device`` and augmented there.

    The order is that of :class:`TrainLoader`. A picture's augmentation is determined by (seed, epoch, position in the epoch),
    whatever the batch size and the number of processes.
    """

    transform: BatchedRecipe

    def __init__(self, store: ImageStore, split: Split, recipe: BatchedRecipe, batch_size: int, device: torch.device, **how: Any) -> None:
        super().__init__(store, split, recipe, batch_size, **how)
        self.device = device
        rows, (height, width) = split.rows, store.shapes[split.rows[0]].tolist()
        self._pixels = torch.empty(len(rows), height, width, 3, dtype=torch.uint8, device=device)
        for start in range(0, len(rows), AT_ONCE):
            self._pixels[start : start + AT_ONCE] = torch.from_numpy(store.take(rows[start : start + AT_ONCE]))
        self._labels = torch.from_numpy(split.labels).to(device)

    @staticmethod
    def fits(store: ImageStore, split: Split, device: torch.device) -> bool:
        """Whether the pictures have equal size and fit into the GPU's memory."""
        shapes = store.shapes[split.rows]
        if device.type != "cuda" or not len(shapes) or (shapes != shapes[0]).any():
            return False
        return (
            int(shapes.prod(axis=1, dtype=np.int64).sum()) * 3 <= MAX_MEMORY_SHARE * torch.cuda.get_device_properties(device).total_memory
        )

    def epoch(self, epoch: int, size: int, start: int = 0, shard: Shard = UNSHARDED) -> Iterator[Batch]:
        """The batches of an epoch from step ``start`` on, with pictures of ``size`` × ``size`` pixels; only the pictures of ``shard``."""
        order = self.order(epoch)
        numbers = np.random.default_rng([self.seed, epoch, 1]).random((len(order), RANDOM_NUMBERS))
        draws = self.transform.draws(numbers, *self._pixels.shape[1:3])
        factors, places = reductions(draws, size), np.arange(len(order))
        on_device = torch.from_numpy(order).to(self.device), torch.from_numpy(draws).float().to(self.device)
        for step in range(start, self.steps):
            mine, local_size, global_size = shard.select(places[step * self.batch_size : (step + 1) * self.batch_size])
            positions, drawn = (values[mine[0] : mine[-1] + 1 : shard.num_shards] for values in on_device)
            images = normalize(self._resampled(positions, drawn, factors[mine], size))
            yield Batch(images, self._labels[positions], self.split.rows[order[mine]], local_size, global_size)

    def _resampled(self, positions: Tensor, draws: Tensor, factors: np.ndarray, size: int) -> Tensor:
        return resample_same_size(self._pixels[positions].permute(0, 3, 1, 2), draws, factors, size)
