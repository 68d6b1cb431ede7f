"""The loaders that training and validation read from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.augment.recipes import BatchedRecipe
from fruitvision.data.augment.scene_recipes import PhotoRecipe, SceneRecipe
from fruitvision.data.augment.transforms import EvalTransform, has_white_background
from fruitvision.data.fruits import NOT_FRUIT, fruit_type
from fruitvision.data.load.loader import EvalLoader, MixedEvalLoader, MixedLoader, Source, TrainLoader
from fruitvision.data.load.resident import ResidentLoader
from fruitvision.data.load.targets import Targets
from fruitvision.data.load.workers import Workers
from fruitvision.data.read.decoding import usable_cores
from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.sources import sampling_weights
from fruitvision.errors import DataError
from fruitvision.runs.prepare.data import RunData, subsample_evenly
from fruitvision.runs.prepare.sources import ExtraSource
from fruitvision.runs.prepare.transforms import evaluation_transform, scene_recipe, training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import Training
from fruitvision.training.evaluation import Validation

CPU = torch.device("cpu")
MAX_WORKERS = 8
SCENE_SIDE, MAX_SCENES = 192, 600
"""The size of composed validation pictures in pixels, about that of a small photo, and their maximum number."""


def loaders(data: RunData, config: TrainConfig, device: torch.device = CPU, workers: Workers | None = None) -> tuple[Training, Validation]:
    """The training and the validation loader. Pictures are kept on a GPU if they fit and the recipe allows it.

    ``workers`` compose scenes; without them this process does. Raises DataError "too-few-shown" if an epoch would have fewer than two
    pictures, on which batch norm cannot be trained.
    """
    transform = evaluation_transform(config)
    if config.augmentation != "scenes":
        recipe, balanced = training_transform(config), config.balance == "sampler"
        if isinstance(recipe, BatchedRecipe) and ResidentLoader.fits(data.store, data.train, device):
            train = ResidentLoader(data.store, data.train, recipe, config.batch_size, device, seed=config.seed, balanced=balanced)
        else:
            train = TrainLoader(data.store, data.train, recipe, config.batch_size, seed=config.seed, balanced=balanced)
        _refuse_one_picture(train, data)
        return train, EvalLoader(data.store, data.validation, transform)
    train = MixedLoader(_scene_sources(data, config), data.targets.membership, config.batch_size, seed=config.seed, workers=workers)
    _refuse_one_picture(train, data)
    return train, scene_validation(data, config, transform.with_views("one"), workers)


def _refuse_one_picture(train: Training, data: RunData) -> None:
    shown = round(float(train.counts.sum()))
    if shown < 2:
        raise DataError("too-few-shown", folder=str(data.dataset.root), shown=shown)


def worker_processes(config: TrainConfig, device: torch.device) -> int:
    """The number of processes that compose scenes: the setting ``workers``, if given; otherwise none when training on the CPU, which
    they would slow down, and with a GPU one for each remaining core of this process's share of the machine."""
    if config.workers >= 0:
        return config.workers
    cores = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    return 0 if device.type == "cpu" else min(max(cores - 1, 0), MAX_WORKERS)


def _scene_sources(data: RunData, config: TrainConfig) -> list[Source]:
    """The sources for training: the dataset on white and in scenes, photos, and pictures without fruit, each with its number of repeats."""
    recipe = scene_recipe(config, StoredPictures([(one.store, one.train.rows) for one in data.not_fruit]), plain=0.0)
    photo = PhotoRecipe(recipe.backgrounds, flip=config.flip, strength=config.photo_strength)
    rows, labels, spans = data.train.rows, data.train.labels, data.targets.spans
    plain = config.plain_share * config.data_repeat
    in_scenes = (1 - config.plain_share) * config.data_repeat * _balanced_by_type(data.targets, labels, config.type_balance)
    sources = [
        Source(data.store, rows, labels, scene_recipe(config, plain=1.0), plain, spans=spans),
        Source(data.store, rows, labels, recipe, in_scenes, spans=spans),
    ]
    for one, weights in zip(data.photos, _balanced(data.photos, config.type_balance, config.source_balance), strict=True):
        sources += _by_kind(one, data.targets, photo, recipe, config.photo_repeat * weights)
    wanted = config.not_fruit_share * sum(source.epoch_size for source in sources)
    balanced = _balanced(data.not_fruit, 0.0, config.source_balance)
    for one, weights in zip(data.not_fruit, balanced, strict=True):
        sources += _by_kind(one, data.targets, photo, recipe, wanted / max(sum(map(len, balanced)), 1) * weights)
    return sources


def _by_kind(source: ExtraSource, targets: Targets, photo: PhotoRecipe, scenes: SceneRecipe, shown: np.ndarray) -> list[Source]:
    """A source's photos, its pictures on a white background and its pictures without fruit, each with its own transform.

    Pictures on white are composed into scenes half of the time, as the dataset's are. ``shown``: (N,) times an epoch.
    """
    store, (rows, names) = source.store, source.train
    labels = np.array([targets.label(name) for name in names], np.int64)
    nothing = np.array([name == NOT_FRUIT for name in names], bool)
    white = np.array([_on_white(store[row]) for row in rows], bool) & ~nothing
    photos = ~nothing & ~white
    sources = [
        Source(store, rows[photos], labels[photos], photo, shown[photos]),
        Source(store, rows[nothing], labels[nothing], scenes.without_fruit, shown[nothing]),
        Source(store, rows[white], labels[white], photo, shown[white] / 2),
        Source(store, rows[white], labels[white], scenes, shown[white] / 2, targets.spans),
    ]
    return [source for source in sources if len(source.rows)]


