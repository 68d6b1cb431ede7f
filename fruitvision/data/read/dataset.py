"""A dataset: its classes, splits and problems, and how they are derived from the files of a folder.

Nothing is decoded here: ``list_pictures`` finds the files and the layout, ``store.py`` decodes them, and ``assemble`` combines the two.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fruitvision.data.fruits import MAX_CLASSES, MAX_NAME
from fruitvision.data.read.layouts.found import Listing, Note, PictureEntry
from fruitvision.errors import DataError, Fault, printable
from fruitvision.wording.text import abbreviate, say_fault

FEW = 2
"""At most this many training pictures of a class are too few."""
TEST_FRACTION = 0.2
"""The fraction of each class that is held out for testing if a folder has neither test nor validation pictures."""
SYNTHETIC_MARKER = "synthetic.json"
"""The file that marks a drawn sample set."""


@dataclass(frozen=True)
class Problem:
    """A problem with a picture or a class folder.

    Attributes:
        path: the file or class folder, relative to the dataset's root, with forward slashes.
        kind: of a file that was left out: "empty", "not-an-image", "damaged", "too-large", "unreadable",
            "heic", "avif" (no installed package reads it), "jpeg-xl", "encoding", "too-many-parts", "too-slow",
            "bad-name", "outside-class". Of a file that was kept: "duplicate-across-splits". Of a class
            folder: "class-copied", "class-without-pictures", "class-not-in-training" (left out).
        fault: what is wrong, as a code with facts for ``wording.text.say_fault``.
    """

    path: str
    kind: str
    fault: Mapping[str, Any]

    @property
    def detail(self) -> str:
        """The fault as one English sentence, for a terminal."""
        return say_fault(self.fault, "en")


@dataclass(frozen=True, eq=False)
class Split:
    """The pictures of one split, sorted by path.

    Attributes:
        paths: relative to the dataset's root, with forward slashes.
        labels: (N,) int64, positions in the dataset's classes.
        rows: (N,) int64, positions in the ``ImageStore``.
    """

    name: str
    paths: tuple[str, ...]
    labels: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, chosen: np.ndarray, name: str | None = None) -> Split:
        """The pictures where ``chosen``, (N,) bool, is true, in the same order."""
        kept = np.flatnonzero(chosen)
        paths = tuple(self.paths[i] for i in kept)
        return Split(name or self.name, paths, self.labels[kept], self.rows[kept])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A folder of pictures that can be trained on.

    Attributes:
        root: the folder with the splits or the classes; it may be below the folder that was opened.
        layout: "fruits-360", "fruits-360-original-size", "split-folders", "class-folders", "labelled-pictures" (by a table or
            another label file) or "cut-boxes".
        classes: in sorted order; labels are positions in it.
        splits: "train" always; "val" and "test" where they exist.
        fingerprint: sha256 over the relative path and the content of every picture used.
        synthetic: whether the pictures were drawn by ``data/synthetic/sample.py``.
        notes: how the folder was interpreted, and what it has too few pictures for.
    """

    root: Path
    name: str
    layout: str
    classes: tuple[str, ...]
    splits: dict[str, Split]
    problems: tuple[Problem, ...]
    fingerprint: str
    synthetic: bool
    notes: tuple[Note, ...] = ()

    def counts(self) -> dict[str, dict[str, int]]:
        """The number of pictures by split and class, 0 included."""
        counts = {}
        for name, split in self.splits.items():
            per_class = np.bincount(split.labels, minlength=len(self.classes)).tolist()
            counts[name] = dict(zip(self.classes, per_class, strict=True))
        return counts


