"""Local archives of pictures: unpacked once, beside the archive or in the cache folder, and reused later.

The file that records a folder's archive is written last, so that a partly unpacked folder is never taken for a complete one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from fruitvision.data.fetch.archive import is_archive_name, unpack, without_suffix
from fruitvision.data.fetch.transfer import recorded_sha256
from fruitvision.errors import ConfigError, DataError, DownloadError
from fruitvision.files import cache_folder, named_write_errors, sha256_of

MARKER = "unpacked.json"
TEACHABLE_MACHINE = ".tm"
LIMIT_GB = 2.0
"""The default size limit for an archive, which ``FRUITVISION_ARCHIVE_GB`` overrides. The unpacked size is limited by ``archive.py``."""


def is_archive(path: str | Path) -> bool:
    """Whether a path is a file with the name of an archive that can be unpacked."""
    return is_archive_name(str(path)) and Path(path).is_file()


def archive_limit() -> int:
    """The size limit of unpacked archives, in bytes. Raises ConfigError "bad-archive-limit"."""
    given = os.environ.get("FRUITVISION_ARCHIVE_GB") or str(LIMIT_GB)
    try:
        limit = float(given)
    except ValueError:
        limit = 0.0
    if not 0 < limit <= 1e4:
        raise ConfigError("bad-archive-limit", given=given[:40])
    return int(limit * 2**30)


def unpacked(archive: Path, *, progress: Callable[[int, int], None] | None = None) -> tuple[Path, bool]:
    """Unpack an archive unless it was unpacked before; returns its folder, and whether it was unpacked now.

    The folder has the archive's name and lies beside it, with a number if that name is taken, or in the cache folder if it cannot be
    written there. A folder that was unpacked from an archive with the same content is reused.

    Args:
        progress: called with (bytes unpacked, total).

    Raises:
        DataError: "archive-over-limit", "tm-no-pictures", "disk-full", "cannot-write"; DownloadError as
            :func:`fruitvision.data.fetch.archive.unpack`.
    """
    archive = archive.absolute()
    with named_write_errors(archive):
        info = archive.stat()
    if info.st_size > archive_limit():
        raise DataError("archive-over-limit", file=archive.name, size=info.st_size / 2**30, limit=archive_limit() / 2**30)
    content = _content(str(archive), info.st_size, info.st_mtime_ns)
    kept = cache_folder() / "archives" / hashlib.sha256(str(archive).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    with named_write_errors(kept):
        kept.mkdir(parents=True, exist_ok=True)
        lock = FileLock(kept / "lock")
        lock.acquire()
    try:
        folder, is_whole = _folder(archive, kept, content)
        if is_whole:
            return folder, False
        note = {"archive": archive.name, "bytes": info.st_size, "mtime_ns": info.st_mtime_ns, "sha256": content}
        return _unpack(archive, folder, json.dumps(note, indent=2), progress), True
    finally:
        lock.release()


def _unpack(archive: Path, folder: Path, note: str, progress: Callable[[int, int], None] | None) -> Path:
    try:
        return unpack(archive, folder, also={MARKER: note}, progress=progress)
    except DownloadError as error:
        if error.code == "archive-no-pictures" and archive.suffix.lower() == TEACHABLE_MACHINE:
            raise DataError("tm-no-pictures", file=archive.name) from error
        raise


def _folder(archive: Path, kept: Path, content: str) -> tuple[Path, bool]:
    """The folder for an archive, and whether it is already unpacked there."""
    name = without_suffix(archive.name) or "archive"
    places = (archive.with_name(name), archive.with_name(f"{name}-unpacked"), kept / name)
    for place in places:
        if recorded_sha256(place / MARKER) == content:
            return place, True
    writable = os.access(archive.parent, os.W_OK)
    for place in places[:2] if writable else ():
        if not os.path.lexists(place) or recorded_sha256(place / MARKER):
            return place, False
    return places[2], False


@lru_cache(maxsize=64)
def _content(archive: str, size: int, mtime_ns: int) -> str:
    """The SHA-256 of an archive, cached in this process as long as its size and modification time stay the same."""
    return sha256_of(Path(archive))
