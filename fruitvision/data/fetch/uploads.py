"""Uploads of datasets in pieces, over any number of requests; a completed upload becomes a dataset's folder.

.incoming-3f2c…/announced.json    the names and sizes that were announced
.incoming-3f2c…/0, 1, …           the received part of each file
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from fruitvision.data.fetch.archive import is_archive_name, is_zip_or_tar, unpack, without_suffix
from fruitvision.data.read.layouts.names import looks_like_picture
from fruitvision.errors import DataError
from fruitvision.files import free_folder, safe_name, write_error, write_text

MAX_BYTES = 2 * 2**30
MAX_FILES = 100_000
MAX_DEPTH = 32
MAX_NAME = 1000
SHORT_STEM = 20
"""The number of characters kept of a name that gets a number, so that :func:`safe_name` does not cut the number off."""
KEPT_SECONDS = 24 * 3600.0
"""An upload that received nothing for this long is deleted."""
LABELS = (".csv", ".xml", ".txt", ".json", ".yaml", ".yml")
BROUGHT = ".brought"
"""A marker file in a folder of datasets that has received uploads."""
_ANNOUNCED, _PREFIX = "announced.json", ".incoming-"


class UploadManifest(BaseModel):
    """The name of an upload, and the path and size of each of its files."""

    model_config = ConfigDict(frozen=True)

    name: str
    """The name of the folder to create."""
    files: tuple[tuple[str, int], ...]
    """(path separated by "/", size in bytes) of each file."""


class Uploads:
    """Unfinished uploads to a folder of datasets. Announcing the same files again resumes their upload.

    Args:
        root: the folder whose subfolders are datasets.
        max_bytes: limit for one upload; an archive may unpack to more, within the limits of :func:`unpack`.
        taken: names that are reserved although no folder in ``root`` has them.
    """

    def __init__(self, root: Path, max_bytes: int = MAX_BYTES, *, taken: Collection[str] = ()) -> None:
        self.root, self.max_bytes, self._taken = root, max_bytes, taken
        self._lock = threading.Lock()
        self._finishing: set[str] = set()

    def announce(self, name: str, files: Sequence[tuple[str, int]]) -> tuple[str, list[int]]:
        """Begin or resume an upload; returns its key, and for each file the number of bytes that need not be sent.

        Those are the bytes that were received before, and all bytes of a file that is neither a picture, a label file nor an archive.

        Raises DataError "upload-empty", "upload-too-large", "upload-too-many", "disk-full", "cannot-write".
        """
        # Names on Windows may have unpaired surrogates.
        shown = [(path.encode("utf-8", "replace").decode("utf-8"), size) for path, size in files]
        announced = UploadManifest(name=safe_name(name[:MAX_NAME]), files=tuple(shown))
        wanted = [is_wanted(path) for path, _ in announced.files]
        total = sum(size for (_, size), one in zip(announced.files, wanted, strict=True) if one)
        if not any(size > 0 and (looks_like_picture(path) or is_archive_name(path)) for path, size in announced.files):
            raise DataError("upload-empty")
        if len(announced.files) > MAX_FILES:
            raise DataError("upload-too-many", files=len(announced.files), limit=MAX_FILES)
        if total > self.max_bytes or any(size < 0 for _, size in announced.files):
            raise DataError("upload-too-large", megabytes=total >> 20, limit=self.max_bytes >> 20)
        content = announced.model_dump_json()
        key = hashlib.sha256(content.encode()).hexdigest()[:32]
        with self._lock:
            if key in self._finishing:  # the same files were uploaded from another page
                return key, [size for _, size in announced.files]
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                self._forget_old()
                folder = self._folder(key)
                folder.mkdir(exist_ok=True)
                os.utime(folder)
                came = [_size(folder / str(number)) for number in range(len(announced.files))]
                if shutil.disk_usage(folder).free < total - sum(came):
                    shutil.rmtree(folder, ignore_errors=True)
                    raise DataError("disk-full", path=str(self.root))
                write_text(folder / _ANNOUNCED, content)
            except OSError as error:
                raise write_error(error, self.root) from error
        return key, [at if one else size for at, one, (_, size) in zip(came, wanted, announced.files, strict=True)]

    def add(self, key: str, pieces: Sequence[tuple[int, int, bytes]]) -> None:
        """Write pieces: (index of the file, offset, bytes). A piece may be sent more than once.

        Raises DataError "upload-gone" for an unknown upload, "upload-mismatch" for bytes that were not announced, and
        "disk-full", "cannot-write".
        """
        with self._lock:
            folder, announced = self._known(key)
            if key in self._finishing:
                return
            for number, offset, content in pieces:
                if not 0 <= number < len(announced.files):
                    raise DataError("upload-mismatch")
                path = folder / str(number)
                if not 0 <= offset <= _size(path) or offset + len(content) > announced.files[number][1]:
                    raise DataError("upload-mismatch")
                try:
                    with path.open("r+b" if path.exists() else "xb") as file:
                        file.seek(offset)
                        file.write(content)
                except OSError as error:
                    raise write_error(error, path) from error
            os.utime(folder)

    def finish(
        self, key: str, progress: Callable[[int, int], None] | None = None, *, check: Callable[[Path, str], None] | None = None
    ) -> Path:
        """Turn a completed upload into a folder with a free name. Archives are unpacked; a single archive becomes the folder itself.

        Args:
            progress: called with the bytes unpacked of an archive and their total.
            check: called with the unpacked folder and its name, before it is moved to its place. If it raises, nothing is kept.

        Raises:
            DataError: "upload-gone", "upload-mismatch" where something has not come, "disk-full", "cannot-write"; or as ``check`` does.
            DownloadError: what :func:`unpack` says of an archive.
        """
        with self._lock:
            folder, announced = self._known(key)
            if key in self._finishing:
                raise DataError("upload-gone")
            self._finishing.add(key)
        made = folder / "made"
        try:
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            paths = _safe_paths([path for path, _ in announced.files])
            for number, ((given, size), path) in enumerate(zip(announced.files, paths, strict=True)):
                if not is_wanted(given) or not size:
                    continue
                came = folder / str(number)
                if _size(came) != size:
                    raise DataError("upload-mismatch")
                target = made.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                if is_archive_name(given) and is_zip_or_tar(came):
                    named = folder / target.name  # errors name the archive as uploaded
                    os.replace(came, named)
                    unpack(named, _free(target.with_name(without_suffix(target.name) or "_")), progress=progress)
                else:
                    os.replace(came, target)
            unpacked, name = _only_folder(made), without_suffix(announced.name) or "_"
            if check:
                check(unpacked, name)
            with self._lock:
                final = _free(self.root / name, self._taken)
                os.replace(unpacked, final)
                (self.root / BROUGHT).touch()
        except OSError as error:
            raise write_error(error, self.root) from error
        finally:
            with self._lock:
                shutil.rmtree(folder, ignore_errors=True)
                self._finishing.discard(key)
        return final

    def has(self, key: str) -> bool:
        """Whether there is an unfinished upload with that key."""
        return (self._folder(key) / _ANNOUNCED).is_file()

    def _known(self, key: str) -> tuple[Path, UploadManifest]:
        folder = self._folder(key)
        try:
            return folder, UploadManifest.model_validate_json((folder / _ANNOUNCED).read_bytes())
        except (OSError, ValidationError) as error:
            raise DataError("upload-gone") from error

    def _folder(self, key: str) -> Path:
        if len(key) != 32 or not key.isascii() or not key.isalnum():
            raise DataError("upload-gone")
        return self.root / f"{_PREFIX}{key}"

    def _forget_old(self) -> None:
        for folder in self.root.glob(f"{_PREFIX}*"):
            with suppress(FileNotFoundError):  # another process has just finished it
                if not folder.is_symlink() and folder.stat().st_mtime < time.time() - KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)


def is_wanted(path: str) -> bool:
    """Whether a file belongs in a dataset: a picture, a label file or an archive."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)
    return not hidden and (looks_like_picture(path) or path.lower().endswith(LABELS) or is_archive_name(path))


