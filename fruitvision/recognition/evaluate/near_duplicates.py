"""Exact and near-duplicates among the pictures.

Each picture is reduced to 12 × 12 RGB cells, and two are compared by the root mean square difference of these. Copies that were
resaved or downsized differ by 1 to 2 of 255 levels; in Fruits-360 a frame and the next one of its video by 2 to 6, and the two
most similar frames of different classes by 12.7. Photos of a grocery shop differ by 17 or more, except for a few of the same
shelf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from fruitvision.data.read.image_store import ImageStore
from fruitvision.recognition.evaluate.evaluation import Evaluation

CELLS = 12
MAX_DIFFERENCE = 8.0
"""Pictures that differ by at most this, in levels of 0..255, are near-duplicates."""
CHUNK = 512


@dataclass(frozen=True)
class Duplicate:
    """Two rows of the store; the first was scored."""

    row: int
    other: int
    difference: float
    """In levels of 0..255; 0 if the files are identical."""
    same_file: bool


@dataclass(frozen=True)
class Duplicates:
    """Near-duplicates of scored pictures, each with its nearest, by increasing difference; every pair once."""

    copies: tuple[Duplicate, ...]
    """Identical files in the same class and split."""
    other_name: tuple[Duplicate, ...]
    """In different classes: one of the two labels is wrong."""
    other_place: tuple[Duplicate, ...]
    """In the same class and different splits: a scored picture was also trained on."""
    measured: int
    """The number of scored pictures with a near-duplicate in another split."""


def find_duplicates(evaluation: Evaluation) -> Duplicates:
    """Compare every scored picture with every picture of its folder, other splits included.

    For N scored of M pictures these are N × M comparisons of 432 numbers, with M small pictures in memory.
    """
    pictures = evaluation.pictures
    known = np.array([row for row, folder in enumerate(pictures.folders) if folder], np.int64)
    cells = thumbnails(pictures.store, known)
    folders, splits = (np.unique(names, return_inverse=True)[1] for names in (_at(pictures.folders, known), _at(pictures.splits, known)))
    files = np.unique(_at(pictures.store.hashes, known), return_inverse=True)[1]
    at = np.searchsorted(known, evaluation.rows)
    found: dict[str, dict[tuple[int, int], Duplicate]] = {"copies": {}, "other_name": {}, "other_place": {}}
    measured = 0
    for start in range(0, len(at), CHUNK):
        chunk = at[start : start + CHUNK]
        differences = _differences(cells[chunk], cells)
        same_file = files[chunk][:, None] == files
        same_name, same_split = folders[chunk][:, None] == folders, splits[chunk][:, None] == splits
        differences[same_file] = 0
        differences[np.arange(len(chunk)), chunk] = np.inf
        wanted = {"copies": same_file & same_name & same_split, "other_name": ~same_name, "other_place": same_name & ~same_split}
        for kind, allowed in wanted.items():
            nearest = np.where(allowed, differences, np.inf)
            best = nearest.argmin(axis=1)
            for i, j in enumerate(best.tolist()):
                difference = float(nearest[i, j])
                if difference <= MAX_DIFFERENCE:
                    measured += kind == "other_place"
                    one, other = int(known[chunk[i]]), int(known[j])
                    duplicate = Duplicate(one, other, difference, bool(same_file[i, j]))
                    found[kind].setdefault((min(one, other), max(one, other)), duplicate)
    ordered = {kind: tuple(sorted(pairs.values(), key=lambda t: (t.difference, t.row))) for kind, pairs in found.items()}
    return Duplicates(**ordered, measured=measured)


def thumbnails(store: ImageStore, rows: np.ndarray) -> np.ndarray:
    """(len(rows), 432) float32: each picture as 12 × 12 cells of three colours, 0..255."""
    cells = np.empty((len(rows), CELLS * CELLS * 3), np.float32)
    for place, row in enumerate(rows.tolist()):
        small = Image.fromarray(store[row]).resize((CELLS, CELLS), Image.Resampling.BOX)
        cells[place] = np.asarray(small, np.float32).ravel()
    return cells


def _differences(some: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(len(some), M): the root of the mean squared difference."""
    squares = (some**2).sum(axis=1)[:, None] + (cells**2).sum(axis=1) - 2 * some @ cells.T
    return np.sqrt(np.maximum(squares, 0) / cells.shape[1])


def _at(values: tuple[str, ...] | list[str], rows: np.ndarray) -> np.ndarray:
    return np.array([values[row] for row in rows.tolist()])
