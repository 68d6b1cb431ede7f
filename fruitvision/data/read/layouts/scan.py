"""List files and folders, without system files and without following links in circles."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fruitvision.data.read.layouts.names import is_sidecar
from fruitvision.errors import printable

_IGNORED = {
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "@eadir",
    "lost+found",
    "$recycle.bin",
    "system volume information",
}


def long_path(path: str | Path) -> str:
    """A path that may exceed Windows' limit of 260 characters."""
    text = os.path.abspath(path)
    if os.name != "nt" or text.startswith("\\\\?\\"):
        return text
    return "\\\\?\\UNC\\" + text[2:] if text.startswith("\\\\") else "\\\\?\\" + text


def walk(folder: Path, prefix: str, above: frozenset[str], linked: set[str] | None = None) -> Iterator[tuple[str, os.stat_result | None]]:
    """(path, stat) of each file below a folder; the stat is None for a broken link.

    A link to a parent folder is not followed, nor a second link to the same folder: with two links in each of N folders there would
    be 2^N paths.
    """
    here, linked = os.path.realpath(folder), set() if linked is None else linked
    if here in above:
        return
    for entry in entries(folder):
        if entry.is_dir():
            if entry.is_symlink():
                target = os.path.realpath(folder / entry.name)
                if target in linked:
                    continue
                linked.add(target)
            yield from walk(folder / entry.name, f"{prefix}{entry.name}/", above | {here}, linked)
            continue
        try:
            info = entry.stat()
        except OSError:
            yield prefix + entry.name, None
            continue
        if stat.S_ISREG(info.st_mode):
            yield prefix + entry.name, info


def entries(folder: str | Path) -> list[os.DirEntry]:
    """The entries of a folder, sorted by name, without hidden files, system files and sidecar files of cameras."""
    with os.scandir(long_path(folder)) as found:
        return sorted(
            (e for e in found if not e.name.startswith(".") and e.name.lower() not in _IGNORED and not is_sidecar(e.name)),
            key=lambda e: e.name,
        )


def folders(folder: Path) -> Iterator[os.DirEntry]:
    """The folders among them."""
    return (entry for entry in entries(folder) if entry.is_dir())


def files(folder: Path) -> list[os.DirEntry]:
    """The others."""
    return [entry for entry in entries(folder) if not entry.is_dir()]


def is_text(name: str) -> bool:
    """Whether a name is valid Unicode."""
    return name.isascii() or name == printable(name)
