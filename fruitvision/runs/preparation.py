"""What a run needs before its first step: its pictures, split, its transforms, and its first weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fruitvision.data.dataset import Dataset, Split, hold_out
from fruitvision.data.store import ImageStore, open_dataset
from fruitvision.data.transforms import (
    EvalTransform,
    TrainTransform,
    batched_recipe,
    no_augmentation,
    torchvision_recipe,
)  # fmt: skip
from fruitvision.errors import FruitVisionError
from fruitvision.models.checkpoint import find_checkpoint, load_checkpoint
from fruitvision.models.networks import ResNet18, imagenet_applies, imagenet_weights, load_trunk
from fruitvision.runs.folder import RunConfig
from fruitvision.training.config import TrainConfig


@dataclass
class Prepared:
    """A run's pictures: which train it, which choose its best epoch, and which only measure it."""

    dataset: Dataset
    store: ImageStore
    train: Split
    validation: Split
    test: Split | None


def prepare(config: RunConfig) -> Prepared:
    """Open the data and decide which pictures train, validate and test. Raises DataError."""
    dataset, store = open_dataset(Path(config.data), seed=config.training.seed)
    train, test = dataset.splits["train"], dataset.splits.get("test")
    validation = dataset.splits.get("val")
    if validation is None and config.training.val_fraction > 0:
        train, validation = hold_out(train, config.training.val_fraction, config.training.seed)
    if validation is None:
        validation = test
    if validation is None or not len(validation.labels):
        train, validation = hold_out(train, 0.1, config.training.seed)
    if config.training.max_train_images:
        train = evenly(train, config.training.max_train_images)
    return Prepared(dataset, store, train, validation, test)


def evenly(split: Split, count: int) -> Split:
    """At most ``count`` pictures of a split, as many of each class as it goes, spread over its order."""
    if count >= len(split.labels):
        return split
    places = np.zeros(len(split.labels))
    for label in np.unique(split.labels):
        rows = np.flatnonzero(split.labels == label)
        # The n-th picture of a class is taken when its turn, van der Corput's order by class, comes.
        turns = np.argsort([int(f"{i:020b}"[::-1], 2) for i in range(len(rows))])
        places[rows[turns]] = np.arange(len(rows))
    chosen = np.zeros(len(split.labels), dtype=bool)
    chosen[np.argsort(places, kind="stable")[:count]] = True
    return split.select(chosen)


def training_transform(config: TrainConfig) -> TrainTransform:
    """The augmentation that a configuration asks for."""
    if config.augmentation == "none":
        return no_augmentation(config.eval_resize, config.image_size)
    recipe = {"torchvision": torchvision_recipe, "batched": batched_recipe}[config.augmentation]
    return recipe(config.crop_scale_min, config.flip, config.rotation)


def evaluation_transform(config: TrainConfig) -> EvalTransform:
    """The evaluation transform that belongs to a configuration, and goes into its checkpoints."""
    return EvalTransform(resize=config.eval_resize, crop=config.image_size)


def first_weights(network: ResNet18, config: TrainConfig, say: Callable[[str], None]) -> str:
    """Put the weights to start from into ``network``; return what they are, and say why where it is not what was asked.

    ImageNet weights fall back on the shipped model, and that on fresh weights: a machine without a network still
    trains. A checkpoint folder named by the person must fit, or it is an error.
    """
    if config.start == "scratch":
        return "scratch"
    if config.start not in ("imagenet", "shipped"):
        weights, _ = load_checkpoint(find_checkpoint(config.start))
        load_trunk(network, weights.state_dict())
        return str(config.start)
    if not imagenet_applies(config.architecture, config.norm, config.width):
        say(f"no ready weights exist for {config.norm} norm at width {config.width}: training starts from scratch")
        return "scratch"
    if config.start == "imagenet":
        try:
            load_trunk(network, imagenet_weights())
            return "imagenet"
        except FruitVisionError as error:
            say(f"ImageNet weights cannot be had: {error}")
    try:
        weights, shipped = load_checkpoint(find_checkpoint())
        load_trunk(network, weights.state_dict())
    except FruitVisionError as error:
        say(f"training starts from scratch, since there is no shipped model to start from: {error}")
        return "scratch"
    say("training starts from the shipped model")
    return "shipped"
