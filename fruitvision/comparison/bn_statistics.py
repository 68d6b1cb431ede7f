"""Batch norm at test time: the accuracy of the same weights with running, batch and recomputed statistics.

A network with batch norm is trained with the statistics of each batch, but evaluated with running averages of them. With small
batches the two differ: a network may be accurate with the statistics of a large test batch, but poor with its running averages.
Recomputing these from many training pictures, with unchanged weights, separates the two effects (Wu & Johnson
2021, "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from fruitvision.comparison.results import RECORD
from fruitvision.data.load.loader import EvalLoader
from fruitvision.data.read.dataset import Split
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.transforms import evaluation_transform
from fruitvision.training.device import choose_device
from fruitvision.training.evaluation import evaluate

BATCH = 32
"""The batch size, in random order, since batches of one class would have different statistics."""
MAX_TRAIN_IMAGES = 2048
"""The maximum number of training pictures for the recomputed statistics."""


def has_running_statistics(network: nn.Module) -> bool:
    """Whether some layer normalizes by running statistics at test time."""
    return any(isinstance(module, nn.BatchNorm2d) and module.track_running_stats for module in network.modules())


@torch.inference_mode()
def record_test_statistics(run: RunFolder, on_progress: Callable[[], None] = lambda: None) -> None:
    """Measure the last weights of a finished run with other statistics, and append the accuracies (0..1) to its metrics.

    ``batch``: with the statistics of each batch of ``BATCH`` test pictures; ``recomputed``: with running statistics recomputed from
    training pictures. Nothing is recorded for a network without running statistics, a single test picture, or a second time.
    """
    if run.metrics(RECORD):
        return
    network, _ = load_checkpoint(run.last)
    if not has_running_statistics(network):
        return
    config = run.config()
    device, data = choose_device(config.training.device), prepare(config, lambda done, total: on_progress())
    network = network.to(device)
    rng, transform = np.random.default_rng(config.training.seed), evaluation_transform(config.training)
    measured = EvalLoader(data.store, _shuffled(data.validation, rng), transform, BATCH)
    seen = EvalLoader(data.store, _shuffled(data.train, rng, MAX_TRAIN_IMAGES), transform, BATCH)
    if not len(measured):
        return
    networks = {"batch": _batch_statistics(network), "recomputed": _recomputed(network, seen, device, on_progress)}
    found = {name: evaluate(one, measured, device, config.training, on_batch=on_progress)["top1"] for name, one in networks.items()}
    run.append({"kind": RECORD, **found})


def _shuffled(split: Split, rng: np.random.Generator, count: int | None = None) -> Split:
    order = rng.permutation(len(split.labels))[:count]
    if len(order) % BATCH == 1:  # a single picture has no batch statistics
        order = order[:-1]
    return replace(split, paths=tuple(split.paths[i] for i in order), labels=split.labels[order], rows=split.rows[order])


def _batch_statistics(network: nn.Module) -> nn.Module:
    """A copy without running statistics, which therefore normalizes by those of the batch, in evaluation mode too."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = None
    return network


def _recomputed(network: nn.Module, loader: EvalLoader, device: torch.device, on_progress: Callable[[], None]) -> nn.Module:
    """A copy whose running statistics are the mean of those of the loader's batches."""
    network = copy.deepcopy(network).eval()
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative average
        layer.train()
    for batch in loader:
        network(batch.images.to(device))
        on_progress()
    return network.eval()
