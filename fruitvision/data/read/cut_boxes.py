"""Crop labelled boxes out of pictures, as a dataset of one picture per box.

The crops are kept in the user's cache folder, in ``boxes/<root>-<content>/NAME/``. ``<content>`` is a hash of the pictures, the boxes
and the margin, so that they are made again when one of these changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from PIL import Image

from fruitvision.data.read.layouts.class_folders import path_split
from fruitvision.data.read.layouts.found import Listing, Note, PictureEntry, fault_of_json
from fruitvision.data.read.layouts.labels import Box, Labels
from fruitvision.data.read.layouts.names import normalized_name
from fruitvision.data.read.picture import open_picture
from fruitvision.data.read.rgb import cap_short_side
from fruitvision.errors import DataError, PictureError
from fruitvision.files import cache_folder, replace_folder, write_error

SHORT_SIDE = 512
"""The largest short side of a crop, in pixels; the image store keeps half of it."""
MIN_SIDE = 8
"""Pixels; smaller boxes are skipped."""
MAX_BOXES, MAX_COVERED = 5000, 100
"""Boxes of one picture, and how many times they may cover it in all: more would fill the disk with copies of it."""
STALE_SECONDS = 24 * 3600
_INDEX, _FORMAT = "index.json", "1"


def cut_boxes(
    root: Path,
    pictures: Mapping[str, os.stat_result],
    labels: Labels,
    margin: float,
    progress: Callable[[int, int], None] | None = None,
) -> Listing:
    """The boxes of a dataset as pictures with one class each, cropped now or taken from the cache.

    Args:
        pictures: the pictures with boxes, by path relative to ``root``.
        margin: how much is kept around a box on each side, as a fraction of its width and height.
        progress: called with (pictures done, pictures).

    Raises:
        DataError: "no-boxes", "too-many-boxes", "disk-full", "cannot-write".
    """
    for path in pictures:
        covered = sum((box.right - box.left) * (box.bottom - box.top) for box in labels.boxes[path])
        if len(labels.boxes[path]) > MAX_BOXES or covered > MAX_COVERED:
            raise DataError("too-many-boxes", picture=path, count=len(labels.boxes[path]), covered=round(covered))
    place = hashlib.sha256(os.path.normcase(os.path.realpath(root)).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    content = [(path, info.st_size, info.st_mtime_ns, sorted(labels.boxes[path])) for path, info in sorted(pictures.items())]
    key = hashlib.sha256(json.dumps([_FORMAT, margin, content, labels.splits], sort_keys=True).encode()).hexdigest()[:20]
    home = cache_folder() / "boxes"
    folder = home / f"{place}-{key}" / root.name
    try:
        if not (folder / _INDEX).is_file():
            _cut_all(root, folder, labels, margin, progress)
            for old in home.glob(f"{place}-*"):
                if old != folder.parent:
                    shutil.rmtree(old, ignore_errors=True)
        made = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        files = [
            PictureEntry(path, split, name, (info := (folder / path).stat()).st_size, info.st_mtime_ns)
            for path, split, name in made["files"]
        ]
    except OSError as error:
        raise write_error(error, folder) from error
    if not files:
        raise DataError("no-boxes", folder=str(root))
    notes = [Note("boxes-cut", {"form": labels.form, "count": len(files), "pictures": len(pictures), "margin": f"{margin:.0%}"})]
    if made["small"]:
        notes.append(Note("boxes-too-small", {"count": made["small"], "side": MIN_SIDE}))
    splits = {"train": "", **{file.split: "" for file in files}}
    left_out = tuple((path, kind, fault_of_json(fault)) for path, kind, fault in made["left_out"])
    return Listing(folder, "cut-boxes", splits, tuple(files), (), left_out, tuple(notes))


def _cut_all(root: Path, folder: Path, labels: Labels, margin: float, progress: Callable[[int, int], None] | None) -> None:
    """Write every crop and their index, then move the folder into place."""
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.parent.glob(".cutting-*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix=".cutting-", dir=folder.parent.parent))
    try:
        names = sorted({normalized_name(box.name): box.name for own in labels.boxes.values() for box in sorted(own, reverse=True)}.items())
        number, called = {key: n for n, (key, _) in enumerate(names)}, dict(names)
        files, left_out, small = [], [], 0
        for done, (path, boxes) in enumerate(sorted(labels.boxes.items()), start=1):
            split = labels.splits.get(path) or path_split(path) or "train"
            try:
                image = open_picture(root / path)
            except PictureError as error:
                kind = {"missing": "unreadable", "too-small": "damaged"}.get(kind := error.code.removeprefix("picture-"), kind)
                left_out.append((path, kind, {"code": error.code, "facts": error.as_dict()["facts"]}))
                continue
            for n, box in enumerate(boxes):
                cut = _cut(image, box, margin)
                if cut is None:
                    small += 1
                    continue
                key = normalized_name(box.name)
                made = f"{split}/{number[key]:04}/{hashlib.sha256(path.encode()).hexdigest()[:8]}-{n}-{PurePosixPath(path).stem[:60]}.png"
                (beside / made).parent.mkdir(parents=True, exist_ok=True)
                cap_short_side(cut, SHORT_SIDE).save(beside / made, compress_level=1)
                files.append((made, split, called[key]))
            if progress is not None:
                progress(done, len(labels.boxes))
        index = json.dumps({"files": sorted(files), "left_out": left_out, "small": small})
        (beside / _INDEX).write_text(index, encoding="utf-8")
        folder.parent.mkdir(parents=True, exist_ok=True)
        replace_folder(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _cut(image: Image.Image, box: Box, margin: float) -> Image.Image | None:
    """Crop a box with its margin; None if the box is too small to show anything."""
    width, height = (box.right - box.left) * image.width, (box.bottom - box.top) * image.height
    if min(width, height) < MIN_SIDE:
        return None
    left, top = box.left * image.width - margin * width, box.top * image.height - margin * height
    right, bottom = left + (1 + 2 * margin) * width, top + (1 + 2 * margin) * height
    return image.crop((max(round(left), 0), max(round(top), 0), min(round(right), image.width), min(round(bottom), image.height)))
