"""Unpack an untrusted archive: every name is checked before the first byte is written.

Nothing is written outside the target folder, only plain files and folders are created, names must be valid on Windows, and the
declared unpacked size is limited. Files are written to a temporary folder beside the target, which is renamed when complete, so a
partly unpacked folder never looks complete.
"""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from fruitvision.data.fetch.entry_names import MAX_PATH_BYTES, PathTree, is_system_file, name_fault, zip_name
from fruitvision.data.fetch.tar import open_tar, read_to_end, tar_entries
from fruitvision.data.read.layouts.names import looks_like_picture
from fruitvision.errors import DownloadError, Fault
from fruitvision.files import replace_folder, write_error

SUFFIXES = (".zip", ".tm", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".txz", ".tbz2")
"""The suffixes of archives, ignoring case; .tm is a project of Teachable Machine."""
MAX_FILES = 1_000_000
MAX_BYTES = 64 * 2**30  # unpacked; about ten times all of Fruits-360, with the large pictures
MAX_RATIO = 100  # unpacked to packed size: pictures hardly compress, a zip bomb expands a thousandfold
RATIO_FREE_BYTES = 16 * 2**20  # below this size the ratio is not checked
MAX_LZMA_BYTES = 128 * 2**20  # of a zip's entry with LZMA, whose decoder keeps as much of it in memory as the entry declares
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    IndexError,
    KeyError,
    OverflowError,
)  # what zipfile and tarfile raise on damaged data, some of it unintentionally


def is_archive_name(name: str) -> bool:
    """Whether a file name has the suffix of an archive."""
    return name.lower().endswith(SUFFIXES)


def is_zip_or_tar(path: Path) -> bool:
    """Whether a file's content is a zip or a tar, whatever its name; it may still be damaged. Raises OSError."""
    if zipfile.is_zipfile(path):
        return True
    try:
        open_tar(path).close()
    except (tarfile.ReadError, tarfile.CompressionError):
        return False
    except _DAMAGED:
        return True
    return True


def without_suffix(name: str) -> str:
    """An archive's name without its suffix, "fruit" for "fruit.tar.gz"; any other name is returned unchanged."""
    ends = [end for end in SUFFIXES if name.lower().endswith(end)]
    return name[: -len(max(ends, key=len))] if ends else name


@dataclass(frozen=True)
class Member:
    """One file in an archive: its checked path, its declared size, and the archive's entry."""

    path: PurePosixPath
    size: int
    entry: zipfile.ZipInfo | tarfile.TarInfo


class _Bounds(NamedTuple):
    files: int
    bytes: int


def unpack(
    archive: Path,
    folder: Path,
    *,
    also: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    max_files: int | None = None,
    max_bytes: int | None = None,
) -> Path:
    """Unpack the pictures of a zip or tar archive as ``folder``, which must be missing or empty.

    Of an archive with a ``…/Training/`` folder, only that folder, its siblings for test and validation, and the files beside them are
    unpacked (those of 100×100 pixels if there are several, as in Kaggle's archive). Of any other archive, everything below its single
    top folder is unpacked.

    Args:
        also: text files to add to the folder: name → content.
        progress: called with the bytes unpacked and their total.
        max_files: limit for the whole archive; ``MAX_FILES`` by default.
        max_bytes: limit for the unpacked size; ``MAX_BYTES`` by default.

    Raises:
        DownloadError: "archive-damaged", "archive-unsafe", "archive-too-large", "archive-no-pictures".
        DataError: "disk-full", "cannot-write".
    """
    beside = folder.with_name(f".{folder.name}.unpacking")
    bounds = _Bounds(max_files or MAX_FILES, max_bytes or MAX_BYTES)
    try:
        shutil.rmtree(beside, ignore_errors=True)  # left by a killed process
        beside.mkdir(parents=True)
        with _reading(archive):
            if zipfile.is_zipfile(archive):
                _check_directory(archive, bounds)
                opened = zipfile.ZipFile(archive)
            else:
                opened = open_tar(archive)
        with opened:
            with _reading(archive):
                members = _members(opened, archive, bounds)
            _write_all(opened, _chosen(members, archive), beside, archive, progress)
        for name, text in (also or {}).items():
            (beside / name).write_text(text, encoding="utf-8")
        replace_folder(beside, folder)
    except OSError as error:
        raise write_error(error, folder) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn the many exceptions that zipfile and tarfile raise on damaged data into one error."""
    try:
        yield
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # errors of gzip and tarfile have no errno
            raise
        raise DownloadError("archive-damaged", file=str(archive), reason=str(error)) from error


def _check_directory(archive: Path, bounds: _Bounds) -> None:
    """Bound the number of entries in a zip's directory before zipfile parses it, which turns 47 bytes into some 500 of memory."""
    signature, entries, rest = b"PK\1\2", 0, b""
    with archive.open("rb") as stream:
        while block := stream.read(2**20):
            entries += (rest + block).count(signature)
            rest = block[-3:]
    if entries > 2 * bounds.files:  # the signature may also occur in file data
        raise _too_large(archive, entries, 0)


