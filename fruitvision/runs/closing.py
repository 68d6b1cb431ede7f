"""What a trunk makes of all training pictures as evaluation shows them, for a last layer that is fitted in the end."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.read.store import ImageStore
from fruitvision.runs.preparation import Beside, Prepared, photo_weights
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast
from fruitvision.training.distributed import SINGLE_PROCESS, World
from fruitvision.training.last_layer import Features

DATA_WEIGHT = 0.3
"""What the pictures of the data weigh together, beside 1 for all photos and pictures without fruit, where there are such."""
BATCH = 64


def see_as_evaluated(
    network: nn.Module, data: Prepared, config: TrainConfig, transform: EvalTransform, device: torch.device, world: World = SINGLE_PROCESS
) -> Generator[int, None, Features]:
    """The features of the first look at every picture that trains, with weights that balance kinds and sources.

    Yields the number of finished batches. The processes of a ``world`` share them, and all return the whole.
    """
    network.eval()
    beside = [one for one in (*data.photos, *data.not_fruit) if len(one.train[0])]
    parts = [(one.store, one.train[0]) for one in beside] + [(data.store, data.train.rows)]
    batches = [(store, rows[start : start + BATCH]) for store, rows in parts for start in range(0, len(rows), BATCH)]
    found: list[tuple[int, Tensor]] = []
    for turn in range(world.share.rank, len(batches), world.share.of):
        found.append((turn, features(network, transform.with_views("one"), *batches[turn], config, device)))
        yield len(found)
    everything = sorted(world.all_gather(found), key=lambda entry: entry[0])
    labels, weights = labels_and_weights(data, config, beside)
    return Features(torch.cat([own for _, own in everything]), labels, weights)


def labels_and_weights(data: Prepared, config: TrainConfig, beside: Sequence[Beside]) -> tuple[Tensor, Tensor]:
    """(N,) each, of the pictures ``beside`` the data in their order and behind them of the data's own."""
    labels = [data.targets.label(name) for one in beside for name in one.train[1]] + data.train.labels.tolist()
    weights = photo_weights(config, [(one.source, one.train[1]) for one in beside])
    own = DATA_WEIGHT if len(weights) else 1.0
    together = np.concatenate([weights, np.full(len(data.train.labels), own / max(len(data.train.labels), 1))])
    return torch.tensor(labels), torch.from_numpy(together).float()


def features(
    network: nn.Module, transform: EvalTransform, store: ImageStore, rows: np.ndarray, config: TrainConfig, device: torch.device
) -> Tensor:
    """(len(rows), F) float32, on the CPU."""
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    images = transform.batch([store[row] for row in rows]).to(device, memory_format=layout)
    with torch.inference_mode(), autocast(config, device):
        return network(images).features.float().cpu().clone()