def _safe_paths(given: Sequence[str]) -> list[PurePosixPath]:
    """The paths made valid on every file system, distinct, and inside the folder."""
    taken: dict[tuple[str, ...], dict[str, int]] = {}  # folder as given → case-folded name → number of uses
    folders: dict[tuple[str, ...], PurePosixPath] = {(): PurePosixPath()}

    def placed(own: tuple[str, ...]) -> PurePosixPath:
        names, name = taken.setdefault(own[:-1], {}), safe_name(own[-1])
        while (folded := name.casefold()) in names:
            names[folded] += 1
            stem, suffix = PurePosixPath(own[-1]).stem, PurePosixPath(own[-1]).suffix  # the suffix has to stay at the end
            name = safe_name(f"{stem[:SHORT_STEM]} {names[folded]}{suffix}")  # a long name would lose its number
        names[folded] = 1
        return folders[own[:-1]] / name

    safe = []
    for path in given:
        parts = tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", ".", ".."))[-MAX_DEPTH:] or ("_",)
        for depth in range(1, len(parts)):
            if parts[:depth] not in folders:
                folders[parts[:depth]] = placed(parts[:depth])
        safe.append(placed(parts))
    return safe


def _free(folder: Path, taken: Collection[str] = ()) -> Path:
    """The folder, with a number appended to its name if it exists already."""
    return free_folder(folder, lambda one: not os.path.lexists(one) and one.name not in taken)


def _only_folder(folder: Path) -> Path:
    """The only folder inside a folder, if it holds nothing else, such as a "Fruit/" around the class folders."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
