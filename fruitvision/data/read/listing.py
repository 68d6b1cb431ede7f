"""The picture files of a folder with their split and class, from folder names or from label files.

No picture is opened, unless labelled boxes are cropped out of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

from fruitvision.data.read.layouts.class_folders import ClassFolders, name_fault, path_split, split_names
from fruitvision.data.read.layouts.find_labels import find_labels
from fruitvision.data.read.layouts.found import LeftOutFile, Listing, Note, PictureEntry
from fruitvision.data.read.layouts.labels import Labels
from fruitvision.data.read.layouts.names import MASK_FOLDERS, looks_like_picture
from fruitvision.data.read.layouts.scan import walk
from fruitvision.data.read.layouts.splits import find_root
from fruitvision.errors import DataError, PictureError, printable
from fruitvision.files import clean_path

MARGIN = 0.1
"""The default margin around a box on each side, as a fraction of its width and height."""


def list_pictures(
    root: str | Path,
    *,
    need_training: bool = True,
    depth: int | None = None,
    boxes: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Listing:
    """Find the layout of ``root``, and every picture in its class folders or in its label files.

    Args:
        need_training: reject a folder that has only a test or validation split.
        depth: the level of the class folders below their split, from 1; None or 0 for the deepest folders.
        boxes: crop the labelled boxes, with a margin of this fraction of their size.
        progress: called with (pictures done, pictures) while boxes are cropped.

    Raises:
        DataError: there is no such folder, or it holds no pictures, more than one dataset, or pictures without labels.
    """
    given = _absolute(root)
    with _permission_errors(given):
        folder, splits = find_root(given)
        listing = ClassFolders(folder, splits).listing(depth)
        if boxes is not None or not listing.files:
            listing = _labelled(given, boxes, progress) or listing
    if need_training and splits and "train" not in splits:
        raise DataError("no-training-folder", folder=str(folder), splits=", ".join(splits.values()))
    if not listing.files or boxes is not None and listing.layout != "cut-boxes":
        _explain_nothing(given, listing, boxes)
    if need_training and all(file.split != "train" for file in listing.files):
        found = ", ".join(sorted({file.split for file in listing.files}))
        raise DataError("no-training-folder", folder=str(folder), splits=found)
    return listing


def list_tree(root: str | Path, name: str) -> Listing:
    """Every file in ``root`` and its subfolders, as a single class.

    Args:
        name: the name of the class.

    Raises:
        DataError: there is no such folder, or it holds no files.
    """
    given = _absolute(root)
    with _permission_errors(given):
        files, left_out = [], []
        for path, info in walk(given, "", frozenset()):
            if fault := name_fault(path, info):
                left_out.append(fault)
            elif info is not None:
                files.append(PictureEntry(path, "train", name, info.st_size, info.st_mtime_ns))
    files.sort(key=lambda file: file.path)
    listing = Listing(given, "class-folders", {"train": ""}, tuple(files), (), tuple(sorted(left_out, key=itemgetter(0, 1))))
    if not files:
        _explain_nothing(given, listing)
    return listing


def _labelled(given: Path, boxes: float | None, progress: Callable[[int, int], None] | None) -> Listing | None:
    """The pictures labelled by label files, or the boxes in them; None if there is no known label file.

    Raises DataError "boxes-not-classes" if the labels are boxes and ``boxes`` is None.
    """
    found, left_out = {}, []
    for path, info in walk(given, "", frozenset()):
        if fault := name_fault(path, info):
            left_out.append(fault)
        elif MASK_FOLDERS.isdisjoint(path.lower().split("/")[:-1]):
            found[path] = info
    forms = find_labels(given, sorted(found), looks_like_picture, lambda path: _size(given / path))
    drawn = max(forms, key=lambda one: sum(map(len, one.boxes.values())), default=None)
    named = max(forms, key=lambda one: len(one.kinds), default=None)
    if boxes is not None and drawn is not None and drawn.boxes:
        from fruitvision.data.read.cut_boxes import cut_boxes

        return cut_boxes(given, {path: found[path] for path in drawn.boxes}, drawn, boxes, progress)
    if named is None or drawn is None:
        return None
    if not named.kinds:
        if not drawn.boxes:
            raise DataError("boxes-empty", folder=str(given), form=drawn.form, file=drawn.file)
        names = sorted({box.name for one in drawn.boxes.values() for box in one})
        count, example = sum(map(len, drawn.boxes.values())), ", ".join(names[:3])
        raise DataError(
            "boxes-not-classes", folder=str(given), form=drawn.form, file=drawn.file, boxes=count, classes=len(names), example=example
        )
    return _by_kind(given, found, named, left_out)


def _size(picture: Path) -> tuple[int, int] | None:
    from fruitvision.data.read.picture import picture_size

    try:
        return picture_size(picture)
    except PictureError:
        return None


def _by_kind(given: Path, found: dict[str, os.stat_result], labels: Labels, left_out: list[LeftOutFile]) -> Listing:
    """The pictures with exactly one label; the others are counted in notes."""
    files = []
    for path, names in sorted(labels.kinds.items()):
        if len(names) == 1:
            split = labels.splits.get(path) or path_split(path) or "train"
            files.append(PictureEntry(path, split, min(names), found[path].st_size, found[path].st_mtime_ns))
    notes = [Note("labels-read", {"form": labels.form, "file": labels.file, "pictures": len(files)})]
    if several := [path for path, names in labels.kinds.items() if len(names) > 1]:
        notes.append(Note("several-kinds", {"count": len(several), "example": min(several)}))
    if unnamed := [path for path in found if looks_like_picture(path) and path not in labels.kinds]:
        notes.append(Note("unlabelled", {"count": len(unnamed), "example": min(unnamed)}))
    splits = {"train": "", **{file.split: "" for file in files}}
    return Listing(given, "labelled-pictures", splits, tuple(files), (), tuple(sorted(left_out, key=itemgetter(0, 1))), tuple(notes))


def _absolute(root: str | Path) -> Path:
    folder = Path(os.path.abspath(clean_path(root)))
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


def _missing(folder: Path) -> DataError:
    if folder.exists():
        return DataError("data-not-a-folder", folder=str(folder))
    return DataError("data-missing", folder=str(folder))


def _explain_nothing(given: Path, listing: Listing, boxes: float | None = None) -> None:
    if boxes is not None and listing.files:
        raise DataError("no-boxes", folder=str(given))
    loose = [path for path, kind, _ in listing.left_out if kind == "outside-class"]
    if loose and (flat := split_names(loose)):
        raise DataError("splits-without-classes", folder=str(given), splits=printable(flat), pictures=len(loose))
    if loose:
        raise DataError("no-class-folders", folder=str(given), pictures=len(loose))
    raise DataError("no-pictures", folder=str(given))
