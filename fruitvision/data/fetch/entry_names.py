"""The names of an archive's entries: decoding them, and checking that every file system can store them together."""

from __future__ import annotations

import re
import sys
import zipfile
from contextlib import suppress
from pathlib import PurePosixPath

from fruitvision.files import RESERVED, nfc

MAX_PATH_BYTES = 2**29
"""Limit on the memory for all paths of an archive, with each folder and file once; an ordinary archive of a million files takes a
quarter."""
_SYSTEMS_OWN = re.compile(r"(^|/)(__MACOSX/|\._[^/]*$|\.DS_Store$|Icon\r$)")  # what macOS adds
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')


def is_system_file(name: str) -> bool:
    """Whether an entry is metadata added by macOS, which is not unpacked."""
    return _SYSTEMS_OWN.search(name) is not None


def name_fault(name: str) -> str:
    """Why an entry's name is unsafe as a file name, as the code of a fault; empty if it is safe."""
    if _FORBIDDEN.search(name):  # including the backslash, and the colon after a drive letter
        return "name-character"
    if name.startswith("/"):
        return "path-absolute"
    parts = PurePosixPath(name).parts
    if ".." in parts:
        return "path-outside"
    for part in parts:
        if RESERVED.fullmatch(part) or part[-1] in " .":
            return "name-of-windows"
        if len(part.encode("utf-8", "surrogatepass")) > 255:
            return "name-too-long"
    return "folders-too-deep" if len(parts) > 32 or len(name) > 1024 else ""


def zip_name(entry: zipfile.ZipInfo) -> str:
    """An entry's full name. zipfile truncates it at the first NUL, and decodes names that are not marked as UTF-8 as code page 437,
    although Chinese Windows writes unmarked GBK; and older programs of .NET separate folders by backslashes.
    """
    name = _decoded(entry.orig_filename, marked=bool(entry.flag_bits & 0x800))
    return name if "/" in name else name.replace("\\", "/")


def _decoded(name: str, marked: bool) -> str:
    if marked or name.isascii():
        return name
    with suppress(UnicodeError):
        raw = name.encode("cp437")
        for encoding in ("utf-8", "gb18030"):
            with suppress(UnicodeError):
                return raw.decode(encoding)
    return name


class PathTree:
    """The paths of an archive's entries, compared as by a case-insensitive file system."""

    def __init__(self) -> None:
        self._is_folder: dict[str, bool] = {}
        self.bytes = 0
        """The memory for all paths."""

    def add(self, path: PurePosixPath, is_folder: bool) -> str:
        """Add a path and its parent folders; returns the code of a fault if one of them would be both a file and a folder, else an
        empty string."""
        folded = nfc(path.as_posix()).casefold()
        for end in (at for at, letter in enumerate(folded) if letter == "/"):
            if not self._noted(folded[:end], True):
                return "file-and-folder"
        if is_folder:
            return "" if self._noted(folded, True) else "file-and-folder"
        if folded in self._is_folder:
            return "name-twice"
        self._noted(folded, False)
        return ""

    def _noted(self, path: str, is_folder: bool) -> bool:
        if path not in self._is_folder:
            self._is_folder[path] = is_folder
            self.bytes += sys.getsizeof(path)
        return self._is_folder[path]
