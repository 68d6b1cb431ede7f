"""Parse a picture file of any supported format."""

from __future__ import annotations

import re
from collections.abc import Callable

from fruitvision.data.read.formats.bmp_gif import read_bmp, read_gif
from fruitvision.data.read.formats.heif import read_heif
from fruitvision.data.read.formats.jpeg import read_jpeg
from fruitvision.data.read.formats.picture_file import PictureFile
from fruitvision.data.read.formats.png import read_png
from fruitvision.data.read.formats.tiff import read_tiff
from fruitvision.data.read.formats.webp import read_webp
from fruitvision.errors import PictureError

_FORMATS: tuple[tuple[int, bytes, Callable[[bytes, str], PictureFile]], ...] = (
    (0, b"\xff\xd8\xff", read_jpeg),
    (0, b"\x89PNG\r\n\x1a\n", read_png),
    (8, b"WEBP", read_webp),
    (0, b"GIF8", read_gif),
    (0, b"BM", read_bmp),
    (0, b"II*\0", read_tiff),
    (0, b"MM\0*", read_tiff),
    (0, b"II+\0", read_tiff),
    (0, b"MM\0+", read_tiff),
    (4, b"ftyp", read_heif),
)
"""(offset, first bytes, parser) of each supported format. Other formats are never passed to Pillow, whose rarer decoders are old and
little tested. Its ``open``, which only warns of a large picture, is not called; the size is checked here."""

_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
MAX_LEADING_BYTES = 1024
"""Limit on bytes before a picture, such as a line that was written by a server or a script."""
_BEHIND = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP", re.DOTALL)


def read_structure(data: bytes, name: str = "") -> PictureFile:
    """Parse a picture file and rewrite it for decoding; nothing is decoded.

    Raises:
        PictureError: its format or encoding is not supported, or it has too many parts.
        ValueError, struct.error, IndexError: it is damaged.
    """
    if (read := _reader_of(data)) is not None:
        return read(data, name)
    if data.startswith(_JPEG_XL):
        raise PictureError("picture-jpeg-xl", picture=name)
    begin = _BEHIND.search(data, 0, MAX_LEADING_BYTES + 12)
    read = _reader_of(data[begin.start() : begin.end()]) if begin else None
    if begin is None or read is None:
        raise PictureError("picture-not-an-image", picture=name)
    file = read(data[begin.start() :], name)
    return file._replace(note=file.note or "leading-bytes")


def _reader_of(data: bytes) -> Callable[[bytes, str], PictureFile] | None:
    return next((read for at, magic, read in _FORMATS if data.startswith(magic, at)), None)
