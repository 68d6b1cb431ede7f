"""A picture file of any readable format, taken apart."""

from __future__ import annotations

from collections.abc import Callable

from fruitvision.data.read.formats.bmp import read_bmp
from fruitvision.data.read.formats.gif import read_gif
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
)
"""The first bytes of each readable format: where they stand, what they are. Nothing else is ever passed to Pillow, whose
rarer decoders are old and little tested; and its ``open``, which only warns of a large picture, is not called: the size is
checked here."""


def read_structure(data: bytes, name: str = "") -> PictureFile:
    """Take a picture file apart; nothing is decoded.

    Raises:
        PictureError: its format or encoding is not supported, or it has too many parts.
        ValueError, struct.error, IndexError: it is damaged.
    """
    read = next((read for at, magic, read in _FORMATS if data.startswith(magic, at)), None)
    if read is None:
        raise PictureError("picture-not-an-image", picture=name)
    return read(data, name)
