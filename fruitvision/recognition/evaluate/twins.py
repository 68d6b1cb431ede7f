"""Pictures that are in the data twice: byte for byte, or so alike that they show the same thing.

Each picture is reduced to 12 × 12 coloured cells, and two are compared by the root of the mean squared difference of
these. Copies that were saved again or made smaller differ by one or two of 255 levels; in Fruits-360 a frame and the next
one of its film by two to six, and the two frames of different classes that are most alike by 12.7. The photographs of a
grocery shop differ by 17 and more, but for a few shots of the same shelf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from fruitvision.data.read.image_store import ImageStore
from fruitvision.recognition.evaluate.evaluation import Examination

CELLS = 12
ALIKE = 8.0
"""Levels of 0..255: pictures that differ less are twins."""
CHUNK = 512


@dataclass(frozen=True)
class Twin:
    """Two rows of the store; the first one was scored."""

    row: int
    other: int
    difference: float
    """Levels of 0..255; 0 where the files are the same byte for byte."""
    same_file: bool


@dataclass(frozen=True)
class Twins:
    """Twins of scored pictures, each with its nearest, those most alike first; every pair once."""

    copies: tuple[Twin, ...]
    """The same file twice under one name, in one place."""
    other_name: tuple[Twin, ...]
    """Under different names: one of the two is wrong."""
    other_place: tuple[Twin, ...]
    """In different splits, under one name: what was measured was seen in training."""
    measured: int
    """Scored pictures, each counted once, that have a twin in another split."""


def find_twins(examination: Examination) -> Twins:
    """Compare every scored picture with every picture of its folder, other splits included.

    For N scored of M pictures that is N × M comparisons of 432 numbers, and M small pictures in memory.
    """
    pictures = examination.pictures
    known = np.array([row for row, folder in enumerate(pictures.folders) if folder], np.int64)
    cells = thumbnails(pictures.store, known)
    folders, places = (np.unique(names, return_inverse=True)[1] for names in (_at(pictures.folders, known), _at(pictures.places, known)))
    files = np.unique(_at(pictures.store.hashes, known), return_inverse=True)[1]
    at = np.searchsorted(known, examination.rows)
    found: dict[str, dict[tuple[int, int], Twin]] = {"copies": {}, "other_name": {}, "other_place": {}}
    measured = 0
    for start in range(0, len(at), CHUNK):
        chunk = at[start : start + CHUNK]
        differences = _differences(cells[chunk], cells)
        same_file = files[chunk][:, None] == files
        same_name, same_place = folders[chunk][:, None] == folders, places[chunk][:, None] == places
        differences[same_file] = 0
        differences[np.arange(len(chunk)), chunk] = np.inf
        wanted = {"copies": same_file & same_name & same_place, "other_name": ~same_name, "other_place": same_name & ~same_place}
        for kind, allowed in wanted.items():
            nearest = np.where(allowed, differences, np.inf)
            best = nearest.argmin(axis=1)
            for i, j in enumerate(best.tolist()):
                difference = float(nearest[i, j])
                if difference <= ALIKE:
                    measured += kind == "other_place"
                    one, other = int(known[chunk[i]]), int(known[j])
                    twin = Twin(one, other, difference, bool(same_file[i, j]))
                    found[kind].setdefault((min(one, other), max(one, other)), twin)
    ordered = {kind: tuple(sorted(twins.values(), key=lambda t: (t.difference, t.row))) for kind, twins in found.items()}
    return Twins(**ordered, measured=measured)


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
