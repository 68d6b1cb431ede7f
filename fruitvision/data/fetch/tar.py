"""A tar as ``tarfile`` reads it, within bounds: what stands before an entry is read whole, and what it says of it is kept.

Of these headers only a name and a size are of use to pictures, so nothing else of them is kept, and no entry after it was seen.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

MAX_HEADER_BYTES = 2**20
"""Of all long names and extended headers before one entry. tarfile reads each whole, and holds one while it reads the next."""
MAX_PADDING = 16 * 2**20
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_RECORD = re.compile(rb"([0-9]{1,9}) ([^=\n]{1,1000})=")


class RefusedTar(tarfile.TarError):
    """It is a tar, and of no use: tarfile tries no other compression, as it does after its own ReadError."""


def open_tar(path: Path) -> tarfile.TarFile:
    """A tar, its first entry read. Raises tarfile.ReadError where it is none, or another error where it is a damaged one."""
    return tarfile.open(path, tarinfo=_BoundedTarInfo)


def tar_entries(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The entries one by one. tarfile would list them all, those too that are not unpacked, and the target of a link with each."""
    while (entry := opened.next()) is not None:
        opened.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # not in the type stubs
        entry.linkname = ""
        yield entry


def read_to_end(opened: tarfile.TarFile) -> None:
    """Detect a truncated tar, which tarfile accepts, and let the decompressor verify its checksum."""
    assert opened.fileobj is not None  # it is open
    opened.fileobj.seek(opened.offset)
    if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("the end is missing")
    padding = 0
    while block := opened.fileobj.read(2**16):
        padding += len(block)
        if padding > MAX_PADDING:
            raise tarfile.ReadError("something follows the end")


class _BoundedTarInfo(tarfile.TarInfo):
    """An entry whose long names and extended headers are bounded, and which is not sparse.

    tarfile reads the whole map of a sparse file into a list as soon as it meets one; no archive of pictures holds any. Its own
    reading of extended headers takes hours for one of many digits before Python 3.11.10 and 3.12.6 (CVE-2024-6232), and keeps a
    copy of all global ones for every entry.
    """

    # CPython 3.11 to 3.14: tarfile's source says that subclasses may override these.
    def _proc_member(self, opened: tarfile.TarFile) -> tarfile.TarInfo:
        is_file = self.isfile() or self.isdir()
        before = self.offset - opened.offset  # the headers read since the last entry: the archive's own offset is behind that
        if before + (0 if is_file else self.size) > MAX_HEADER_BYTES or self.type in _HEADERS and self.size < 0:
            raise RefusedTar("a header is too long")
        return super()._proc_member(opened)  # pyright: ignore[reportAttributeAccessIssue]  # not in the type stubs

    def _proc_pax(self, opened: tarfile.TarFile) -> tarfile.TarInfo:
        """Of an extended header the entry's name and size; of a global one nothing: no entry's name is that of all."""
        assert opened.fileobj is not None  # it is open
        content = opened.fileobj.read(-(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        said = _records(content[: self.size]) if self.type != tarfile.XGLTYPE else {}
        try:
            entry = self.fromtarfile(opened)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None
        if "path" in said:
            entry.name = said["path"].rstrip("/")
        if "size" in said:
            entry.size = int(said["size"])
            content_bytes = -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE if entry.isfile() else 0
            opened.offset = entry.offset_data + content_bytes
        return entry

    def _proc_sparse(self, opened: tarfile.TarFile) -> tarfile.TarInfo:
        raise RefusedTar("a sparse file")


def _records(content: bytes) -> dict[str, str]:
    """What an extended header says: records of "length keyword=value\\n". Raises RefusedTar for a sparse file's."""
    said, at = {}, 0
    while found := _RECORD.match(content, at):
        end = at + int(found[1])
        if end <= found.end() or end > len(content):
            raise tarfile.ReadError("a header is damaged")
        keyword = found[2].decode("utf-8", "replace")
        if keyword.startswith("GNU.sparse."):
            raise RefusedTar("a sparse file")
        if keyword in ("path", "size"):
            said[keyword] = content[found.end() : end - 1].decode("utf-8", "surrogateescape")
        at = end
    return said
