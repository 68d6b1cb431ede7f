"""What was found in a folder of pictures, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fruitvision.errors import Fault


class PictureEntry(NamedTuple):
    """One picture file: its path below the root, its split and class, and by what a change is detected."""

    path: str
    split: str
    folder: str
    size: int
    mtime_ns: int


LeftOutFile = tuple[str, str, dict[str, Any]]
"""Path, kind and fault of a file that is not used, as of a ``Problem``."""


def fault_of_json(kept: Any) -> dict[str, Any]:
    """A fault as JSON on disk has it; earlier versions wrote an English sentence."""
    return kept if isinstance(kept, dict) else Fault("quoted", text=str(kept)).as_dict()


@dataclass(frozen=True)
class Note:
    """Something that a person should know of how a folder was understood; ``notes.toml`` has the sentence of each code."""

    code: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        root: where the splits or the class folders lie, or the cut-out boxes.
        layout: as ``Dataset.layout``; "class-folders" also where no split but training has a file.
        split_folders: the folder of each split, by split; empty text where the classes lie in the root.
        files: sorted by path; ``folder`` is the name of the class.
        empty_folders: (split, class folder) of class folders without a file.
        left_out: (path, kind, fault) of files that cannot belong to a class.
        notes: how the folder was understood, where a person could expect something else.
    """

    root: Path
    layout: str
    split_folders: dict[str, str]
    files: tuple[PictureEntry, ...]
    empty_folders: tuple[tuple[str, str], ...]
    left_out: tuple[LeftOutFile, ...]
    notes: tuple[Note, ...] = ()
