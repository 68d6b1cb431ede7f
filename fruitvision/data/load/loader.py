"""Batches of pictures, whose order and augmentation are determined by the seed and the epoch.

Loaders have no state to save: a batch is determined by (seed, epoch, step), and an augmentation by (seed, epoch, picture), whatever
the batch size; with ``balanced``, where a picture may occur twice, also by the step. This makes resuming exact, and networks that are
compared see the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.augment.transforms import EvalTransform, TrainTransform
from fruitvision.data.load.batch import Batch
from fruitvision.data.load.workers import Workers
from fruitvision.data.read.dataset import Split
from fruitvision.data.read.image_store import ImageStore


class Shard(NamedTuple):
    """The part of every batch that one process trains on: every ``num_shards``-th picture, starting at ``rank``."""

    rank: int = 0
    num_shards: int = 1

    def select(self, batch: np.ndarray) -> tuple[np.ndarray, int, int]:
        """This process's pictures of a batch, their number (``Batch.local_size``) and the size of the whole batch.

        The last batch may have fewer pictures than there are processes. Since every process has to take part in every step,
        a process without a picture gets the first one as padding, and its number is 0.
        """
        own = batch[self.rank :: self.num_shards]
        return (own if len(own) else batch[:1]), len(own), len(batch)


UNSHARDED = Shard()


class TrainLoader:
    """Yields every training picture once per epoch, in a new order and with new augmentation."""

    membership: Tensor | None = None
    """Labels are classes."""

    def __init__(
        self, store: ImageStore, split: Split, transform: TrainTransform, batch_size: int, *, seed: int = 0, balanced: bool = False
    ) -> None:
        self.store, self.split, self.transform = store, split, transform
        self.batch_size, self.seed, self.balanced = batch_size, seed, balanced

    @property
    def counts(self) -> np.ndarray:
        """(C,) pictures of each label."""
        return np.bincount(self.split.labels)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return _steps(len(self.split.labels), self.batch_size)

    def epoch(self, epoch: int, size: int, start: int = 0, shard: Shard = UNSHARDED) -> Iterator[Batch]:
        """The batches of an epoch from step ``start`` on, with pictures of ``size`` × ``size`` pixels; only the pictures of ``shard``."""
        order = self.order(epoch)
        for step in range(start, self.steps):
            chosen, local_size, global_size = shard.select(order[step * self.batch_size : (step + 1) * self.batch_size])
            rows = self.split.rows[chosen]
            pictures = [self.store[row] for row in rows]
            # A picture that occurs twice in an epoch is augmented differently each time.
            seeds = [(self.seed, epoch, int(row), *((step,) if self.balanced else ())) for row in rows]
            yield Batch(self.transform(pictures, seeds, size), torch.from_numpy(self.split.labels[chosen]), rows, local_size, global_size)

    def order(self, epoch: int) -> np.ndarray:
        """(N,) indices into the split, in the order of the epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        return rng.permutation(self._balanced(rng) if self.balanced else len(self.split.labels))

    def _balanced(self, rng: np.random.Generator) -> np.ndarray:
        """(N,) indices, as many as there are pictures: equally many per class, each picture of a class once before any is repeated."""
        present = np.unique(self.split.labels)
        turns = np.array_split(np.arange(len(self.split.labels)), len(present))
        drawn = []
        for label, turn in zip(rng.permutation(present), turns, strict=True):
            own = rng.permutation(np.flatnonzero(self.split.labels == label))
            drawn.append(np.resize(own, len(turn)))
        return np.concatenate(drawn)


def _steps(pictures: int, batch_size: int) -> int:
    """The number of batches; a last batch of one picture is dropped, since batch norm cannot be trained on it."""
    full, rest = divmod(pictures, batch_size)
    return full + (rest > 1 or full == 0 or (rest == 1 and batch_size == 1))


