"""A run's pictures: found, checked, decoded once, and divided into training, validation and test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.load.targets import Targets
from fruitvision.data.read.dataset import Dataset, Split, hold_out, refuse_classes, refuse_large_classes
from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.layouts.found import Listing
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.sources import PhotoSource, check_left_out
from fruitvision.data.read.store import Progress, open_dataset
from fruitvision.runs.config import RunConfig
from fruitvision.runs.prepare.sources import (
    ExtraSource,
    SourcePictures,
    find_sources,
    known_kinds,
    open_source,
    split_sources,
    trainable_pictures,
)
from fruitvision.training.config import TrainConfig


@dataclass
class RunData:
    """The pictures of a run for training, for the choice of the best epoch, and for the final test."""

    dataset: Dataset
    store: ImageStore
    train: Split
    validation: Split
    test: Split | None
    targets: Targets
    photos: tuple[ExtraSource, ...] = ()
    not_fruit: tuple[ExtraSource, ...] = ()
    too_few: tuple[str, ...] = ()
    """Kinds of photos that are left out because there are too few, as in "Okra (6 photos of 2 sources)"."""

    @property
    def sources(self) -> tuple[ExtraSource, ...]:
        """All additional sources: photos first, then pictures without fruit."""
        return (*self.photos, *self.not_fruit)

    @property
    def fingerprint(self) -> str:
        """A hash of all pictures that are used, including those of the sources."""
        if not self.sources:
            return self.dataset.fingerprint
        hashes = sorted(one for source in self.sources for one in source.store.hashes)
        return hashlib.sha256("\n".join([self.dataset.fingerprint, *hashes]).encode()).hexdigest()


def check_data(config: RunConfig) -> Listing:
    """List the pictures of a run that is about to be created, and check its sources; nothing is decoded, except to crop boxes.

    Raises DataError, ConfigError.
    """
    listing = list_data(config)
    refuse_classes(listing)
    find_sources(config)
    return listing


def list_data(config: RunConfig, progress: Progress | None = None) -> Listing:
    """The listing of a run's pictures, with its settings for the layout. Raises DataError."""
    return list_pictures(config.data, depth=config.training.class_depth, boxes=config.training.boxes, progress=progress)


def prepare(config: RunConfig, progress: Progress | None = None, listing: Listing | None = None) -> RunData:
    """Open the data and divide it into training, validation and test.

    Args:
        progress: called with (files done, files) of each folder while it is decoded.
        listing: the result of :func:`check_data`, so that the folder is not listed again.

    Raises:
        DataError, ConfigError: there is nothing to train on, or the sources do not match the configuration.
    """
    training = config.training
    photos, negatives = find_sources(config)
    dataset, store = open_dataset(listing or list_data(config, progress), seed=training.seed, progress=progress)
    train, validation = train_and_validation(dataset, training)
    opened = [(source, open_source(source, photo=True, progress=progress)) for source in photos]
    kinds, too_few = known_kinds(dataset.classes, opened, training)
    opened += [(source, open_source(source, photo=False, progress=progress)) for source in negatives]
    excluded, trainable = check_left_out([*photos, *negatives], config.leave_out), trainable_pictures(training, [*photos, *negatives])

    def used(source: PhotoSource, pictures: SourcePictures) -> SourcePictures:
        return trainable(source, pictures).select(lambda path, name: name == NOT_FRUIT or name in kinds)

    sources = split_sources([(source, used(source, pictures)) for source, pictures in opened if source.name not in excluded], training)
    extra_photos = sum(source.name not in excluded for source in photos)
    targets = Targets.of(dataset.classes, sorted(kinds), not_fruit=bool(negatives) or NOT_FRUIT in kinds)
    refuse_large_classes(config.data, targets.classes)  # with those of photos
    test = dataset.splits.get("test")
    return RunData(dataset, store, train, validation, test, targets, sources[:extra_photos], sources[extra_photos:], too_few)


def train_and_validation(dataset: Dataset, config: TrainConfig) -> tuple[Split, Split]:
    """The dataset's own validation split, or ``val_fraction`` of training, or the test split, or a tenth of training.

    The validation split is empty if no class has a picture to spare.
    """
    train, test = dataset.splits["train"], dataset.splits.get("test")
    validation = dataset.splits.get("val")
    if validation is None and config.val_fraction > 0:
        train, validation = hold_out(train, config.val_fraction, config.seed)
    elif validation is None:
        validation = test
    if validation is None:
        train, validation = hold_out(train, 0.1, config.seed)
    if config.max_train_images:
        train = subsample_evenly(train, config.max_train_images)
    return train, validation


def subsample_evenly(split: Split, count: int) -> Split:
    """At most ``count`` pictures of a split, equally many of each class where possible, spread over its order."""
    if count >= len(split.labels):
        return split
    places = np.zeros(len(split.labels))
    for label in np.unique(split.labels):
        rows = np.flatnonzero(split.labels == label)
        # Within a class in van der Corput order, any prefix of which is evenly spread.
        turns = np.argsort([int(f"{i:020b}"[::-1], 2) for i in range(len(rows))])
        places[rows[turns]] = np.arange(len(rows))
    chosen = np.zeros(len(split.labels), dtype=bool)
    chosen[np.argsort(places, kind="stable")[:count]] = True
    return split.select(chosen)
