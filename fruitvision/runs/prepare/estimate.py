"""How long a run will take on this machine, estimated from a few timed steps.

A run is more than its training steps: the process starts and reads the pictures, every epoch is validated and saved, and at the
end the last layer may be refitted, confidence is calibrated, and the test split is evaluated, each view of each picture once.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from fruitvision.models.networks import build_network
from fruitvision.models.pretrained import weights_are_here
from fruitvision.runs.counts import PictureCounts
from fruitvision.runs.prepare.transforms import evaluation_transform, training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast, choose_device
from fruitvision.training.engine import image_size
from fruitvision.training.last_layer import EPOCHS as REFIT_EPOCHS
from fruitvision.training.last_layer import MAX_PICTURES as REFIT_PICTURES
from fruitvision.training.state import memory_format

STEPS = 3
MAX_PICTURES = 32
MIN_PICTURES = 16  # timed in total, over as many steps as that takes: a step of two pictures is too short to time
EVALUATION_SHARE = 0.35  # relative to a training step: without backward pass and augmentation
PREPARE_SECONDS = 1.5  # after the imports, until the first step: listing, the store, the initial weights
EPOCH_SECONDS = 0.5  # to save the state and the best checkpoint
END_SECONDS = 1.0  # to read the best checkpoint, calibrate, and save


@dataclass(frozen=True)
class StepTimes:
    """Seconds per picture on this machine."""

    train: float
    """A training picture of full size: augmentation, forward, backward and optimizer."""
    augment: float
    """Its augmentation alone."""
    view: float
    """One view of a picture in evaluation."""


def measure_step_times(config: TrainConfig, num_classes: int, picture_side: int = 100, *, evaluating: bool = True) -> StepTimes:
    """Time three training steps, or more where the batch is small, after one warm-up step; with ``evaluating`` also as many batches
    of evaluation.

    ``picture_side``: of the pictures on disk, in pixels. Raises whatever a run of this configuration would.
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
    steps = max(STEPS, MIN_PICTURES // count) + 1
    taken, augmenting, viewing = [], [], []
    for _ in range(steps):
        began = time.perf_counter()
        images = transform(pictures, seeds, config.image_size).to(device, memory_format=layout)
        augmenting.append(time.perf_counter() - began)
        with autocast(config, device):
            logits = network(images).logits
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        labels.sum().item()  # synchronize with a GPU
        taken.append(time.perf_counter() - began)
    evaluate, network = evaluation_transform(config).with_views("one"), network.eval()
    for _ in range(steps if evaluating else 0):
        began = time.perf_counter()
        with torch.inference_mode(), autocast(config, device):
            network(evaluate.batch(pictures).to(device, memory_format=layout)).logits.float().cpu()
        viewing.append(time.perf_counter() - began)
    train, augment, view = (statistics.median(seconds[1:] or [0.0]) / count for seconds in (taken, augmenting, viewing))
    return StepTimes(train, augment, view)  # the median is robust to other load on the machine


def measure_each(jobs: Sequence[tuple[TrainConfig, int]], evaluating: bool, report: Callable[[int, StepTimes | None], None]) -> None:
    """Call ``report(index, step times)`` for each (configuration, number of classes); the times are None where measuring fails.

    ``report(-1, None)`` comes before the first. Meant for :func:`~fruitvision.runs.subprocess_call.call_in_subprocess`, since torch
    does not free the memory of these steps. ``evaluating``: as for :func:`measure_step_times`.
    """
    report(-1, None)
    for index, (config, num_classes) in enumerate(jobs):
        try:
            times = measure_step_times(config, num_classes, evaluating=evaluating)
        except Exception:  # for example too little memory
            times = None
        report(index, times)


def training_seconds(config: TrainConfig, per_picture: float, train_images: int) -> float:
    """Seconds for the training steps of all epochs; smaller pictures in the first epochs cost less, in proportion to their area."""
    full_epochs = math.fsum((image_size(config, epoch) / config.image_size) ** 2 for epoch in range(config.epochs))
    return per_picture * min(train_images, config.max_train_images or train_images) * full_epochs


def run_seconds(config: TrainConfig, times: StepTimes, pictures: PictureCounts, start: float) -> float:
    """Seconds for the whole run, until its results are there. ``start``: of a process, until its libraries are loaded."""
    views = evaluation_transform(config).num_views
    scenes = config.augmentation == "scenes"
    per_picture = times.train
    if config.keep_imagenet and config.start == "imagenet" and weights_are_here():  # the original network also processes every picture
        per_picture += times.view * (config.image_size / (config.eval_size or config.image_size)) ** 2
    training = training_seconds(config, per_picture, pictures.train)
    validated = pictures.validation * ((times.view + times.augment) if scenes else times.view * views)
    ending = (pictures.validation + pictures.test) * times.view * views
    if config.refit and pictures.validation:
        shown = min(pictures.train, REFIT_PICTURES // REFIT_EPOCHS)
        ending += shown * (REFIT_EPOCHS * (times.view + times.augment) + times.view) + pictures.validation * times.view * views
    if config.fit_last:
        ending += pictures.train * times.view
    return start + PREPARE_SECONDS + training + config.epochs * (validated + EPOCH_SECONDS) + ending + END_SECONDS
