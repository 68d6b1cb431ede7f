"""Read a tar archive with ``tarfile`` within bounds on memory.

tarfile reads the extended headers before an entry whole and keeps their fields, and keeps every entry. Here only the name and size
are kept of a header, and no entry after it was processed.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

MAX_HEADER_BYTES = 2**20
"""Limit on all long names and extended headers before an entry. tarfile reads each whole, and keeps one while reading the next."""
MAX_XZ_MEMORY = 160 * 2**20
"""Limit on the dictionary of xz, which may declare gigabytes. ``xz -9`` takes 65 MB."""
MAX_PADDING = 16 * 2**20
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_RECORD = re.compile(rb"([0-9]{1,9}) ([^=\n]{1,1000})=")


class RefusedTar(tarfile.TarError):
    """A tar that cannot be used. tarfile does not go on to try other compressions, as it does after its own ReadError."""


def open_tar(path: Path) -> tarfile.TarFile:
    """Open a tar and read its first entry. Raises tarfile.ReadError for another format, or another error for a damaged tar."""
    return _BoundedTar.open(path, tarinfo=_BoundedTarInfo)


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


class _XzReader(io.RawIOBase):
    """The content of an .xz or .lzma file, decompressed with a dictionary of bounded size; ``lzma.LZMAFile`` knows no limit."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._decoder, self._at = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY), 0

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True: backwards it starts anew."""
        return True

    def tell(self) -> int:
        """The position in the content."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file, but for ``SEEK_END``, which tarfile does not use."""
        target = offset + self._at if whence == io.SEEK_CUR else offset
        if target < self._at:
            self._begin()
        while self._at < target and self.read(min(target - self._at, 2**20)):
            pass
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read into ``buffer``. Raises LZMAError, EOFError."""
        view = memoryview(buffer).cast("B")
        found = b""
        while not found and len(view):
            more = b""
            if self._decoder.eof:  # there may be another stream, behind zeros
                more = self._decoder.unused_data.lstrip(b"\0")
                while not more:
                    if not (more := self._file.read(2**16)):
                        return 0
                    more = more.lstrip(b"\0")
                self._decoder = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
            elif self._decoder.needs_input and not (more := self._file.read(2**16)):
                raise EOFError("the compressed data are cut off")
            found = self._decoder.decompress(more, len(view))
        view[: len(found)] = found
        self._at += len(found)
        return len(found)


class _BoundedTar(tarfile.TarFile):
    """A tar archive; a compressed one is read in bounded memory."""

    # CPython 3.11 to 3.14: TarFile.open calls this for lzma, by OPEN_METH, which tarfile's source says that subclasses may change.
    @classmethod
    def xzopen(cls, name: Any, mode: Any = "r", fileobj: Any = None, preset: Any = None, **named: Any) -> _BoundedTar:
        """As tarfile's, for reading."""
        file = io.BufferedReader(_XzReader(open(name, "rb") if fileobj is None else fileobj), 2**16)
        try:
            opened = cls.taropen(name, mode, file, **named)
        except BaseException as error:
            file.close()
            if isinstance(error, lzma.LZMAError) and "limit" in str(error):
                raise RefusedTar("the dictionary of its compression is too large") from error
            if isinstance(error, lzma.LZMAError | EOFError):
                raise tarfile.ReadError("no xz") from error
            raise
        opened._extfileobj = False  # pyright: ignore[reportAttributeAccessIssue]  # closed with the archive
        return opened


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
