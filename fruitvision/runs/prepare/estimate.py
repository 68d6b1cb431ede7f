"""How long a run will take on this machine, estimated from a few timed steps."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from fruitvision.models.networks import build_network
from fruitvision.runs.prepare.transforms import training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast, choose_device
from fruitvision.training.engine import image_size
from fruitvision.training.state import memory_format

STEPS = 2
MAX_PICTURES = 32
MIN_PICTURES = 16  # timed in all, over as many steps as it takes: a step of two pictures is too short to time
EVALUATION_SHARE = 0.35  # of a training picture's time: no backward pass, no augmentation


def seconds_per_picture(config: TrainConfig, num_classes: int, picture_side: int = 100) -> float:
    """Seconds for one training picture of full size on this machine: augmentation, forward, backward and optimizer.

    Times two steps, or more small ones, after one warm-up step. Raises what a run would.
    """
    device = choose_device(config.device)
    network = build_network(config.architecture, num_classes=num_classes, norm=config.norm, width=config.width, seed=0)
    layout = memory_format(network, config, device)
    network = network.to(device, memory_format=layout).train()  # pyright: ignore[reportCallIssue]  # not in torch's stubs
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    count = min(config.batch_size, MAX_PICTURES)
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (count, picture_side, picture_side, 3), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, num_classes, count)).to(device)
    transform, seeds = training_transform(config), [(0, n) for n in range(count)]
    taken = []
    for _ in range(max(STEPS, MIN_PICTURES // count) + 1):
        began = time.perf_counter()
        images = transform(pictures, seeds, config.image_size).to(device, memory_format=layout)
        with autocast(config, device):
            logits = network(images).logits
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        labels.sum().item()  # synchronize with a GPU
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:]) / count  # the median ignores what else the machine does meanwhile


def seconds_of_each(jobs: Sequence[tuple[TrainConfig, int]], report: Callable[[int, float], None]) -> None:
    """Time a picture of each (configuration, number of classes), and report (its place, seconds) as they come; NaN where that fails.

    Meant for :func:`~fruitvision.runs.separate.call_separately`: training a few steps takes memory that torch does not give back.
    """
    for place, (config, num_classes) in enumerate(jobs):
        try:
            seconds = seconds_per_picture(config, num_classes)
        except Exception:  # such as too little memory for one of them
            seconds = math.nan
        report(place, seconds)


def run_seconds(config: TrainConfig, per_picture: float, train_images: int, val_images: int) -> float:
    """Seconds for the whole run; smaller pictures in the first epochs cost less, in proportion to their area."""
    if config.max_train_images:
        train_images = min(train_images, config.max_train_images)
    shares = [(image_size(config, epoch) / config.image_size) ** 2 for epoch in range(config.epochs)]
    return per_picture * (train_images * math.fsum(shares) + val_images * EVALUATION_SHARE * config.epochs)
