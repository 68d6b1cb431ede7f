"""The class names in the order of a network's outputs, from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fruitvision.data.fruits import MAX_CLASSES, MAX_NAME
from fruitvision.errors import CheckpointError

MAX_BYTES = 16 * 2**20
_INSIDE = ("class_to_idx", "idx_to_class", "id2label", "classes", "class_names", "label_names", "labels")
_DEPTH = 4
"""Limit on nested dictionaries."""


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names in a file: one per line; or JSON, a list, or a dictionary from name to index (``class_to_idx``) or the reverse.

    Raises CheckpointError "import-names-missing", "import-names", "import-names-large".
    """
    try:
        text = read_small(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise CheckpointError("import-names-missing", path=str(path)) from error
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{"):
        try:
            return class_names(json.loads(text), str(path))
        except (ValueError, RecursionError) as error:
            raise CheckpointError("import-names", source=str(path)) from error
    return class_names([line.strip() for line in text.splitlines() if line.strip()], str(path))


def read_small(path: Path) -> bytes:
    """The content of a small file. Raises OSError if it is not a regular file, ValueError if it has more than ``MAX_BYTES``."""
    if path.exists() and not path.is_file():
        raise OSError("it is no file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError("it is too large")
    return content


def class_names(value: Any, source: str) -> tuple[str, ...]:
    """The names of classes 0, 1, … from a list, or a dictionary in either direction.

    Raises CheckpointError "import-names", "import-names-large".
    """
    for _ in range(_DEPTH):  # unpickled containers may contain themselves
        given = value if isinstance(value, Mapping) else {}
        value = next((given[key] for key in _INSIDE if isinstance(given.get(key), list | tuple | Mapping)), value)
    if isinstance(value, Mapping):
        pairs = [(own, name) if isinstance(name, str) else (name, own) for own, name in value.items()]
        numbered = {_number(number): name for number, name in pairs}
        value = [numbered.get(number) for number in range(len(value))]
    names = [name.strip() for name in value if isinstance(name, str)] if isinstance(value, list | tuple) else []
    if len(names) < 2 or len(names) != len(value) or len({*names, ""}) != len(names) + 1:
        raise CheckpointError("import-names", source=source)
    if len(names) > MAX_CLASSES or max(map(len, names)) > MAX_NAME:
        raise CheckpointError("import-names-large", source=source, classes=MAX_CLASSES, letters=MAX_NAME)
    return tuple(names)


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < 10**9 else None  # larger ones may all have one hash
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10 else None
