"""A parsed picture file that may be decoded, and the limits that it must respect.

Pillow's readers trust a file's structure: a tag that occurs twice is read twice, a comment is concatenated again for each of its
blocks, and a few bytes may expand to gigabytes. Therefore they only get files that were parsed and rewritten: of each format the
codecs whose memory and time are bounded by the number of pixels, and only the parts needed for decoding. Metadata, texts and further
frames are left out; the orientation is read from them, and the color profile is kept separately (:mod:`fruitvision.data.read.rgb`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fruitvision.errors import PictureError

MAX_SIDE = 65_535
"""The limit of JPEG and GIF. A row of a TIFF, PNG or BMP could otherwise be the whole picture, and several rows are held in memory."""
MAX_PARTS = 100_000
"""Segments of a JPEG, chunks of a PNG, strips or tiles of a TIFF, blocks before a GIF's first frame."""
_STRIP_WEIGHT = 100
"""In pixels: Pillow keeps some 500 bytes for each strip of a TIFF, and 5 to 12 bytes for a decoded pixel."""
FREE_TILE_PIXELS = 2**22
"""Tiles may have this many pixels in total, whatever the size of the picture."""
MAX_PROFILE_BYTES = 4 * 2**20
"""Limit on a color profile; those for CMYK have up to 3 MB."""
_HEAVY_READERS = (WebPImageFile, TiffImageFile)
"""The readers that hold several copies of a picture: 16 bytes per pixel."""
_BYTES_PER_PIXEL, _RGB_BYTES = 12, 4
"""The memory per pixel of a JPEG with several scans at full size, and the part of it for the decoded pixels."""

Note = Literal["", "cut-off", "leading-bytes"]
"""A problem with a file that can be read nevertheless."""


class PictureFile(NamedTuple):
    """A picture file that may be decoded."""

    reader: type[ImageFile]
    data: bytes
    """The rewritten file for the reader."""
    width: int
    height: int
    orientation: int = 1
    """EXIF's orientation, 1..8; 1 if the reader applies it."""
    reducible: bool = False
    """Whether it can be decoded at 1/2, 1/4 or 1/8 of its size: a JPEG."""
    coefficients: int = 0
    """The bytes of the coefficients of a JPEG with several scans, which are held at any scale."""
    parts: int = 0
    """The number of strips or tiles of a TIFF."""
    pixels: int = 0
    """The pixels that are decoded: width times height, or more if tiles extend beyond the edges."""
    tables: int = 0
    """Of a lossless WebP, the bytes that its decoder's tables may take."""
    profile: bytes = b""
    """The ICC color profile of the file; empty if there is none."""
    note: Note = ""

    def reduced(self, short_side: int | None) -> tuple[int, int]:
        """The (width, height) at which it is decoded; ``short_side`` as for ``Image.draft``."""
        if not short_side or not self.reducible:
            return self.width, self.height
        times = min(self.width // short_side, self.height // short_side)
        scale = next((s for s in (8, 4, 2) if times >= s), 1)
        return -(-self.width // scale), -(-self.height // scale)

    def weight(self, short_side: int | None) -> int:
        """The memory for decoding, in pixels; ``short_side`` as for ``Image.draft``."""
        width, height = self.reduced(short_side)
        pixels = max(self.pixels, width * height)
        pixels = max(pixels, (width * height * _RGB_BYTES + self.coefficients) // _BYTES_PER_PIXEL)
        if self.reader in _HEAVY_READERS:
            pixels = pixels * 8 // 5
        pixels += self.tables // _BYTES_PER_PIXEL
        return max(pixels, len(self.data) // 8, self.parts * _STRIP_WEIGHT)


def unsupported(name: str, kind: str) -> PictureError:
    """The error for an encoding that could take any amount of memory or time."""
    return PictureError("picture-encoding", picture=name, kind=kind)


def too_many_parts(name: str, parts: str, limit: int = MAX_PARTS) -> PictureError:
    """The error for a file with so many parts that reading them would take too long."""
    return PictureError("picture-too-many-parts", picture=name, parts=parts, limit=limit)