def hold_out(split: Split, fraction: float, seed: int, *, name: str = "val", keys: Sequence[str] | None = None) -> tuple[Split, Split]:
    """Hold out ``fraction`` of every class: returns (the remaining split, the held-out split).

    The choice depends only on ``seed`` and each picture's relative path: it is the same on every platform and for any order of files,
    and a picture added later changes it for few others. Each part gets at least one picture of every class that has two or more.

    Args:
        keys: one string per picture, in place of its path. Pictures with equal keys stay together, so that content hashes keep copies
        of a picture in the same part.
    """
    if not 0 <= fraction < 1:
        raise DataError("bad-fraction", fraction=fraction)
    keys = split.paths if keys is None else keys
    ranks = {key: hashlib.sha256(f"{seed}:{key}".encode()).digest() for key in set(keys)}
    taken = np.zeros(len(split), dtype=bool)
    for label in np.unique(split.labels) if fraction > 0 else ():
        groups: dict[str, list[int]] = defaultdict(list)
        for i in np.flatnonzero(split.labels == label).tolist():
            groups[keys[i]].append(i)
        total = sum(len(group) for group in groups.values())
        wanted = max(1, round(total * fraction))
        count = 0
        for key in sorted(groups, key=ranks.__getitem__)[: len(groups) - 1]:
            if count >= wanted:
                break
            taken[groups[key]] = True
            count += len(groups[key])
    return split.select(~taken), split.select(taken, name)


def held_out(path: str) -> bool:
    """Whether a file of a photo folder belongs to its ``heldout`` split: about a fifth, determined by the file name alone.

    It is used for reported results only, never for training, model selection or calibration.
    """
    return int(hashlib.sha256(PurePosixPath(path).name.encode("utf-8")).hexdigest(), 16) % 5 == 0


def assemble(
    listing: Listing,
    rows: Mapping[str, int],
    hashes: Sequence[str],
    problems: Sequence[Problem],
    *,
    seed: int = 0,
    test_fraction: float = TEST_FRACTION,
) -> Dataset:
    """The dataset of all files that could be decoded.

    Args:
        rows: the store row of each decoded picture, by relative path.
        hashes: the SHA-256 of each row's file.
        problems: those found by listing and decoding.

    Raises:
        DataError: fewer than two classes have a training picture.
    """
    problems = list(problems)
    train = [file for file in listing.files if file.split == "train"]
    classes = tuple(sorted({file.folder for file in train if file.path in rows}))
    problems += _check_classes(listing, classes, rows)
    label_of = {name: label for label, name in enumerate(classes)}
    splits = {}
    for name in ("train", "val", "test"):
        files = [file for file in listing.files if file.split == name and file.path in rows and file.folder in label_of]
        if files or name == "train":
            splits[name] = make_split(name, files, rows, label_of)
    few = _few_pictures(classes, splits["train"])
    if all(file.split == "train" for file in listing.files):
        keys = [hashes[int(row)] for row in splits["train"].rows]
        train_split, test_split = hold_out(splits["train"], test_fraction, seed, name="test", keys=keys)
        splits = {"train": train_split, "test": test_split} if len(test_split) else {"train": train_split}
    problems += _find_copies(splits, classes, hashes, listing.split_folders["train"])
    used = sorted((path, hashes[int(row)]) for split in splits.values() for path, row in zip(split.paths, split.rows, strict=True))
    fingerprint = hashlib.sha256("".join(f"{path}\0{content}\n" for path, content in used).encode())
    return Dataset(
        root=listing.root,
        name=printable(listing.root.name),
        layout=listing.layout,
        classes=classes,
        splits=splits,
        problems=tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind))),
        fingerprint=fingerprint.hexdigest(),
        synthetic=(listing.root / SYNTHETIC_MARKER).is_file(),
        notes=(*listing.notes, *few, *_missing_splits(splits)),
    )


def _few_pictures(classes: tuple[str, ...], train: Split) -> list[Note]:
    counts = np.bincount(train.labels, minlength=len(classes))
    few = [f"{name} ({count})" for name, count in zip(classes, counts.tolist(), strict=True) if count <= FEW]
    return [Note("few-pictures", {"classes": abbreviate(few), "count": len(few)})] if few else []


def _missing_splits(splits: Mapping[str, Split]) -> list[Note]:
    """A note for each split that is missing because no class has a picture to spare for validation or testing."""
    if "val" in splits:
        return []
    spare = np.bincount(splits["train"].labels).max(initial=0) > 1
    return ([] if spare else [Note("no-validation")]) + ([] if "test" in splits else [Note("no-test")])


def make_split(name: str, files: Sequence[PictureEntry], rows: Mapping[str, int], label_of: Mapping[str, int]) -> Split:
    """A ``Split`` of files, all of which are in the store and have a label."""
    return Split(
        name=name,
        paths=tuple(file.path for file in files),
        labels=np.array([label_of[file.folder] for file in files], dtype=np.int64),
        rows=np.array([rows[file.path] for file in files], dtype=np.int64),
    )


