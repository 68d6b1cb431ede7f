"""Batches made by worker processes, for GPUs that train faster than one CPU core composes scenes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from fruitvision.compat import WORKER_DIED
from fruitvision.data.load.batch import Batch
from fruitvision.errors import FruitVisionError, TrainingError

PREFETCH_FACTOR = 2
"""Batches that each process prefetches."""

MakeBatch = Callable[[Any], Batch]
"""Makes the batch that is determined by a picklable key."""


class Workers:
    """Worker processes that make the batches of a run's loaders, one loader at a time; with ``count`` 0, a thread of this process does.

    They start with the first batch, and end with this object or with this process.
    """

    def __init__(self, count: int = 0) -> None:
        self.count = count if count and not getattr(sys, "frozen", False) else 0  # a frozen executable would start itself again
        self._functions: list[MakeBatch] = []
        self._keys: list[tuple[int, Hashable]] = []
        self._loader: DataLoader | None = None

    def register(self, make: MakeBatch) -> Callable[[Sequence[Any]], Iterator[Batch]]:
        """Register a picklable function that makes batches; returns a function that iterates over the batches of some keys, in order."""
        number = len(self._functions)
        self._functions.append(make)
        self._loader = None  # running processes do not know functions that are registered later

        def batches(keys: Sequence[Any]) -> Iterator[Batch]:
            return self._batches([(number, key) for key in keys]) if self.count else prefetch(make, keys)

        return batches

    def close(self) -> None:
        """End the processes."""
        self._loader = None

    def _batches(self, keys: list[tuple[int, Hashable]]) -> Iterator[Batch]:
        if self._loader is None:
            self._loader = DataLoader(
                _KeyedBatches(self._functions),
                batch_size=None,
                sampler=self._keys,
                num_workers=self.count,
                prefetch_factor=PREFETCH_FACTOR,
                persistent_workers=True,
                collate_fn=_identity,
                worker_init_fn=_init_worker,
            )
        self._keys[:] = keys
        try:
            for made in self._loader:
                if isinstance(made, FruitVisionError):
                    raise made
                images, labels, rows, local_size, global_size = made
                yield Batch(torch.from_numpy(images), torch.from_numpy(labels), rows, local_size, global_size)
        except Exception as error:
            # The traceback refers to torch's iterator, and that to the queues. Left to the garbage collector, they would be closed
            # while their threads close them too: one file descriptor twice, which may be another file's by then.
            traceback.clear_frames(error.__traceback__)
            self.close()
            ended = workers_ended(error)
            if ended is None:
                raise
            raise ended from error


def workers_ended(error: BaseException) -> TrainingError | None:
    """The error to raise if torch reports that a worker process died, which it may do from any call; else None."""
    if not isinstance(error, RuntimeError) or not any(words in str(error) for words in WORKER_DIED):
        return None
    return TrainingError("workers-ended")


class _KeyedBatches(Dataset):
    """Batches by (index of the function, key). They are sent as arrays: torch would send tensors through shared memory, which is
    small in containers."""

    def __init__(self, functions: list[MakeBatch]) -> None:
        self._functions = functions

    def __getitem__(self, key: tuple[int, Any]) -> tuple | FruitVisionError:
        try:
            batch = self._functions[key[0]](key[1])
        except FruitVisionError as error:  # torch would only pass on its message
            return error
        return batch.images.numpy(), batch.labels.numpy(), batch.rows, batch.local_size, batch.global_size


def _init_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the training process, which ends this one
    threading.Thread(target=_exit_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _exit_with(parent: BaseProcess) -> None:
    """Exit with the parent process. torch's own check does not run before the first batch, nor while a batch waits to be fetched."""
    parent.join()
    os._exit(0)


def _identity(batch: Any) -> Any:
    return batch


def prefetch(make: MakeBatch, keys: Sequence[Any]) -> Iterator[Batch]:
    """Yield ``make(key)`` for each key in order; the next one is made in a thread meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="fruitvision-loader") as pool:
        pending = None
        for number, key in enumerate(keys):
            batch = (pending or pool.submit(make, key)).result()
            pending = pool.submit(make, keys[number + 1]) if number + 1 < len(keys) else None
            yield batch
