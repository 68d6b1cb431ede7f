"""Find and read the label files of a folder of pictures without class folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from fruitvision.data.read.layouts.boxes import COCO, VOC, YOLO, is_yolo, read_coco, read_json, read_voc, read_yolo, yolo_names
from fruitvision.data.read.layouts.label_studio import MANIFEST, read_manifest, read_tasks
from fruitvision.data.read.layouts.labels import Labels, Pictures
from fruitvision.data.read.layouts.names import LABEL_FOLDERS, PICTURE_FOLDERS, split_of
from fruitvision.data.read.layouts.tables import SUFFIXES, read_table

MAX_FILES = 50
"""Limit on tables and JSON files; files of single pictures do not count."""
MAX_LISTS = 10
"""Limit on class lists of YOLO that are tried."""
_OWN = {"unpacked.json", "download.json", "synthetic.json"}
_NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names", "labels.txt", "_darknet.labels")
_BESIDE = LABEL_FOLDERS | PICTURE_FOLDERS


def find_labels(
    root: Path, files: Sequence[str], is_picture: Callable[[str], bool], size_of: Callable[[str], tuple[int, int] | None]
) -> tuple[Labels, ...]:
    """The labels in a folder's label files, one entry per format.

    A format of boxes is returned even if its files have no box.

    Args:
        files: every file below the folder, as relative paths.
        size_of: the width and height of a picture by its relative path; None if it cannot be read.

    Raises:
        DataError: "labels-damaged", "labels-too-large", "labels-too-many", "tm-other-project".
    """
    pictures = Pictures(one for one in files if is_picture(one))
    found: dict[str, Labels] = {}
    # Kaggle's sample submission has a placeholder label for every test picture.
    tables = [one for one in files if PurePosixPath(one).suffix.lower() in SUFFIXES and "submission" not in one.rpartition("/")[2].lower()]
    notes = [one for one in files if one.lower().endswith(".json") and PurePosixPath(one).name not in _OWN]
    for one in tables[:MAX_FILES]:
        _join(found, read_table(root / one, one, pictures))
    for one in notes[:MAX_FILES]:
        _join(found, _json(root / one, one, pictures))
    if described := list(_of_pictures(root, files, pictures, ".xml")):
        _join(found, read_voc(described, described[0][0].relative_to(root).as_posix(), size_of))
    texts = [(path, picture) for path, picture in _of_pictures(root, files, pictures, ".txt") if is_yolo(path)]
    listed = sorted((one for one in files if PurePosixPath(one).name.lower() in _NAMES), key=_rank)
    if texts or any(one.endswith(".yaml") for one in listed):
        names: list[str] = []
        for one in listed[:MAX_LISTS]:
            names = names or yolo_names(root / one)
        _join(found, read_yolo(texts, names, next((path.relative_to(root).as_posix() for path, _ in texts), "data.yaml")))
    return tuple(found.values())


def _rank(path: str) -> tuple[int, int, str]:
    return _NAMES.index(PurePosixPath(path).name.lower()), path.count("/"), path


def _json(path: Path, name: str, pictures: Pictures) -> Labels | None:
    content = read_json(path)
    place = PurePosixPath(name)
    if isinstance(content, list):
        return read_tasks(content, name, pictures)
    if not isinstance(content, dict):
        return None
    if place.name == MANIFEST and (samples := read_manifest(content, name, pictures)):
        return samples
    marked = "coco" in place.name.lower() or place.name.lower().startswith("instances") or "annotations" in map(str.lower, place.parts[:-1])
    if marked or {"images", "annotations"} <= set(content):
        near = "" if place.parent.as_posix() == "." else place.parent.as_posix()
        split = split_of(place.stem.rpartition("_")[2]) or split_of(place.stem)
        return read_coco(content, name, near, split, pictures)
    return None


def _of_pictures(root: Path, files: Iterable[str], pictures: Pictures, suffix: str) -> Iterator[tuple[Path, str]]:
    """(file, picture) for each file with the name of a picture, in the same folder or in a parallel folder of labels."""
    known = {_place(one): one for one in pictures.paths}
    for one in files:
        if one.lower().endswith(suffix) and (picture := known.get(_place(one))):
            yield root / one, picture


def _place(path: str) -> tuple[str, ...]:
    """A path without its suffix and without the folders that separate pictures from labels."""
    place = PurePosixPath(path)
    return (*(part for part in place.parts[:-1] if part.lower() not in _BESIDE), place.stem)


def _join(found: dict[str, Labels], more: Labels | None) -> None:
    """Merge the labels of several files of one format."""
    if more is None or not (more.kinds or more.boxes or more.form in (COCO, VOC, YOLO)):
        return
    own = found.setdefault(more.form, more)
    if own is not more:
        own.join(more)
