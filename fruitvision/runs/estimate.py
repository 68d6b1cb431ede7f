"""How long a run will take on this machine, from a few steps that are really taken."""

from __future__ import annotations

import math
import statistics
import time

import numpy as np
import torch
from torch.nn import functional as F

from fruitvision.models.networks import build_network
from fruitvision.runs.preparation import training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast, choose_device, memory_format
from fruitvision.training.engine import image_size

STEPS = 2
MOST_PICTURES = 32
LEAST_PICTURES = 16  # that are timed, in as many steps as it takes: a step of two pictures is soon over
EVALUATION_SHARE = 0.35  # of a training picture's time: no backward pass, no augmentation


def seconds_per_picture(config: TrainConfig, num_classes: int, picture_side: int = 100) -> float:
    """Seconds that one training picture of full size takes here: augmentation, forward, backward and optimizer.

    Two steps, or more small ones, are timed after one that is not, so it takes about as long as three steps. Raises as a run would.
    """
    device = choose_device(config.device)
    network = build_network(config.architecture, num_classes=num_classes, norm=config.norm, width=config.width, seed=0)
    layout = memory_format(network, config, device)
    network = network.to(device, memory_format=layout).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    count = min(config.batch_size, MOST_PICTURES)
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (count, picture_side, picture_side, 3), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, num_classes, count)).to(device)
    transform, seeds = training_transform(config), [(0, n) for n in range(count)]
    taken = []
    for _ in range(max(STEPS, LEAST_PICTURES // count) + 1):
        began = time.perf_counter()
        images = transform(pictures, seeds, config.image_size).to(device, memory_format=layout)
        with autocast(config, device):
            logits = network(images).logits
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        labels.sum().item()  # wait for an accelerator
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:]) / count  # the median: what else the machine does meanwhile is not the run's


def run_seconds(config: TrainConfig, per_picture: float, train_images: int, val_images: int) -> float:
    """The whole run's length: pictures that are smaller in the first epochs cost less, by their area."""
    if config.max_train_images:
        train_images = min(train_images, config.max_train_images)
    shares = [(image_size(config, epoch) / config.image_size) ** 2 for epoch in range(config.epochs)]
    return per_picture * (train_images * math.fsum(shares) + val_images * EVALUATION_SHARE * config.epochs)
