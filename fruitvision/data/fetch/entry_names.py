"""The names of an archive's entries: as they are meant, and whether every file system can hold them beside each other."""

from __future__ import annotations

import re
import sys
import unicodedata
import zipfile
from contextlib import suppress
from pathlib import PurePosixPath

from fruitvision.files import RESERVED

MAX_PATH_BYTES = 2**29
"""Of all paths of an archive in memory, each folder's and each file's once: ordinary ones of a million files take a fourth."""
_SYSTEMS_OWN = re.compile(r"(^|/)(__MACOSX/|\._[^/]*$|\.DS_Store$|Icon\r$)")  # what macOS adds
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')


def is_system_file(name: str) -> bool:
    """Whether an entry is what macOS adds; it is not unpacked."""
    return _SYSTEMS_OWN.search(name) is not None


def name_fault(name: str) -> str:
    """Why a name in an archive is unsafe as a file's name, as the code of a fault; empty where it is safe."""
    if _FORBIDDEN.search(name):  # a backslash and a drive's colon among them
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
    """A name as the archive says it; zipfile cuts it at its first NUL, and reads as code page 437 what is not marked as UTF-8.

    Windows in Chinese marks nothing and writes GBK.
    """
    name = entry.orig_filename
    if entry.flag_bits & 0x800 or name.isascii():
        return name
    with suppress(UnicodeError):
        raw = name.encode("cp437")
        for encoding in ("utf-8", "gb18030"):
            with suppress(UnicodeError):
                return raw.decode(encoding)
    return name


class PathTree:
    """The paths of an archive's entries, as a file system that ignores case sees them."""

    def __init__(self) -> None:
        self._is_folder: dict[str, bool] = {}
        self.bytes = 0
        """That all paths take in memory."""

    def add(self, path: PurePosixPath, is_folder: bool) -> str:
        """Note a path and the folders above it; returns what is wrong where one of them would be both a file and a folder."""
        folded = unicodedata.normalize("NFC", path.as_posix()).casefold()
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
