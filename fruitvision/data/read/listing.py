"""Which picture files a folder holds, in which split and class: read from names alone, nothing is opened."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fruitvision.errors import DataError, printable

#: Folder names that stand for a split, in upper or lower case; Fruits-360 adds the size in pixels to some.
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_SIZE_SUFFIX = re.compile(r"[ _-]*(\d+x\d+|original[ _-]?size)$", re.IGNORECASE)
_PICTURE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_PICTURE_SUFFIXES |= {".heic", ".heif", ".hif", ".avif", ".jxl"}
_IGNORED = {
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "lost+found",
    "$recycle.bin",
    "system volume information",
}
_LEVELS_DOWN = 3  # how far below the given folder the dataset may lie


class Found(NamedTuple):
    """One file in a class folder: its path below the root, and by what a change is detected."""

    path: str
    split: str
    folder: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        root: where the splits or the class folders lie.
        layout: as ``Dataset.layout``; "class-folders" also where no split but training has a file.
        split_folders: the folder of each split, by split; empty text where the classes lie in the root.
        files: sorted by path.
        empty_folders: (split, class folder) of class folders without a file.
        left_out: (path, kind, English sentence) of files that cannot belong to a class.
    """

    root: Path
    layout: str
    split_folders: dict[str, str]
    files: tuple[Found, ...]
    empty_folders: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str, str], ...]


def list_pictures(root: str | Path, *, need_training: bool = True) -> Listing:
    """Find the layout of ``root`` and every file in its class folders.

    Args:
        need_training: a folder with a test or validation split alone is refused.

    Raises:
        DataError: there is no such folder, it holds no pictures, or more than one dataset.
    """
    given = _absolute(root)
    with _permission_errors(given):
        folder, splits = _find_root(given)
        if need_training and splits and "train" not in splits:
            raise DataError("no-training-folder", folder=str(folder), splits=", ".join(splits.values()))
        listing = _read(folder, splits)
    if not listing.files:
        _explain_nothing(given, listing)
    return listing


def list_tree(root: str | Path, name: str) -> Listing:
    """Every file in ``root`` and anywhere below it, whatever its folders are called, as one class.

    Args:
        name: what the class is called.

    Raises:
        DataError: there is no such folder, or it holds no files.
    """
    given = _absolute(root)
    with _permission_errors(given):
        files, left_out = [], []
        for path, info in _walk(given, "", frozenset()):
            _add_file(path, info, "train", name, files, left_out)
    files.sort(key=lambda file: file.path)
    listing = Listing(given, "class-folders", {"train": ""}, tuple(files), (), tuple(sorted(left_out)))
    if not files:
        _explain_nothing(given, listing)
    return listing


def looks_like_picture(name: str) -> bool:
    """Whether a file's name ends as those of pictures do."""
    return PurePosixPath(name).suffix.lower() in _PICTURE_SUFFIXES


def has_splits(root: str | Path) -> bool:
    """Whether the folders in ``root`` are the splits of one dataset."""
    return bool(_splits_in(Path(root)))


def long_path(path: str | Path) -> str:
    """A path that may be longer than the 260 characters Windows otherwise stops at."""
    text = os.path.abspath(path)
    if os.name != "nt" or text.startswith("\\\\?\\"):
        return text
    return "\\\\?\\UNC\\" + text[2:] if text.startswith("\\\\") else "\\\\?\\" + text


def _absolute(root: str | Path) -> Path:
    folder = Path(os.path.abspath(os.path.expanduser(root)))
    if not folder.is_dir():
        raise _missing(folder)
    return folder


