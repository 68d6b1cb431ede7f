"""Sources of photos: a folder of class folders is one source, and a folder of such folders is several.

Pictures of one source resemble each other: one kitchen, one camera, one person. Balancing, validation and evaluation are therefore
done by source. A source of photos and a source of pictures without fruit with the same name are one source.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fruitvision.data.fruits import is_known_type
from fruitvision.data.read.layouts.names import looks_like_picture
from fruitvision.data.read.layouts.splits import has_splits
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import ConfigError, DataError, printable


@dataclass(frozen=True)
class PhotoSource:
    """One source: its name, and the folder of its pictures."""

    name: str
    root: Path


def photo_sources(folder: Path) -> tuple[PhotoSource, ...]:
    """The sources in a folder of classes, ``<class>/*.jpg`` (that one), or of sources, ``<source>/<class>/*.jpg``, by name.

    Folders of folders are sources, unless they are the splits of one dataset or most are named after fruit types. Raises DataError if
    there is no such folder, if it holds no pictures, or if some of its folders are classes and others are sources.
    """
    inside = _folders(folder)
    deep = [entry for entry in inside if not _has_pictures(entry) and any(map(_has_pictures, _folders(entry)))]
    kinds = sum(is_known_type(entry.name) for entry in deep)
    if not deep or has_splits(folder) or 2 * kinds > len(deep):
        list_pictures(folder, need_training=False)  # raises the error
        return (PhotoSource(folder.name, folder),)
    if flat := [entry for entry in inside if _has_pictures(entry)]:
        raise DataError("mixed-sources", folder=str(folder), flat=printable(flat[0].name), deep=printable(deep[0].name))
    return tuple(PhotoSource(entry.name, entry) for entry in deep)


def negative_sources(folder: Path) -> tuple[PhotoSource, ...]:
    """The sources of pictures without fruit: the folder itself if it directly holds pictures, else each of its subfolders.

    Raises DataError if there is no such folder.
    """
    if not folder.is_dir():
        list_pictures(folder)  # raises the error
    inside = _folders(folder)
    if _has_pictures(folder) or not inside:
        return (PhotoSource(folder.name, folder),)
    return tuple(PhotoSource(entry.name, entry) for entry in inside if _has_pictures(entry, below=True))


CREDITS_NAME, MAX_CREDITS = "sources.csv", 1000


def read_credits(folder: Path) -> list[dict[str, str]]:
    """The credits of each source, from ``sources.csv`` in a folder of sources: source, repository, licence.

    Columns are matched by the beginning of their names; empty if there is no such file or it has other columns.
    """
    try:
        with (folder / CREDITS_NAME).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []
    found = []
    for row in rows[:MAX_CREDITS]:
        own = {
            wanted: next((str(value or "").strip()[:200] for name, value in row.items() if name and name.lower().startswith(wanted)), "")
            for wanted in ("source", "repository", "licence")
        }
        if own["source"] and own["licence"]:
            found.append(own)
    return found


def check_left_out(sources: Iterable[PhotoSource], names: Sequence[str]) -> set[str]:
    """The names of the sources to leave out, as a set. Raises ConfigError for a name that is not a source's."""
    known = sorted({source.name for source in sources})
    if missing := [name for name in names if name not in known]:
        raise ConfigError("unknown-photo-source", name=missing[0], known=", ".join(known) or "–")
    return set(names)


def sampling_weights(kinds: Sequence[str], sources: Sequence[str], by_kind: float, by_source: float) -> np.ndarray:
    """(N,) sampling weights of N photos, 1 on average: larger for rare classes and small sources.

    The n pictures of one class in one source have a total weight of n ** (1 - by_source), and a class whose sources have a total
    weight of m has a weight of m ** (1 - by_kind): 0 weights all pictures equally; 1 all sources of a class, and all classes.
    """
    if not len(kinds):
        return np.zeros(0)
    kind = np.unique(np.asarray(kinds, object).astype(str), return_inverse=True)[1]
    cell = np.unique([f"{own}\0{source}" for own, source in zip(kinds, sources, strict=True)], return_inverse=True)[1]
    often = np.bincount(cell).astype(float)[cell] ** -by_source
    often *= np.bincount(kind, often)[kind] ** -by_kind
    return often / often.mean()


def with_enough_photos(kinds: Sequence[str], sources: Sequence[str], pictures: int, from_sources: int) -> set[str]:
    """The classes with at least ``pictures`` photos from at least ``from_sources`` sources; all classes if there are fewer sources."""
    all_sources = len(set(sources))
    count: dict[str, int] = {}
    seen: dict[str, set[str]] = {}
    for kind, source in zip(kinds, sources, strict=True):
        count[kind] = count.get(kind, 0) + 1
        seen.setdefault(kind, set()).add(source)
    if all_sources < from_sources:
        return set(count)
    return {kind for kind in count if count[kind] >= pictures and len(seen[kind]) >= from_sources}


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _has_pictures(folder: Path, below: bool = False) -> bool:
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".")]
    if any(entry.is_file() and looks_like_picture(entry.name) for entry in found):
        return True
    return below and any(_has_pictures(Path(entry.path), below=True) for entry in found if entry.is_dir())