def scene_validation(data: RunData, config: TrainConfig, transform: EvalTransform, workers: Workers | None = None) -> MixedEvalLoader:
    """Validation pictures: those of the dataset composed into scenes, a quarter of them on white; photos and pictures without fruit,
    each unchanged and with a simulated poor camera; photos on a white background unchanged.

    The dataset's own validation pictures are often near-duplicates of training pictures: calibrated on them alone, a network would be
    overconfident on other people's photos.
    """
    recipe = scene_recipe(config, StoredPictures([(one.store, one.validation.rows) for one in data.not_fruit]), plain=0.25)
    shown = _ValidationTransforms(recipe, PhotoRecipe(recipe.backgrounds, flip=config.flip, strength=1.0), transform)
    composed = subsample_evenly(data.validation, MAX_SCENES)
    sources = [Source(data.store, composed.rows, composed.labels, shown.scenes, spans=data.targets.spans)]
    for one in data.sources:
        rows, names = one.validation
        labels = np.array([data.targets.label(name) for name in names], np.int64)
        white = np.array([_on_white(one.store[row]) for row in rows], bool)
        sources.append(Source(one.store, rows[~white], labels[~white], shown.unchanged, unaugmented=True))
        sources.append(Source(one.store, rows[~white], labels[~white], shown.poor_camera))
        sources.append(Source(one.store, rows[white], labels[white], shown.unchanged))
    return MixedEvalLoader(sources, data.targets.membership, transform.crop, workers=workers)


@dataclass(frozen=True)
class _ValidationTransforms:
    """The transforms of :func:`scene_validation`: each (pictures, seeds, size) → images (N, 3, crop, crop)."""

    recipe: SceneRecipe
    poor: PhotoRecipe
    transform: EvalTransform

    def scenes(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int, others: Any, spans: Any) -> Tensor:
        return self._evaluated(self.recipe.scenes(pictures, seeds, self._side, others, spans)[0])

    def unchanged(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        return self.transform.batch(pictures)

    def poor_camera(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        return self._evaluated(self.poor.shots(pictures, seeds, self._side))

    @property
    def _side(self) -> int:
        return max(self.transform.resize, SCENE_SIDE)

    def _evaluated(self, images: Tensor) -> Tensor:
        return self.transform.batch(list(images.round().byte().permute(0, 2, 3, 1).numpy()))


def photo_weights(config: TrainConfig, named: Sequence[tuple[str, tuple[str, ...]]]) -> np.ndarray:
    """(N,) the weight of each picture of several sources in a common loss; the sum is 1.

    named: the name of each source and the kinds of its pictures. Pictures without fruit have ``not_fruit_share`` times the total
    weight of those with fruit.
    """
    kinds = [fruit_type(name) for _, names in named for name in names]
    sources = [source for source, names in named for _ in names]
    nothing = np.array([kind == NOT_FRUIT for kind in kinds], bool)
    weights = np.zeros(len(kinds))
    for part, by_type, total in ((~nothing, config.type_balance, 1.0), (nothing, 0.0, config.not_fruit_share)):
        own = np.flatnonzero(part)
        if len(own):
            shown = sampling_weights([kinds[i] for i in own], [sources[i] for i in own], by_type, config.source_balance)
            weights[own] = total * shown / shown.sum()
    return weights / weights.sum() if weights.any() else weights


def _balanced(sources: Sequence[ExtraSource], by_type: float, by_source: float) -> list[np.ndarray]:
    """For each source, how often each of its N pictures should be used, 1 on average over all sources."""
    kinds = [fruit_type(name) for one in sources for name in one.train.names]
    names = [one.source for one in sources for _ in one.train.names]
    shown = sampling_weights(kinds, names, by_type, by_source)
    return np.split(shown, np.cumsum([len(one.train.names) for one in sources])[:-1]) if sources else []


def _balanced_by_type(targets: Targets, labels: np.ndarray, balance: float) -> np.ndarray:
    """(N,) how often each picture should be used, 1 on average, and more often the rarer its fruit type.

    A type with n pictures gets a share of n ** (1 - balance). Fruits-360 has thirteen kinds of apples and one of oranges; a network
    trained on it without balancing favours apples thirteenfold.
    """
    types = np.unique(np.array([targets.type_of(label) for label in labels]), return_inverse=True)[1]
    shown = np.bincount(types).astype(float)[types] ** -balance
    return shown / shown.mean() if len(shown) else shown


def _on_white(picture: np.ndarray) -> bool:
    return bool(has_white_background(torch.tensor(picture[None]).permute(0, 3, 1, 2))[0])


class StoredPictures(Sequence[np.ndarray]):
    """Some rows of several image stores, as one sequence of pictures."""

    def __init__(self, parts: Sequence[tuple[ImageStore, np.ndarray]]) -> None:
        self._places = [(store, int(row)) for store, rows in parts for row in rows]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: Any) -> Any:
        store, row = self._places[i]
        return store[row]