@contextmanager
def _permission_errors(given: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        folder = str(error.filename or given)
        raise DataError("data-unreadable", folder=folder) from error


def _find_root(given: Path) -> tuple[Path, dict[str, str]]:
    """The folder that holds splits, here or a little below; else the folder of class folders."""
    splits = _splits_in(given)
    if splits:
        return given, splits
    level, found = [given], []
    for _ in range(_LEVELS_DOWN):
        level = [folder / entry.name for folder in level for entry in _folders(folder)]
        found = [(folder, splits) for folder in level if "train" in (splits := _splits_in(folder))]
        if found:
            break
    if len(found) > 1:
        names = ", ".join(sorted(folder.relative_to(given).as_posix() for folder, _ in found))
        raise DataError("several-datasets", folder=str(given), datasets=names)
    if found:
        return found[0]
    folder = given
    for _ in range(_LEVELS_DOWN):  # an archive unpacked into a folder of the same name, once or twice
        inside = list(_folders(folder))
        if len(inside) != 1 or _files(folder) or not any(_folders(folder / inside[0].name)):
            break
        folder /= inside[0].name
        if splits := _splits_in(folder):
            return folder, splits
    return folder, {}


def _splits_in(folder: Path) -> dict[str, str]:
    """{split: folder name} of the subfolders that are named like a split and hold folders, as a split does.

    Beside a training folder, one that holds pictures alone counts as well: they are reported.
    """
    splits: dict[str, str] = {}
    flat: dict[str, str] = {}
    for entry in _folders(folder):
        split = _SPLIT_NAMES.get(_SIZE_SUFFIX.sub("", entry.name).lower())
        if split is None:
            continue
        if not any(_folders(folder / entry.name)):
            flat[split] = entry.name
            continue
        if split in splits:
            names = f"{splits[split]}, {entry.name}"
            raise DataError("several-datasets", folder=str(folder), datasets=names)
        splits[split] = entry.name
    return flat | splits if "train" in splits else splits


def _layout(splits: dict[str, str], files: list[Found]) -> str:
    if all(file.split == "train" for file in files):
        return "class-folders"
    names = {split: _SIZE_SUFFIX.sub("", name) for split, name in splits.items()}
    if names.get("train") == "Training" and names.get("test") == "Test":
        return "fruits-360-original-size" if "val" in names else "fruits-360"
    return "split-folders"


def _read(root: Path, splits: dict[str, str]) -> Listing:
    split_folders = splits or {"train": ""}
    files: list[Found] = []
    empty: list[tuple[str, str]] = []
    left_out: list[tuple[str, str, str]] = []
    for split, name in split_folders.items():
        top = root / name if name else root
        prefix = f"{name}/" if name else ""
        for entry in _files(top):
            if looks_like_picture(entry.name):
                sentence = "The picture lies beside the class folders, in none of them."
                left_out.append((printable(prefix + entry.name), "outside-class", sentence))
        above = frozenset({os.path.realpath(root), os.path.realpath(top)})
        for entry in _folders(top):
            before = len(files)
            if not _is_text(entry.name):
                sentence = "The folder's name is not valid Unicode."
                left_out.append((printable(prefix + entry.name), "bad-name", sentence))
                continue
            for path, info in _walk(top / entry.name, prefix + entry.name + "/", above):
                _add_file(path, info, split, entry.name, files, left_out)
            if len(files) == before:
                empty.append((split, entry.name))
    files.sort(key=lambda file: file.path)
    layout = _layout(splits, files)
    return Listing(root, layout, split_folders, tuple(files), tuple(empty), tuple(sorted(left_out)))


def _add_file(
    path: str,
    info: os.stat_result | None,
    split: str,
    folder: str,
    files: list[Found],
    left_out: list[tuple[str, str, str]],
) -> None:
    if info is None:
        left_out.append((printable(path), "unreadable", "The link leads to no file."))
    elif not _is_text(path):
        left_out.append((printable(path), "bad-name", "The file's name is not valid Unicode."))
    else:
        files.append(Found(path, split, folder, info.st_size, info.st_mtime_ns))


def _walk(folder: Path, prefix: str, above: frozenset[str], linked: set[str] | None = None) -> Iterator[tuple[str, os.stat_result | None]]:
    """(path, stat) of each file below; None for a broken link. A link to a folder above is not followed.

    Nor is a second link to the same folder: with two links in each of N folders there would be 2^N paths.
    """
    here, linked = os.path.realpath(folder), set() if linked is None else linked
    if here in above:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            if entry.is_symlink():
                target = os.path.realpath(folder / entry.name)
                if target in linked:
                    continue
                linked.add(target)
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", above | {here}, linked)
            continue
        try:
            info = entry.stat()
        except OSError:
            yield prefix + entry.name, None
            continue
        if stat.S_ISREG(info.st_mode):
            yield prefix + entry.name, info


def _entries(folder: str | Path) -> list[os.DirEntry]:
    """The entries of a folder, sorted by name, without hidden and system files."""
    with os.scandir(long_path(folder)) as entries:
        return sorted(
            (e for e in entries if not e.name.startswith(".") and e.name.lower() not in _IGNORED),
            key=lambda e: e.name,
        )


def _folders(folder: Path) -> Iterator[os.DirEntry]:
    return (entry for entry in _entries(folder) if entry.is_dir())


def _files(folder: Path) -> list[os.DirEntry]:
    return [entry for entry in _entries(folder) if not entry.is_dir()]


def _is_text(name: str) -> bool:
    return name.isascii() or name == printable(name)


def _missing(folder: Path) -> DataError:
    if folder.exists():
        return DataError("data-not-a-folder", folder=str(folder))
    return DataError("data-missing", folder=str(folder))


def _explain_nothing(given: Path, listing: Listing) -> None:
    loose = sum(kind == "outside-class" for _, kind, _ in listing.left_out)
    if loose:
        raise DataError("no-class-folders", folder=str(given), pictures=loose)
    raise DataError("no-pictures", folder=str(given))
