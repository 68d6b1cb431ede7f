"""Read a tar archive with ``tarfile`` within bounds on memory.

tarfile reads the extended headers before an entry whole and keeps their fields, and keeps every entry. Here only the name and size
are kept of a header, and no entry after it was processed.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

MAX_HEADER_BYTES = 2**20
"""Limit on all long names and extended headers before an entry. tarfile reads each whole, and keeps one while reading the next."""
MAX_PADDING = 16 * 2**20
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_RECORD = re.compile(rb"([0-9]{1,9}) ([^=\n]{1,1000})=")


class RefusedTar(tarfile.TarError):
    """A tar that cannot be used. tarfile does not go on to try other compressions, as it does after its own ReadError."""


def open_tar(path: Path) -> tarfile.TarFile:
    """Open a tar and read its first entry. Raises tarfile.ReadError for another format, or another error for a damaged tar."""
    return tarfile.open(path, tarinfo=_BoundedTarInfo)


def tar_entries(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Iterate over the entries; tarfile's own iteration would keep all of them in memory, with the target of each link."""
    while (entry := opened.next()) is not None:
        opened.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # not in the type stubs
        entry.linkname = ""
        yield entry


def read_to_end(opened: tarfile.TarFile) -> None:
    """Read to the end, to detect a truncated tar, which tarfile accepts, and to let the decompressor verify its checksum."""
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
    """An entry with bounded long names and extended headers; sparse files are rejected.

    tarfile reads the whole map of a sparse file into a list at once; archives of pictures have none. Before Python 3.11.10 and 3.12.6
    its parsing of an extended header with many digits takes hours (CVE-2024-6232), and it copies all global headers for every entry.
    """

    # CPython 3.11 to 3.14: tarfile's source says that subclasses may override these.
    def _proc_member(self, opened: tarfile.TarFile) -> tarfile.TarInfo:
        is_file = self.isfile() or self.isdir()
        before = self.offset - opened.offset  # the headers since the last entry; the archive's offset is after them
        if before + (0 if is_file else self.size) > MAX_HEADER_BYTES or self.type in _HEADERS and self.size < 0:
            raise RefusedTar("a header is too long")
        return super()._proc_member(opened)  # pyright: ignore[reportAttributeAccessIssue]  # not in the type stubs

    def _proc_pax(self, opened: tarfile.TarFile) -> tarfile.TarInfo:
        """Use the name and size of an extended header, and nothing of a global one."""
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
    """The records of an extended header: "length keyword=value\\n". Raises RefusedTar for a sparse file's."""
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
