"""A labelled folder opened to be scored: which pictures, under which names, and what else lies beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fruitvision.data.read.dataset import Split, held_out
from fruitvision.data.read.store import ImageStore, open_dataset, open_folder, open_loose
from fruitvision.errors import UsageError


@dataclass(frozen=True, eq=False)
class Labelled:
    """The pictures to be scored, and of every picture of the folder where it lies."""

    names: tuple[str, ...]
    """The folders of pictures."""
    labels: np.ndarray
    """(N,) positions in ``names``"""
    rows: np.ndarray
    """(N,) positions in ``store``"""
    store: ImageStore
    problems: int
    """Files that the scan left out or warned of."""
    folders: tuple[str, ...]
    """(M,) of each row of the store, scored or not, the folder that names it; "" where it belongs to none."""
    places: tuple[str, ...]
    """(M,) its split: "train", "test", the folder above, "heldout" or "rest"; "" where there are no splits."""


def open_labelled(root: Path, split: str | None, seed: int = 0) -> Labelled:
    """Open ``split`` of a folder: None or "all", "heldout", or the name of a dataset's own. Raises DataError, UsageError."""
    if split in (None, "all", "heldout"):
        names, everything, store, problems = open_folder(root)
        kept = np.ones(len(everything), bool)
        places = [path.partition(f"{names[label]}/")[0].strip("/") for path, label in zip(everything.paths, everything.labels, strict=True)]
        if split == "heldout":
            kept = np.array([held_out(path) for path in everything.paths], bool)
            places = ["heldout" if chosen else "rest" for chosen in kept]
        return _opened(names, everything.select(kept), store, len(problems), [(everything, places)])
    dataset, store = open_dataset(root, seed=seed)
    chosen = _named_split(dataset.splits, split, root)
    parts = [(part, [name] * len(part)) for name, part in dataset.splits.items()]
    return _opened(dataset.classes, chosen, store, len(dataset.problems), parts)


def open_negatives(root: Path, heldout: bool) -> tuple[ImageStore, np.ndarray]:
    """The store of every picture in a folder or anywhere below it, and the rows to be scored."""
    store = open_loose(root)
    kept = [row for row, path in enumerate(store.paths) if held_out(path) or not heldout]
    return store, np.array(kept, np.int64)


def few(names: tuple[str, ...]) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(names[:5]) + (f", … (+{len(names) - 5})" if len(names) > 5 else "")


def _opened(names: tuple[str, ...], chosen: Split, store: ImageStore, problems: int, parts: list[tuple[Split, list[str]]]) -> Labelled:
    folders, places = [""] * len(store), [""] * len(store)
    for part, where in parts:
        for row, label, place in zip(part.rows.tolist(), part.labels.tolist(), where, strict=True):
            folders[row], places[row] = names[label], place
    return Labelled(names, chosen.labels, chosen.rows, store, problems, tuple(folders), tuple(places))


def _named_split(splits: dict[str, Split], name: str, root: Path) -> Split:
    if name not in splits:
        names = ", ".join([*splits, "heldout", "all"])
        raise UsageError("unknown-split", name=name, names=names, folder=str(root))
    return splits[name]
