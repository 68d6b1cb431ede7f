"""Labels that lie beside pictures: what they say, whatever file they stand in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from fruitvision.data.read.layouts.names import nfc, normalized_name, split_of
from fruitvision.errors import DataError

MAX_LABEL_BYTES = 128 * 2**20
MAX_NAME = 200
MAX_CALLED = 4000
"""Letters of what a label file calls a picture, which it may do for each of a million boxes."""
_END_PARTS = 4
"""Parts at the end of a path by which pictures of one name are found."""
_EXPORTED = re.compile(r"[0-9a-f]{8}-")  # Label Studio puts it before a file's name


class Box(NamedTuple):
    """A box around one thing, as shares of the upright picture's width and height, 0..1."""

    left: float
    top: float
    right: float
    bottom: float
    name: str


@dataclass
class Labels:
    """What the files of one form say of the pictures of a dataset, by the pictures' relative paths.

    Attributes:
        form: the form's name as people know it: "CSV", "COCO", "YOLO" …
        file: the first file that it stands in, relative to the dataset's folder.
        kinds: what each picture shows; more than one name for a picture that shows several.
        splits: the split of each picture, where the labels name one.
        boxes: the boxes in each picture.
    """

    form: str
    file: str
    kinds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    splits: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, list[Box]] = field(default_factory=lambda: defaultdict(list))

    def add_kind(self, picture: str, name: str) -> None:
        """What a picture shows; an empty name is none."""
        if (name := clean_label(name)) and normalized_name(name) not in ("unlabeled", "unlabelled"):  # as Roboflow's tables have it
            self.kinds[picture].add(name)

    def add_box(self, picture: str, box: Box) -> None:
        """A box that lies at least in part in the picture and has a name; others are passed over."""
        name = clean_label(box.name)
        left, top, right, bottom = (min(max(float(side), 0.0), 1.0) for side in box[:4])
        if name and left < right and top < bottom:  # not so for NaN
            self.boxes[picture].append(Box(left, top, right, bottom, name))


class Pictures:
    """The pictures of a dataset, found by whatever a label file calls them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(paths)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            name = normalized_name(path.rpartition("/")[2])
            self._by_name[name].append(path)
            self._by_name[name.rpartition(".")[0]].append(path)
        self._by_end: dict[str, dict[str, list[str]]] = {}

    def find(self, called: str, near: str = "", split: str | None = None) -> str | None:
        """The picture that a label file means; None where there is none, or more than one.

        Args:
            called: a file's name, with its suffix or without, a path, or an address that ends in one.
            near: the folder of the label file.
            split: the split that the label file is of.
        """
        if len(called) > MAX_CALLED:  # perhaps a picture itself, as text
            return None
        path = unquote(called.strip()) if "://" in called or "?" in called or "%" in called else called.strip()
        path = normalized_name(PureWindowsPath(path.rpartition("?d=")[2]).as_posix())
        name = path.rpartition("/")[2]
        name = name if name in self._by_name else _EXPORTED.sub("", name, count=1)
        found = self._by_name.get(name) or []
        if len(found) > 1:
            found = self._ending(name, path) or found
        if len(found) > 1 and near:
            found = [one for one in found if one.startswith(f"{near}/")] or found
        if len(found) > 1 and split:
            found = [one for one in found if split in map(split_of, PurePosixPath(one).parts[:-1])] or found
        return found[0] if len(found) == 1 else None

    def _ending(self, name: str, path: str) -> list[str]:
        """The pictures of a name that many have, each in a folder of its own perhaps, whose path ends in this one."""
        if name not in self._by_end:
            ends = self._by_end[name] = defaultdict(list)
            for one in self._by_name[name]:
                parts = normalized_name(one).split("/")
                for count in range(1, min(len(parts), _END_PARTS) + 1):
                    end = "/".join(parts[-count:])
                    ends[end].append(one)
                    if len(parts) > 1:
                        ends[end.rpartition(".")[0]].append(one)
        found = self._by_end[name].get("/".join(path.split("/")[-_END_PARTS:]), [])
        if path.count("/") < _END_PARTS:
            return found
        full = {one: f"/{normalized_name(one)}" for one in found}
        return [one for one in found if full[one].endswith(f"/{path}") or full[one].rpartition(".")[0].endswith(f"/{path}")]


def label_name(value: Any) -> str:
    """A name that stands in a label file as text or as a number; empty for anything else, of which a name could have any length."""
    try:
        return str(value) if isinstance(value, str | int | float) else ""
    except ValueError:  # a number of thousands of digits
        return ""


def clean_label(name: str) -> str:
    """A label as the name of a class: one line in NFC, not longer than a file's name."""
    return nfc(" ".join("".join(letter if letter.isprintable() else " " for letter in name[: 4 * MAX_NAME]).split()))[:MAX_NAME]


def label_bytes(path: Path) -> bytes:
    """A label file. Raises DataError "labels-too-large", "labels-damaged"."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LABEL_BYTES + 1)
    except OSError as error:
        raise DataError("labels-damaged", file=str(path), reason=error.strerror or type(error).__name__) from error
    if len(content) > MAX_LABEL_BYTES:
        raise DataError("labels-too-large", file=str(path), limit=MAX_LABEL_BYTES >> 20)
    return content


def label_text(path: Path) -> str:
    """A label file's text: UTF-8, UTF-16 with its mark, or what Excel saves in Chinese or in a Western language."""
    content = label_bytes(path)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")
