"""Find the splits of a dataset: in the given folder, or a few levels below it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fruitvision.data.read.layouts.names import LABEL_FOLDERS, PICTURE_FOLDERS, looks_like_picture, normalized_name, split_of
from fruitvision.data.read.layouts.scan import files, folders
from fruitvision.errors import DataError

_MARK = re.compile(r"[ ._-]+")
_LEVELS_DOWN = 3  # how many levels below the given folder the dataset may be


def find_root(given: Path) -> tuple[Path, dict[str, str]]:
    """The folder that holds the splits, and the folder of each; without splits, the folder of class folders and an empty dictionary."""
    splits = splits_in(given)
    if splits:
        return given, splits
    level, found = [given], []
    for _ in range(_LEVELS_DOWN):
        level = [folder / entry.name for folder in level for entry in folders(folder)]
        found = [(folder, splits) for folder in level if "train" in (splits := splits_in(folder))]
        if found:
            break
    if len(found) > 1:
        names = ", ".join(sorted(folder.relative_to(given).as_posix() for folder, _ in found))
        raise DataError("several-datasets", folder=str(given), datasets=names)
    if found:
        return found[0]
    folder = given
    for _ in range(_LEVELS_DOWN):  # an archive that was unpacked into a folder of the same name, once or twice
        inside = list(folders(folder))
        if len(inside) != 1 or files(folder) or not any(folders(folder / inside[0].name)):
            break
        folder /= inside[0].name
        if splits := splits_in(folder):
            return folder, splits
    return folder, {}


def splits_in(folder: Path) -> dict[str, str]:
    """{split: folder name} of the subfolders that are named after a split and hold folders other than ``images`` and ``labels``.

    Beside a training folder, a split with only pictures counts as well, so that these are reported.
    """
    splits: dict[str, str] = {}
    flat: dict[str, str] = {}
    inside = list(folders(folder))
    named = _named_splits([entry.name for entry in inside])
    for entry in inside:
        split = named.get(entry.name)
        if split is None:
            continue
        if not _holds_class_folders(folder / entry.name, split):
            flat[split] = entry.name
            continue
        if split in splits:
            names = f"{splits[split]}, {entry.name}"
            raise DataError("several-datasets", folder=str(folder), datasets=names)
        splits[split] = entry.name
    return flat | splits if "train" in splits else splits


def _named_splits(names: Sequence[str]) -> dict[str, str]:
    """The split of each folder that is named after one, also with a common prefix: ``fruits_train``, ``fruits_test``."""
    found = {name: split for name in names if (split := split_of(name))}
    if found:
        return found
    words = set()
    for name in names:
        for mark in _MARK.finditer(name):
            if split := split_of(name[mark.end() :]):
                found[name] = split
                words.add(normalized_name(name[: mark.start()]))
                break
    whole = len(found) == len(names) and len(words) == 1 and len(set(found.values())) > 1
    return found if whole and "train" in found.values() else {}


def _holds_class_folders(folder: Path, split: str) -> bool:
    """Whether a split's folder holds class folders, directly or in a single subfolder of the same split: ``train_zip/train/Apple``."""
    inside = list(folders(folder))
    if len(inside) == 1 and split_of(inside[0].name) == split:
        inside = list(folders(folder / inside[0].name))
    return any(_may_be_class(one.name) for one in inside)


def _may_be_class(name: str) -> bool:
    return split_of(name) is None and name.lower() not in LABEL_FOLDERS | PICTURE_FOLDERS


def has_splits(root: str | Path) -> bool:
    """Whether the subfolders of ``root`` are the splits of one dataset."""
    return bool(splits_in(Path(root)))


def is_dataset(root: str | Path) -> bool:
    """Whether a folder is a dataset, with splits, pictures or class folders in it, and not a folder of datasets."""
    folder = Path(root)
    try:
        inside = list(folders(folder))
        if has_splits(folder) or any(looks_like_picture(entry.name) for entry in files(folder)):
            return True
        holding = [entry for entry in inside if any(looks_like_picture(one.name) for one in files(folder / entry.name))]
    except DataError:  # several training folders: each is a part of the dataset
        return True
    except OSError:
        return False
    if (folder / "unpacked.json").is_file():  # an archive is one dataset
        return True
    return len(holding) >= 2 or {"images", "labels"} <= {entry.name.lower() for entry in inside}


def is_nested(root: str | Path) -> bool:
    """Whether all subfolders hold only class folders: they are datasets, or the upper level of one dataset."""
    folder = Path(root)
    try:
        inside = [folder / entry.name for entry in folders(folder)]
        return len(inside) >= 2 and all(not splits_in(one) and _holds_classes(one) for one in inside)
    except (DataError, OSError):
        return False


def _holds_classes(folder: Path) -> bool:
    if any(looks_like_picture(entry.name) for entry in files(folder)):
        return False
    return any(looks_like_picture(one.name) for entry in folders(folder) for one in files(folder / entry.name))
