"""Photos and pictures without fruit that a run uses in addition to its dataset, source by source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fruitvision.data.fruits import NOT_FRUIT, fruit_type
from fruitvision.data.read.dataset import held_out
from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.sources import PhotoSource, check_left_out, negative_sources, photo_sources, with_enough_photos
from fruitvision.data.read.store import Progress, open_folder, open_unlabelled
from fruitvision.errors import ConfigError
from fruitvision.recognition.evaluate.left_out import read_study
from fruitvision.runs.config import RunConfig, split_names
from fruitvision.training.config import TrainConfig

SOURCES_VALIDATION, PHOTO_VALIDATION = 0.12, 0.05
"""The fraction of all source pictures for validation: as whole sources, or single pictures of each."""
MIN_SOURCES = 4
"""With at least this many sources, whole sources are used."""


class SourcePictures(NamedTuple):
    """Pictures of one source in an image store: rows (N,), paths and the names of their kinds."""

    store: ImageStore
    rows: np.ndarray
    paths: tuple[str, ...]
    names: tuple[str, ...]

    def select(self, wanted: Callable[[str, str], bool]) -> SourcePictures:
        """Those whose (path, kind) is ``wanted``."""
        chosen = [i for i, (path, name) in enumerate(zip(self.paths, self.names, strict=True)) if wanted(path, name)]
        return SourcePictures(self.store, self.rows[chosen], tuple(self.paths[i] for i in chosen), tuple(self.names[i] for i in chosen))


class LabelledRows(NamedTuple):
    """Rows (N,) of an image store, and the name of the kind of each."""

    rows: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ExtraSource:
    """A source used in addition to the dataset: photos labelled by type, or pictures without fruit.

    The source's ``heldout`` fifth is in neither part.
    """

    source: str
    store: ImageStore
    train: LabelledRows
    validation: LabelledRows


def find_sources(config: RunConfig) -> tuple[tuple[PhotoSource, ...], tuple[PhotoSource, ...]]:
    """The sources of photos, and those of pictures without fruit; sources to be left out are among them.

    Raises DataError, and ConfigError for sources that this run could not use.
    """
    photos = tuple(source for folder in config.photos for source in photo_sources(Path(folder)))
    negatives = tuple(source for folder in config.not_fruit for source in negative_sources(Path(folder)))
    check_left_out((*photos, *negatives), config.leave_out)
    trainable_pictures(config.training, (*photos, *negatives))
    if config.study:
        read_study(Path(config.study))
    if config.training.augmentation != "scenes" and (config.photos or config.not_fruit):
        raise ConfigError("photos-need-scenes", augmentation=config.training.augmentation, preset=config.training.preset)
    return photos, negatives


def open_source(source: PhotoSource, photo: bool, progress: Progress | None = None) -> SourcePictures:
    """All pictures of a source of photos, or of one of pictures without fruit.

    The kinds of photos are the top-level folders, whatever subfolders they have.
    """
    if photo:
        names, split, store, _ = open_folder(list_pictures(source.root, need_training=False, depth=1), progress=progress)
        return SourcePictures(store, split.rows, tuple(split.paths), tuple(names[label] for label in split.labels))
    store = open_unlabelled(source.root, progress=progress)
    rows = np.arange(len(store.paths))
    return SourcePictures(store, rows, tuple(store.paths), (NOT_FRUIT,) * len(rows))


def trainable_pictures(config: TrainConfig, sources: Sequence[PhotoSource]) -> Callable[[PhotoSource, SourcePictures], SourcePictures]:
    """A function that removes the ``heldout`` fifth of a source's pictures, if the source has one.

    Raises ConfigError if ``heldout_of`` names a source that is not among ``sources``.
    """
    keeping = check_left_out(sources, split_names(config.heldout_of)) or {source.name for source in sources}
    return lambda source, pictures: pictures.select(lambda path, name: not held_out(path)) if source.name in keeping else pictures


def known_kinds(
    classes: Sequence[str], opened: Iterable[tuple[PhotoSource, SourcePictures]], config: TrainConfig
) -> tuple[set[str], tuple[str, ...]]:
    """The folder names of the photos that are used for training, and a log line for each kind with too few photos.

    A kind is used if the dataset has it or if there are enough photos of it. Sources to be left out count too, so that a
    network trained without a source still has the same classes.
    """
    labelled = [(name, source.name) for source, pictures in opened for name in pictures.names]
    types, sources = [fruit_type(name) for name, _ in labelled], [source for _, source in labelled]
    known = {*classes, *map(fruit_type, classes), NOT_FRUIT} | with_enough_photos(types, sources, config.kind_pictures, config.kind_sources)
    kinds = {name for name, _ in labelled if name in known or fruit_type(name) in known}
    lacking = sorted({kind for kind in types if kind not in known})
    return kinds, tuple(
        f"{kind} ({types.count(kind)} photos of {len({s for t, s in zip(types, sources, strict=True) if t == kind})} sources)"
        for kind in lacking
    )


def split_sources(parts: Sequence[tuple[PhotoSource, SourcePictures]], config: TrainConfig) -> tuple[ExtraSource, ...]:
    """Divide each source's pictures into training and validation."""
    kept = _validation_sources(parts, config)
    return tuple(_split(source, pictures, kept, config.seed) for source, pictures in parts)


def _validation_sources(parts: Sequence[tuple[PhotoSource, SourcePictures]], config: TrainConfig) -> set[str] | None:
    """The sources that are used for validation, about ``SOURCES_VALIDATION`` of all pictures; None to use some pictures of each source."""
    sizes: dict[str, int] = {}
    for source, pictures in parts:
        sizes[source.name] = sizes.get(source.name, 0) + len(pictures.rows)
    if config.photo_validation == "pictures" or len(sizes) < MIN_SOURCES:
        return None
    wanted, kept = SOURCES_VALIDATION * sum(sizes.values()), set()
    for name in sorted(sizes, key=lambda name: hashlib.sha256(f"{config.seed}:{name}".encode()).digest()):
        if sizes[name] <= wanted:  # a source with more pictures than still needed is skipped in favour of smaller ones
            kept.add(name)
            wanted -= sizes[name]
    return kept


def _split(source: PhotoSource, pictures: SourcePictures, kept: set[str] | None, seed: int) -> ExtraSource:
    count = len(pictures.rows)
    if kept is None:
        order = sorted(range(count), key=lambda i: hashlib.sha256(f"{seed}:{pictures.paths[i]}".encode()).digest())
        # A fraction of all pictures, not of each kind, since most kinds have too few.
        validates = np.zeros(count, bool)
        validates[order[: round(PHOTO_VALIDATION * count)]] = True
    else:
        validates = np.full(count, source.name in kept)

    def part(chosen: np.ndarray) -> LabelledRows:
        return LabelledRows(pictures.rows[chosen], tuple(pictures.names[i] for i in chosen))

    return ExtraSource(source.name, pictures.store, part(np.flatnonzero(~validates)), part(np.flatnonzero(validates)))
