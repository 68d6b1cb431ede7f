"""Features of all training pictures under the evaluation transform, to which a last layer is fitted at the end."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.read.image_store import ImageStore
from fruitvision.runs.prepare.data import RunData
from fruitvision.runs.prepare.loaders import photo_weights
from fruitvision.runs.prepare.sources import ExtraSource
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast, inference_memory_format
from fruitvision.training.distributed import SINGLE_PROCESS, World
from fruitvision.training.last_layer import Features

DATA_WEIGHT = 0.3
"""The total weight of the dataset's pictures, relative to that of all photos and pictures without fruit."""
BATCH = 64


def evaluation_features(
    network: nn.Module, data: RunData, config: TrainConfig, transform: EvalTransform, device: torch.device, world: World = SINGLE_PROCESS
) -> Generator[int, None, Features]:
    """Features of the first view of every training picture, with weights that balance kinds and sources.

    Yields the number of finished batches. The processes of a ``world`` share the batches; all yield equally often and return the whole.
    """
    network.eval()
    sources = [one for one in data.sources if len(one.train.rows)]
    parts = [(one.store, one.train.rows) for one in sources] + [(data.store, data.train.rows)]
    batches = [(store, rows[start : start + BATCH]) for store, rows in parts for start in range(0, len(rows), BATCH)]
    found: list[tuple[int, Tensor]] = []
    for first in range(0, len(batches), world.size):
        number = first + world.shard.rank
        if number < len(batches):
            found.append((number, _features(network, transform.with_views("one"), *batches[number], config, device)))
        yield min(first + world.size, len(batches))
    everything = sorted(world.all_gather(found), key=lambda entry: entry[0])
    labels, weights = labels_and_weights(data, config, sources)
    return Features(torch.cat([features for _, features in everything]), labels, weights)


def labels_and_weights(data: RunData, config: TrainConfig, sources: Sequence[ExtraSource]) -> tuple[Tensor, Tensor]:
    """(N,) each, of the pictures of ``sources`` in their order, followed by the dataset's own."""
    labels = [data.targets.label(name) for one in sources for name in one.train.names] + data.train.labels.tolist()
    weights = photo_weights(config, [(one.source, one.train.names) for one in sources])
    own = DATA_WEIGHT if len(weights) else 1.0
    weights = np.concatenate([weights, np.full(len(data.train.labels), own / max(len(data.train.labels), 1))])
    return torch.tensor(labels), torch.from_numpy(weights).float()


def _features(
    network: nn.Module, transform: EvalTransform, store: ImageStore, rows: np.ndarray, config: TrainConfig, device: torch.device
) -> Tensor:
    """(len(rows), F) float32, on the CPU."""
    images = transform.batch([store[row] for row in rows]).to(device, memory_format=inference_memory_format(config))
    with torch.inference_mode(), autocast(config, device):
        return network(images).features.float().cpu().clone()