def _members(opened: zipfile.ZipFile | tarfile.TarFile, archive: Path, bounds: _Bounds) -> list[Member]:
    """All files of an archive; a single unsafe entry rejects the whole archive."""
    members: list[Member] = []
    tree = PathTree()
    total, claimed, packed = 0, 0, max(archive.stat().st_size, 1)
    for count, entry in enumerate(opened.infolist() if isinstance(opened, zipfile.ZipFile) else tar_entries(opened), start=1):
        is_zip = isinstance(entry, zipfile.ZipInfo)
        name, size = (zip_name(entry), entry.file_size) if is_zip else (entry.name, entry.size)
        own = is_system_file(name)
        if reason := ("" if own else name_fault(name)) or (_zip_fault(entry) if is_zip else _tar_fault(entry)):
            raise _unsafe(archive, name, reason)
        if size < 0:
            raise tarfile.ReadError("a negative size")
        if isinstance(entry, zipfile.ZipInfo) and entry.compress_type == zipfile.ZIP_LZMA and size > MAX_LZMA_BYTES:
            raise _too_large(archive, count, size)
        if isinstance(entry, zipfile.ZipInfo) and (claimed := claimed + entry.compress_size) > packed:
            raise zipfile.BadZipFile("entries lie upon each other")  # the same bytes would be decompressed for each
        total += size
        # In a compressed tar the headers are compressed as well.
        unpacked = total if isinstance(opened, zipfile.ZipFile) else max(total, opened.offset)
        if count > bounds.files or unpacked > bounds.bytes or unpacked > max(packed * MAX_RATIO, RATIO_FREE_BYTES):
            raise _too_large(archive, count, unpacked)
        path = PurePosixPath(name)
        if own or not path.parts:
            continue  # "./", the top of the archive
        is_folder = name.endswith("/") if is_zip else entry.isdir()
        if reason := tree.add(path, is_folder):
            raise _unsafe(archive, name, reason)
        if tree.bytes > MAX_PATH_BYTES:
            raise _too_large(archive, count, unpacked)
        if not is_folder:
            members.append(Member(path, size, entry))
    if isinstance(opened, tarfile.TarFile):
        read_to_end(opened)
    return members


def _zip_fault(entry: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "link-or-device"
    return "encrypted" if entry.flag_bits & 0x1 else ""


def _tar_fault(entry: tarfile.TarInfo) -> str:
    return "" if entry.isfile() or entry.isdir() else "link-or-device"


def _chosen(members: list[Member], archive: Path) -> list[Member]:
    """The members of the dataset in the archive, their paths relative to the dataset's own folder."""
    roots = {
        member.path.parts[:at]
        for member in members
        for at, part in enumerate(member.path.parts[:-1])
        if part.lower().startswith("training")
    }
    if roots:
        root = min(roots, key=lambda parts: ("100x100" not in "/".join(parts), len(parts), parts))
    else:
        tops = {member.path.parts[0] for member in members}
        root = tuple(tops) if len(tops) == 1 and all(len(member.path.parts) > 1 for member in members) else ()
    inside = []
    for member in members:
        parts = member.path.parts[len(root) :]
        if member.path.parts[: len(root)] != root:
            continue
        if not roots or len(parts) == 1 or parts[0].lower().startswith(("training", "test", "validation")):
            inside.append(Member(PurePosixPath(*parts), member.size, member.entry))
    if not any(looks_like_picture(member.path.name) for member in inside):
        raise DownloadError("archive-no-pictures", file=archive.name)
    return inside


def _write_all(
    opened: zipfile.ZipFile | tarfile.TarFile,
    members: list[Member],
    folder: Path,
    archive: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    total, done, made = sum(member.size for member in members), 0, set()
    if shutil.disk_usage(folder).free < total:
        raise OSError(errno.ENOSPC, "No space left on device")
    for member in members:
        path = folder.joinpath(*member.path.parts)
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        with _reading(archive):
            with _opened(opened, member) as source, path.open("xb") as target:
                done += _copy(source, target, member.size)
        if progress is not None:
            progress(done, total)


def _opened(archive: zipfile.ZipFile | tarfile.TarFile, member: Member) -> IO[bytes]:
    if isinstance(archive, zipfile.ZipFile):
        return archive.open(cast(zipfile.ZipInfo, member.entry))
    content = archive.extractfile(cast(tarfile.TarInfo, member.entry))
    assert content is not None  # a member is a file
    return content


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> int:
    """Copy one member. Raises EOFError if its size differs from the declared one, on which the limits were checked."""
    written = 0
    while block := source.read(2**20):
        written += len(block)
        if written > size:
            raise EOFError("a file is larger than the archive says")
        target.write(block)
    if written < size:
        raise EOFError("a file is shorter than the archive says")
    return written


def _too_large(archive: Path, files: int, size: int) -> DownloadError:
    return DownloadError("archive-too-large", file=archive.name, files=files, bytes=size)


def _unsafe(archive: Path, name: str, reason: str) -> DownloadError:
    shown = name[:120].encode("ascii", "backslashreplace").decode()
    return DownloadError("archive-unsafe", file=archive.name, name=shown, reason=Fault(reason))
