"""Labels of Label Studio's JSON exports (labelstud.io/guide/export), and of Teachable Machine's image projects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from fruitvision.data.read.layouts.labels import Box, Labels, Pictures, label_name
from fruitvision.data.read.layouts.names import normalized_name
from fruitvision.errors import DataError

LABEL_STUDIO, TEACHABLE_MACHINE = "Label Studio", "Teachable Machine"
MANIFEST = "manifest.json"
_NUMBER = re.compile(r"[-_ ]?\d+$")


def read_tasks(tasks: Sequence[Any], name: str, pictures: Pictures) -> Labels:
    """The labels in an export of format JSON or JSON-MIN: choices, and rectangles."""
    found = Labels(LABEL_STUDIO, name)
    for task in tasks:
        if not isinstance(task, dict):
            continue
        data: dict[str, Any] = task["data"] if isinstance(task.get("data"), dict) else task
        picture = next((one for value in data.values() if isinstance(value, str) and (one := pictures.find(value))), None)
        if picture is None:
            continue
        for note in _list(task.get("annotations") or task.get("completions")):
            for result in _list(note.get("result")) if isinstance(note, dict) and not note.get("was_cancelled") else ():
                if isinstance(result, dict) and isinstance(result.get("value"), dict):
                    _add(found, picture, result["value"])
        if "data" not in task:  # JSON-MIN
            for key, value in task.items():
                choices = value.get("choices") if isinstance(value, dict) else value if key in ("choice", "choices", "label") else None
                for one in [choices] if isinstance(choices, str) else _list(choices):
                    if isinstance(one, dict):
                        _add(found, picture, one)
                    else:
                        found.add_kind(picture, label_name(one))
    return found


def _add(found: Labels, picture: str, value: Mapping[str, Any]) -> None:
    for choice in _list(value.get("choices")):
        found.add_kind(picture, label_name(choice))
    for name in _list(value.get("rectanglelabels")):
        try:
            left, top, width, height = (float(value[side]) / 100 for side in ("x", "y", "width", "height"))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        found.add_box(picture, Box(left, top, left + width, top + height, label_name(name)))


def read_manifest(content: Mapping[str, Any], name: str, pictures: Pictures) -> Labels | None:
    """The labels of a Teachable Machine project, whose files are named after its classes (``Apple-0.jpg``); None for another file.

    Raises DataError "tm-other-project" for a project of sounds or poses.
    """
    classes = content.get("classes")
    names = [one.get("name") if isinstance(one, dict) else one for one in classes] if isinstance(classes, list) else []
    if not names or not isinstance(content.get("type"), str):
        return None
    if content["type"] != "image":
        raise DataError("tm-other-project", file=name, kind=content["type"][:40])
    found = Labels(TEACHABLE_MACHINE, name)
    known = {normalized_name(one): one for one in map(label_name, names) if one}
    for picture in pictures.paths:
        stem = PurePosixPath(picture).stem
        kind = known.get(normalized_name(stem.rpartition("-")[0])) or known.get(normalized_name(_NUMBER.sub("", stem)))
        if kind:
            found.add_kind(picture, kind)
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
