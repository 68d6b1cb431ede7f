"""The result of listing a folder of pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fruitvision.errors import Fault


class PictureEntry(NamedTuple):
    """One picture file: its path relative to the root, its split and class, and the values by which a change is detected."""

    path: str
    split: str
    folder: str
    size: int
    mtime_ns: int


LeftOutFile = tuple[str, str, dict[str, Any]]
"""Path, kind and fault of a file that is not used, as of a ``Problem``."""


def fault_of_json(kept: Any) -> dict[str, Any]:
    """A fault from JSON on disk; earlier versions wrote an English sentence."""
    return kept if isinstance(kept, dict) else Fault("quoted", text=str(kept)).as_dict()


@dataclass(frozen=True)
class Note:
    """A remark for the user on how a folder was interpreted; ``notes.toml`` has the sentence for each code."""

    code: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """The picture files of a folder, and how they are organized.

    Attributes:
        root: the folder of the splits, of the class folders, or of the cropped boxes.
        layout: as ``Dataset.layout``; "class-folders" also if only the training split has files.
        split_folders: the folder of each split; an empty string if the class folders are in the root.
        files: sorted by path; ``folder`` is the class name.
        empty_folders: (split, class folder) of class folders without a file.
        left_out: (path, kind, fault) of files that cannot belong to a class.
        notes: how the folder was interpreted, where a user might expect something else.
    """

    root: Path
    layout: str
    split_folders: dict[str, str]
    files: tuple[PictureEntry, ...]
    empty_folders: tuple[tuple[str, str], ...]
    left_out: tuple[LeftOutFile, ...]
    notes: tuple[Note, ...] = ()
