"""The labels of pictures, independent of the format of the label file."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from fruitvision.data.fruits import MAX_NAME
from fruitvision.data.read.layouts.names import normalized_name, split_of
from fruitvision.errors import DataError
from fruitvision.files import nfc

MAX_LABEL_BYTES = 128 * 2**20
MAX_LABELS = 2**23
"""Labels and boxes in all files of one format, a few hundred bytes each in memory: few bytes in a zip can be any number."""
MAX_CALLED = 4000
"""Limit on the length of a picture's name in a label file, which may repeat it for a million boxes."""
MAX_ALIKE = 1000
"""Pictures of one name that are gone through for a label, which each row of a table may ask for."""
_END_PARTS = 8
"""The number of trailing path components by which pictures with the same name are distinguished."""
_EXPORTED = re.compile(r"[0-9a-f]{8}-")  # Label Studio prepends it to a file name


class Box(NamedTuple):
    """A bounding box, in 0..1 relative to the upright picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float
    name: str


@dataclass
class Labels:
    """The labels of a dataset's pictures in the files of one format, by the pictures' relative paths.

    Attributes:
        form: the name of the format: "CSV", "COCO", "YOLO" …
        file: the first label file, relative to the dataset's folder.
        kinds: the labels of each picture, one or more.
        splits: the split of each picture, if the labels name one.
        boxes: the boxes in each picture.
    """

    form: str
    file: str
    kinds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    splits: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, list[Box]] = field(default_factory=lambda: defaultdict(list))
    _count: int = 0

    def add_kind(self, picture: str, name: str) -> None:
        """Add a label of a picture; an empty name is ignored. Raises DataError "labels-too-many"."""
        if (name := clean_label(name)) and name.casefold() not in ("unlabeled", "unlabelled"):  # as in Roboflow's tables
            self._count_more(name not in self.kinds[picture])
            self.kinds[picture].add(name)

    def add_box(self, picture: str, box: Box) -> None:
        """Add a box of a picture; it is ignored unless it has a name and overlaps the picture. Raises DataError as ``add_kind``."""
        name = clean_label(box.name)
        left, top, right, bottom = (min(max(float(side), 0.0), 1.0) for side in box[:4])
        if name and left < right and top < bottom:  # false for NaN
            self._count_more(1)
            self.boxes[picture].append(Box(left, top, right, bottom, name))

    def join(self, more: Labels) -> None:
        """Add those of another file of the same format. Raises DataError "labels-too-many"."""
        self._count_more(more._count)
        for picture, names in more.kinds.items():
            self.kinds[picture] |= names
        for picture, boxes in more.boxes.items():
            self.boxes[picture] += boxes
        self.splits.update(more.splits)

    def _count_more(self, more: int) -> None:
        self._count += more
        if self._count > MAX_LABELS:
            raise DataError("labels-too-many", file=self.file, limit=MAX_LABELS)


class Pictures:
    """Finds the pictures of a dataset by the names that label files use for them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(paths)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.paths):
            name = normalized_name(path.rpartition("/")[2])
            self._by_name[name].append(path)
            self._by_name[name.rpartition(".")[0]].append(path)
        self._by_end: dict[tuple[str, int], dict[str, list[str]]] = {}
        self._in_split: dict[tuple[str, str, str, str], list[str]] = {}

    def find(self, called: str, near: str = "", split: str | None = None) -> str | None:
        """The path of the picture that a label file refers to; None if there is none, or more than one.

        Args:
            called: a file name with or without suffix, a path, or a URL that ends in one.
            near: the folder of the label file.
            split: the split that the label file belongs to.
        """
        if len(called) > MAX_CALLED:  # may be an encoded picture
            return None
        path = unquote(called.strip()) if "://" in called or "?" in called or "%" in called else called.strip()
        path = normalized_name(PureWindowsPath(path.rpartition("?d=")[2]).as_posix())
        name = path.rpartition("/")[2]
        name = name if name in self._by_name else _EXPORTED.sub("", name, count=1)
        found, end = self._by_name.get(name) or [], ""
        if len(found) > 1 and (ending := self._ending(name, path)):
            found, end = ending, path
        if len(found) > 1 and near:
            first, last = bisect_left(found, f"{near}/"), bisect_left(found, f"{near}0")  # "0" follows "/"
            if last - first > MAX_ALIKE:  # not copied for each row
                return None
            found = found[first:last] or found
        if len(found) > MAX_ALIKE:
            return None
        if len(found) > 1 and split:
            key = (name, _end_of(end), near, split)  # all rows with it have the same pictures
            if key not in self._in_split:
                self._in_split[key] = [one for one in found if split in map(split_of, PurePosixPath(one).parts[:-1])]
            found = self._in_split[key] or found
        return found[0] if len(found) == 1 else None

    def _ending(self, name: str, path: str) -> list[str]:
        """The pictures with a file name shared by many, whose path ends with ``path``."""
        end = _end_of(path)
        key = (name, end.count("/") + 1)
        if key not in self._by_end:
            ends = self._by_end[key] = defaultdict(list)
            for one in self._by_name[name]:
                parts = normalized_name(one).split("/")
                if len(parts) >= key[1]:
                    own = "/".join(parts[-key[1] :])
                    ends[own].append(one)
                    if len(parts) > 1:
                        ends[own.rpartition(".")[0]].append(one)
        return self._by_end[key].get(end, [])


def _end_of(path: str) -> str:
    return "/".join(path.split("/")[-_END_PARTS:])


def label_name(value: Any) -> str:
    """A class name given as text or a number in a label file; empty for any other value, which could have any length."""
    try:
        return str(value) if isinstance(value, str | int | float) else ""
    except ValueError:  # a number with thousands of digits
        return ""


def clean_label(name: str) -> str:
    """A label as a class name: one line in NFC, at most as long as a file name."""
    return _clean_label(name[: 4 * MAX_NAME])


@lru_cache(maxsize=2**14)  # millions of boxes have the same few names
def _clean_label(name: str) -> str:
    return nfc(" ".join("".join(letter if letter.isprintable() else " " for letter in name).split()))[:MAX_NAME]


def label_bytes(path: Path) -> bytes:
    """The content of a label file. Raises DataError "labels-too-large", "labels-damaged"."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LABEL_BYTES + 1)
    except OSError as error:
        raise DataError("labels-damaged", file=str(path), reason=error.strerror or type(error).__name__) from error
    if len(content) > MAX_LABEL_BYTES:
        raise DataError("labels-too-large", file=str(path), limit=MAX_LABEL_BYTES >> 20)
    return content


def label_text(path: Path) -> str:
    """The text of a label file: UTF-8, UTF-16 with a byte order mark, or the encodings in which Excel saves Chinese or Western
    languages."""
    content = label_bytes(path)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")