def refuse_classes(listing: Listing, classes: Sequence[str] | None = None) -> None:
    """Raise DataError "one-class" or "one-label" where fewer than two classes have a training picture, or as :func:`refuse_large_classes`.

    Args:
        classes: the classes with a training picture; by default those with a training file, decodable or not.
    """
    if classes is None:
        classes = sorted({file.folder for file in listing.files if file.split == "train"})
    folder = str(listing.root)
    refuse_large_classes(folder, classes)
    if len(classes) >= 2:
        return
    listed = ", ".join(classes) or "–"
    if labels := next((note for note in listing.notes if note.code == "labels-read"), None):
        raise DataError("one-label", folder=folder, classes=listed, file=labels.facts["file"])
    raise DataError("one-class", folder=folder, classes=listed)


def refuse_large_classes(folder: str, classes: Sequence[str]) -> None:
    """Raise DataError "too-many-classes" or "class-name-long" for classes that no checkpoint may have."""
    if len(classes) > MAX_CLASSES:
        raise DataError("too-many-classes", folder=folder, classes=len(classes), most=MAX_CLASSES)
    if (longest := max(classes, key=len, default="")) and len(longest) > MAX_NAME:
        raise DataError("class-name-long", folder=folder, name=longest[:60], letters=len(longest), most=MAX_NAME)


def _check_classes(listing: Listing, classes: tuple[str, ...], rows: Mapping[str, int]) -> list[Problem]:
    if not rows:
        raise DataError("no-pictures", folder=str(listing.root))
    refuse_classes(listing, classes)
    problems = []
    found: dict[tuple[str, str], int] = Counter()
    for file in listing.files:
        found[file.split, file.folder] += 1
    prefix = listing.split_folders
    for split, folder in sorted({*found, *listing.empty_folders}):
        path = f"{prefix[split]}/{folder}" if prefix.get(split) else folder
        if split == "train" and folder not in classes:
            problems.append(Problem(path, "class-without-pictures", Fault("class-without-pictures").as_dict()))
        elif folder not in classes:
            fault = Fault("class-not-in-training", folder=folder, files=found[split, folder])
            problems.append(Problem(path, "class-not-in-training", fault.as_dict()))
    return problems


def _find_copies(splits: Mapping[str, Split], classes: tuple[str, ...], hashes: Sequence[str], train_folder: str) -> list[Problem]:
    """Problems for identical files in more than one split; a single one for a class that was copied as a whole."""
    train = splits["train"]
    others = [split for name, split in splits.items() if name != "train"]
    first_with: dict[str, str] = {}
    for path, row in zip(train.paths, train.rows, strict=True):
        first_with.setdefault(hashes[int(row)], path)
    kept_for_testing = {hashes[int(row)] for split in others for row in split.rows}
    problems = []
    of_class: dict[int, set[str]] = defaultdict(set)
    for label, row in zip(train.labels.tolist(), train.rows, strict=True):
        of_class[label].add(hashes[int(row)])
    whole = {label for label, contents in of_class.items() if contents <= kept_for_testing}
    for label in sorted(whole):
        count = int((train.labels == label).sum())
        folder = f"{train_folder}/{classes[label]}" if train_folder else classes[label]
        problems.append(Problem(folder, "class-copied", Fault("class-copied", count=count, name=classes[label]).as_dict()))
    copied = set().union(*(of_class[label] for label in whole))
    for split in others:
        problems += [
            Problem(path, "duplicate-across-splits", Fault("same-picture", path=first_with[hashes[int(row)]]).as_dict())
            for path, row in zip(split.paths, split.rows, strict=True)
            if hashes[int(row)] in first_with and hashes[int(row)] not in copied
        ]
    return problems


def as_one_split(listing: Listing, rows: Mapping[str, int]) -> tuple[tuple[str, ...], Split]:
    """All decoded pictures of any split, labelled by folder: (names, split)."""
    files = [file for file in listing.files if file.path in rows]
    names = tuple(sorted({file.folder for file in files}))
    split = make_split("all", files, rows, {name: label for label, name in enumerate(names)})
    return names, replace(split, name="all")