@dataclass(eq=False)
class Source:
    """Pictures with a common transform.

    Attributes:
        rows: (N,) rows of ``store``.
        labels: (N,) int64 labels of :class:`fruitvision.data.load.targets.Targets`.
        repeat: how often each picture occurs in an epoch, one number or (N,); with 0.3 each epoch has a different random 30%.
        spans: the longest side of the fruit in centimetres, by label. If given, they are passed to the transform, with a function
        that returns further pictures of the same label (``others``).
        unaugmented: whether these are photos that are not augmented.
    """

    store: ImageStore
    rows: np.ndarray
    labels: np.ndarray
    transform: Callable[..., Tensor]
    repeat: float | np.ndarray = 1.0
    spans: Sequence[float] | None = None
    unaugmented: bool = False

    def images(self, positions: np.ndarray, seeds: list[tuple[int, ...]], size: int) -> Tensor:
        """(len(positions), 3, size, size)"""
        pictures = [self.store[int(row)] for row in self.rows[positions]]
        if self.spans is None:
            return self.transform(pictures, seeds, size)

        def other(i: int, rng: np.random.Generator) -> np.ndarray:
            same = self._by_label[int(self.labels[positions[i]])]
            return self.store[int(self.rows[same[rng.integers(len(same))]])]

        return self.transform(pictures, seeds, size, other, [self.spans[label] for label in self.labels[positions]])

    @cached_property
    def _by_label(self) -> dict[int, np.ndarray]:
        return {label: np.flatnonzero(self.labels == label) for label in np.unique(self.labels).tolist()}

    @property
    def epoch_size(self) -> int:
        """Pictures per epoch."""
        return round(float(np.broadcast_to(self.repeat, len(self.rows)).sum()))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """(epoch_size,) the indices of one epoch: each ``repeat`` times, fractions by systematic sampling."""
        often = np.broadcast_to(np.asarray(self.repeat, float), len(self.rows))
        whole = np.floor(often).astype(np.int64)
        order, left = rng.permutation(len(often)), self.epoch_size - int(whole.sum())
        part = np.cumsum((often - whole)[order])
        # Systematic sampling: evenly spaced marks over the fractions, laid end to end in a random order.
        marks = (np.arange(max(left, 0)) + rng.random()) * (part[-1] / max(left, 1) if len(part) else 0)
        more = order[np.minimum(np.searchsorted(part, marks, side="right"), len(order) - 1)]
        return np.concatenate([np.repeat(np.arange(len(often)), whole), more]).astype(np.int64)


class MixedLoader:
    """As :class:`TrainLoader`, for pictures of several sources, shuffled together, whose labels may be types."""

    def __init__(
        self, sources: Sequence[Source], membership: Tensor, batch_size: int, *, seed: int = 0, workers: Workers | None = None
    ) -> None:
        self.sources, self.membership = [source for source in sources if len(source.rows)], membership
        self.batch_size, self.seed = batch_size, seed
        self._batches = (workers or Workers()).register(_MixedBatches(self.sources, batch_size, seed))

    @property
    def counts(self) -> np.ndarray:
        """(T,) pictures of each label in an epoch, on average."""
        counts = np.zeros(len(self.membership))
        for source in self.sources:
            np.add.at(counts, source.labels, np.broadcast_to(source.repeat, len(source.rows)))
        return counts

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return _steps(sum(source.epoch_size for source in self.sources), self.batch_size)

    def epoch(self, epoch: int, size: int, start: int = 0, shard: Shard = UNSHARDED) -> Iterator[Batch]:
        """The batches of an epoch from step ``start`` on, with pictures of ``size`` × ``size`` pixels; only the pictures of ``shard``."""
        yield from self._batches([(epoch, size, step, shard) for step in range(start, self.steps)])


