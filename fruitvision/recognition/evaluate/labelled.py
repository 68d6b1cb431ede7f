"""Opening a labelled folder for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fruitvision.data.read.dataset import Split, held_out
from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.layouts.found import Listing
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.rgb import SHORT_SIDE
from fruitvision.data.read.store import open_dataset, open_folder, open_unlabelled
from fruitvision.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelledFolder:
    """The pictures to score, and the class folder and split of every picture in the store."""

    names: tuple[str, ...]
    """The class folders."""
    labels: np.ndarray
    """(N,) positions in ``names``"""
    rows: np.ndarray
    """(N,) positions in ``store``"""
    store: ImageStore
    problems: int
    """The number of problems found by the scan."""
    folders: tuple[str, ...]
    """(M,) the class folder of each row of the store, scored or not; "" if it has none."""
    splits: tuple[str, ...]
    """(M,) the split of each row: "train", "test", the folder above, "heldout" or "rest"; "" if there are no splits."""


def open_labelled(root: Path | Listing, split: str | None, seed: int = 0, short_side: int = SHORT_SIDE) -> LabelledFolder:
    """Open ``split`` of a folder: None or "all", "heldout", or the name of a dataset's own. Raises DataError, UsageError.

    short_side: of the pictures in the store, in pixels.
    """
    if split in (None, "all", "heldout"):
        listing = root if isinstance(root, Listing) else list_pictures(root, need_training=False)
        names, everything, store, problems = open_folder(listing, short_side=short_side)
        kept = np.ones(len(everything), bool)
        split_of = {file.path: listing.split_folders[file.split] for file in listing.files}
        splits = [split_of[path] for path in everything.paths]
        if split == "heldout":
            kept = np.array([held_out(path) for path in everything.paths], bool)
            splits = ["heldout" if chosen else "rest" for chosen in kept]
        return _opened(names, everything.select(kept), store, len(problems), [(everything, splits)])
    dataset, store = open_dataset(root, short_side=short_side, seed=seed)
    chosen = _named_split(dataset.splits, split, dataset.root)
    parts = [(part, [name] * len(part)) for name, part in dataset.splits.items()]
    return _opened(dataset.classes, chosen, store, len(dataset.problems), parts)


def open_negatives(root: Path, heldout: bool, short_side: int = SHORT_SIDE) -> tuple[ImageStore, np.ndarray]:
    """The store of every picture in a folder and its subfolders, and the rows to be scored."""
    store = open_unlabelled(root, short_side=short_side)
    kept = [row for row, path in enumerate(store.paths) if held_out(path) or not heldout]
    return store, np.array(kept, np.int64)


def _opened(
    names: tuple[str, ...], chosen: Split, store: ImageStore, problems: int, parts: list[tuple[Split, list[str]]]
) -> LabelledFolder:
    folders, splits = [""] * len(store), [""] * len(store)
    for part, part_splits in parts:
        for row, label, split in zip(part.rows.tolist(), part.labels.tolist(), part_splits, strict=True):
            folders[row], splits[row] = names[label], split
    return LabelledFolder(names, chosen.labels, chosen.rows, store, problems, tuple(folders), tuple(splits))


def _named_split(splits: dict[str, Split], name: str, root: Path) -> Split:
    if name not in splits:
        names = ", ".join([*splits, "heldout", "all"])
        raise UsageError("unknown-split", name=name, names=names, folder=str(root))
    return splits[name]
