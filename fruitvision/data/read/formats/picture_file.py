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
"""As in JPEG and GIF; TIFF, PNG and BMP could claim a row that is the whole picture, and several such rows are held at once."""
MAX_PARTS = 100_000
"""Segments of a JPEG, chunks of a PNG, strips or tiles of a TIFF, blocks before a GIF's first frame."""
_STRIP_WEIGHT = 100
"""Pillow keeps some 500 bytes for each strip of a TIFF; a pixel of a picture that is decoded takes 5 to 12."""
FREE_TILE_PIXELS = 2**22
"""So many pixels tiles may have in all, however few of them are the picture's."""
MAX_PROFILE_BYTES = 4 * 2**20
"""Of a color profile; those of printing presses have up to 3 MB."""
_HEAVY_READERS = (WebPImageFile, TiffImageFile)
"""The readers that hold a picture more than once at a time: 16 bytes a pixel."""
_BYTES_PER_PIXEL, _RGB_BYTES = 12, 4
"""What a JPEG of several scans takes at its full size, at most; and what of it the pixels take."""

Note = Literal["", "cut-off", "leading-bytes"]
"""What is wrong with a file that is read all the same."""


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
    """Whether it can be decoded at 1/2, 1/4 or 1/8 of its size: a JPEG."""
    coefficients: int = 0
    """Of a JPEG of several scans, the bytes that are held at any scale."""
    parts: int = 0
    """Of a TIFF, how many strips or tiles."""
    pixels: int = 0
    """What the decoder goes through: width times height, or more where tiles reach beyond the edges."""
    tables: int = 0
    """Of a lossless WebP, the bytes that its decoder's tables may take."""
    profile: bytes = b""
    """The ICC color profile as it stands in the file; empty where there is none."""
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
