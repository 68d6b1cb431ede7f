"""What is known of a picture file before it is decoded, and the limits that it must keep.

Pillow's readers trust a file's structure: a tag that occurs twice is read twice, a comment is joined anew with each of its
blocks, and a few bytes may stand for gigabytes. So they get a file that was taken apart first: of each format the codecs
whose memory and time are bounded by the pixels, and only the parts that decoding needs. Camera metadata, texts, color
profiles and further frames are left out; only the orientation is read from them.
"""

from __future__ import annotations

from typing import NamedTuple

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fruitvision.errors import PictureError

MAX_SIDE = 65_535
"""As in JPEG and GIF; TIFF, PNG and BMP could claim a row that is the whole picture, and several such rows are held at once."""
MAX_PARTS = 100_000
"""Segments of a JPEG, chunks of a PNG, strips or tiles of a TIFF, blocks before a GIF's first frame."""
_STRIP_WEIGHT = 100
"""Pillow keeps some 500 bytes for each strip of a TIFF; a pixel of a picture that is decoded takes 5 to 12."""
_HEAVY_READERS = (WebPImageFile, TiffImageFile)
"""The readers that hold a picture more than once at a time: 16 bytes a pixel."""


class PictureFile(NamedTuple):
    """A picture file that may be decoded."""

    reader: type[ImageFile]
    data: bytes
    """What the reader is given."""
    width: int
    height: int
    orientation: int = 1
    """As EXIF counts it, 1..8; 1 where the reader applies it by itself."""
    reducible: bool = False
    """Whether it can be decoded at 1/2, 1/4 or 1/8 of its size without holding all of it: a JPEG of one scan."""
    parts: int = 0
    """Of a TIFF, how many strips or tiles."""
    pixels: int = 0
    """What the decoder goes through: width times height, or more where tiles reach beyond the edges."""

    def weight(self, short_side: int | None) -> int:
        """Memory that decoding it takes, in pixels; ``short_side`` as for ``Image.draft``."""
        pixels = max(self.pixels, self.width * self.height)
        if short_side and self.reducible:
            reduced = min(self.width // short_side, self.height // short_side)
            scale = next((s for s in (8, 4, 2) if reduced >= s), 1)
            pixels = -(-self.width // scale) * -(-self.height // scale)
        if self.reader in _HEAVY_READERS:
            pixels = pixels * 8 // 5
        return max(pixels, len(self.data) // 8, self.parts * _STRIP_WEIGHT)


def unsupported(name: str, kind: str) -> PictureError:
    """The error for an encoding that could take any amount of memory or time."""
    return PictureError("picture-encoding", picture=name, kind=kind)


def too_many_parts(name: str, parts: str, limit: int = MAX_PARTS) -> PictureError:
    """The error for a file of so many parts that reading them would take too long."""
    return PictureError("picture-too-many-parts", picture=name, parts=parts, limit=limit)