class _MixedBatches:
    """Makes the batches of a :class:`MixedLoader`; picklable, for worker processes."""

    def __init__(self, sources: Sequence[Source], batch_size: int, seed: int) -> None:
        self.sources, self.batch_size, self.seed = sources, batch_size, seed
        self._planned: tuple[int, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None

    def __call__(self, key: tuple[int, int, int, Shard]) -> Batch:
        epoch, size, step, shard = key
        owner, positions, order = self._plan(epoch)
        chosen, local_size, global_size = shard.select(np.sort(order[step * self.batch_size : (step + 1) * self.batch_size]))
        seeds = [(self.seed, epoch, int(n)) for n in chosen]
        images, labels, rows = [], [], []
        for number, source in enumerate(self.sources):
            mine = np.flatnonzero(owner[chosen] == number)
            if len(mine):
                places = positions[chosen[mine]]
                images.append(source.images(places, [seeds[i] for i in mine], size))
                labels.append(source.labels[places])
                rows.append(source.rows[places])
        return Batch(torch.cat(images), torch.from_numpy(np.concatenate(labels)), np.concatenate(rows), local_size, global_size)

    def _plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) each: the source of every picture of the epoch, its index in that source, and the order."""
        if self._planned is None or self._planned[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            drawn = [source.sample(rng) for source in self.sources]
            owner = np.repeat(np.arange(len(drawn)), [len(positions) for positions in drawn])
            self._planned = epoch, (owner, np.concatenate(drawn), rng.permutation(len(owner)))
        return self._planned[1]


class MixedEvalLoader:
    """Yields every picture of several sources once, in order, always with the same augmentation."""

    def __init__(
        self, sources: Sequence[Source], membership: Tensor, size: int, batch_size: int = 64, *, workers: Workers | None = None
    ) -> None:
        self.sources, self.membership = [source for source in sources if len(source.rows)], membership
        self.batch_size = batch_size
        self._batches = (workers or Workers()).register(_EvalBatches(self.sources, size))

    def __len__(self) -> int:
        return sum(-(-len(source.rows) // self.batch_size) for source in self.sources)

    @property
    def unaugmented(self) -> Tensor:
        """(N,) bool: which pictures are photos that are not augmented."""
        return torch.cat([torch.full((len(source.rows),), source.unaugmented) for source in self.sources])

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(UNSHARDED)

    def batches(self, shard: Shard) -> Iterator[Batch]:
        """Every ``num_shards``-th batch, starting at the shard's rank."""
        places = [(n, start) for n, source in enumerate(self.sources) for start in range(0, len(source.rows), self.batch_size)]
        chosen = places[shard.rank :: shard.num_shards]
        yield from self._batches([(number, start, start + self.batch_size) for number, start in chosen])


class _EvalBatches:
    """Makes the batches of a :class:`MixedEvalLoader`; picklable, for worker processes."""

    def __init__(self, sources: Sequence[Source], size: int) -> None:
        self.sources, self.size = sources, size

    def __call__(self, key: tuple[int, int, int]) -> Batch:
        number, start, end = key
        source = self.sources[number]
        positions = np.arange(start, min(end, len(source.rows)))
        seeds = [(number, int(position)) for position in positions]
        images, rows = source.images(positions, seeds, self.size), source.rows[positions]
        return Batch(images, torch.from_numpy(source.labels[positions]), rows, len(rows), len(rows))


class EvalLoader:
    """Yields every picture of a split once, in order, under the evaluation transform."""

    membership: Tensor | None = None
    """Labels are classes."""

    def __init__(self, store: ImageStore, split: Split, transform: EvalTransform, batch_size: int = 64) -> None:
        self.store, self.split, self.transform, self.batch_size = store, split, transform, batch_size

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(UNSHARDED)

    def batches(self, shard: Shard) -> Iterator[Batch]:
        """Every ``num_shards``-th batch, starting at the shard's rank."""
        for start in range(shard.rank * self.batch_size, len(self.split.labels), shard.num_shards * self.batch_size):
            rows = self.split.rows[start : start + self.batch_size]
            images = self.transform.batch([self.store[row] for row in rows])
            labels = torch.from_numpy(self.split.labels[start : start + self.batch_size])
            yield Batch(images, labels, rows, len(rows), len(rows))
