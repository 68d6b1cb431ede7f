"""Bounding boxes in the formats of object detection: COCO, Pascal VOC, YOLO."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from fruitvision.data.read.layouts.labels import MAX_LABEL_BYTES, Box, Labels, Pictures, clean_label, label_bytes, label_name, label_text
from fruitvision.errors import DataError

MAX_TEXT_BYTES = 2**20  # per picture
MAX_YAML_LETTERS = 2**18
"""Limit on a list of classes in YAML, which takes ten seconds per megabyte to parse. A thousand classes take 40 KB."""
MAX_NAMES_LETTERS = 2**22
"""Limit on a list of classes with one in a line, which takes up to 28 times its size in memory."""
MAX_JSON_MEMORY = 3 * 2**29
"""Bytes that the content of a JSON file may take as Python objects, which is up to 27 times its size; labels of COCO take 5 to 10 times."""
_CONTAINER_BYTES, _VALUE_BYTES = 200, 60
COCO, VOC, YOLO = "COCO", "Pascal VOC", "YOLO"


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError "labels-damaged", "labels-too-large"."""
    content = label_bytes(path)
    containers, values = content.count(b"{") + content.count(b"["), content.count(b",")
    if containers * _CONTAINER_BYTES + values * _VALUE_BYTES > MAX_JSON_MEMORY:
        raise DataError("labels-too-large", file=str(path), limit=MAX_LABEL_BYTES >> 20)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError("labels-damaged", file=str(path), reason=str(error)[:200]) from error


def read_coco(content: Mapping[str, Any], name: str, near: str, split: str | None, pictures: Pictures) -> Labels:
    """The labels in a COCO file (cocodataset.org/#format-data). An annotation without a box is a label of the whole picture."""
    found = Labels(COCO, name)
    kinds = {_key(one.get("id")): clean_label(label_name(one.get("name"))) for one in _dicts(content.get("categories"))}
    images = {_key(one.get("id")): one for one in _dicts(content.get("images"))}
    images.pop(None, None)
    # Each once: a long name takes milliseconds, and any number of annotations may refer to it.
    found_of = {key: pictures.find(label_name(image.get("file_name")), near, split) for key, image in images.items()}
    for one in _dicts(content.get("annotations")):
        key, kind = _key(one.get("image_id")), kinds.get(_key(one.get("category_id")), "")
        image, picture = images.get(key), found_of.get(key)
        if picture is None or image is None:
            continue
        box = one.get("bbox")
        if not box:
            found.add_kind(picture, kind)
        elif (numbers := _numbers(box, 4)) and (size := _numbers([image.get("width"), image.get("height")], 2)) and min(size) > 0:
            left, top, width, height = numbers
            found.add_box(picture, Box(left / size[0], top / size[1], (left + width) / size[0], (top + height) / size[1], kind))
    return found


def read_voc(files: Sequence[tuple[Path, str]], file: str, size_of: Callable[[str], tuple[int, int] | None]) -> Labels:
    """The labels in the XML files of Pascal VOC, one per picture. Raises DataError "labels-damaged".

    Args:
        files: each with the path of its picture.
        file: the path of the first one, for messages.
        size_of: the width and height of a picture by its path, for files without it; some programs write 0.
    """
    found = Labels(VOC, file)
    for path, picture in files:
        content = label_bytes(path)
        if len(content) > MAX_TEXT_BYTES:
            raise DataError("labels-too-large", file=str(path), limit=MAX_TEXT_BYTES >> 20)
        try:
            tree = ElementTree.fromstring(content)
        except (ElementTree.ParseError, ValueError) as error:
            raise DataError("labels-damaged", file=str(path), reason=str(error)) from error
        size = _numbers([tree.findtext("size/width"), tree.findtext("size/height")], 2)
        if not size or min(size) <= 0:
            size = _numbers(size_of(picture), 2)
        for thing in tree.iter("object"):
            sides = _numbers([thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")], 4)
            if sides and size and min(size) > 0:
                left, top, right, bottom = sides
                name = thing.findtext("name") or ""
                found.add_box(picture, Box(left / size[0], top / size[1], right / size[0], bottom / size[1], name))
    return found


def read_yolo(files: Sequence[tuple[Path, str]], names: Sequence[str], file: str) -> Labels:
    """The labels in the text files of YOLO, one per picture: class, center and size of each box, or the corners of a polygon.

    Args:
        files: each with the path of its picture.
        names: the class names; a class without one is named by its number.
        file: the path of the first one, for messages.
    """
    found, names = Labels(YOLO, file), [clean_label(name) for name in names]
    for path, picture in files:
        for line in label_text(path).splitlines() if path.stat().st_size <= MAX_TEXT_BYTES else ():
            first, *rest = line.split() or [""]
            numbers = _numbers(rest, len(rest))
            if not first.isdecimal() or not numbers or len(first) > 6:
                continue
            number = int(first)
            name = names[number] if number < len(names) else str(number)
            if len(numbers) in (4, 5):  # possibly with a confidence
                x, y, width, height = numbers[:4]
                found.add_box(picture, Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2, name))
            elif len(numbers) >= 6 and len(numbers) % 2 == 0:
                xs, ys = numbers[::2], numbers[1::2]
                found.add_box(picture, Box(min(xs), min(ys), max(xs), max(ys), name))
    return found


def is_yolo(path: Path) -> bool:
    """Whether the first line of a text file is a box or polygon in YOLO's format."""
    try:
        with path.open("rb") as file:
            words = file.read(4096).split(b"\n")[0].split()
    except OSError:
        return False
    numbers = _numbers([word.decode("ascii", "replace") for word in words], len(words))
    return numbers is not None and len(numbers) >= 5 and numbers[0] == int(numbers[0])


def yolo_names(path: Path) -> list[str]:
    """The class names in ``data.yaml``, or in a text file with one per line. Raises DataError "labels-damaged", "labels-too-large".

    YAML is only parsed to nodes: expanding nested aliases could take any amount of memory.
    """
    text = label_text(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        if len(text) > MAX_NAMES_LETTERS:
            raise DataError("labels-too-large", file=str(path), limit=MAX_NAMES_LETTERS / 2**20)
        return [line.strip() for line in text.splitlines() if line.strip()]
    if len(text) > MAX_YAML_LETTERS:
        raise DataError("labels-too-large", file=str(path), limit=MAX_YAML_LETTERS / 2**20)
    try:
        content = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError("labels-damaged", file=str(path), reason=str(error).split("\n")[0]) from error
    names = next((value for key, value in _entries(content) if key.value == "names"), None)
    if isinstance(names, yaml.SequenceNode):
        return [_said(name) for name in names.value]
    numbered = {int(key.value): _said(name) for key, name in _entries(names) if key.value.isdecimal() and len(key.value) < 5}
    return [numbered.get(n, str(n)) for n in range(max(numbered, default=-1) + 1)]


def _entries(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """The entries of a mapping node whose keys are scalars; none for another node."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            yield key, value


def _said(node: yaml.Node) -> str:
    """The text of a scalar node; empty for any other node."""
    return node.value if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null" else ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _key(value: Any) -> str | None:
    """An id as text: of whole numbers as many as one likes have the same hash, and each would be compared with all before."""
    return str(value) if isinstance(value, int | str) else None


def _numbers(values: Any, count: int) -> list[float] | None:
    """A list of ``count`` finite numbers, given as numbers or as text; None for anything else."""
    if not isinstance(values, list | tuple) or len(values) != count or not count:
        return None
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
