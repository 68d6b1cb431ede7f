"""BMP: uncompressed pixels, also with bit masks. Run-length coding is rejected, since four bytes may skip any number of pixels.
GIF: the first frame, with the global color table and its transparency.
"""

from __future__ import annotations

import struct

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile

from fruitvision.data.read.formats.picture_file import MAX_PARTS, PictureFile, too_many_parts, unsupported


def read_bmp(data: bytes, name: str) -> PictureFile:
    """As :func:`fruitvision.data.read.formats.structure.read_structure`."""
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return PictureFile(BmpImageFile, data, width, height)
    width, height, _, _, compression = struct.unpack_from("<IIHHI", data, 18)
    if size in (40, 52, 56, 64, 108, 124) and compression in (1, 2):
        raise unsupported(name, "BMP, RLE")
    if compression not in (0, 3):
        raise ValueError("no compression of BMP's")
    return PictureFile(BmpImageFile, data, width, 2**32 - height if height >= 2**31 else height)


def read_gif(data: bytes, name: str) -> PictureFile:
    """As :func:`fruitvision.data.read.formats.structure.read_structure`."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    head = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    control, at = b"", head
    for _ in range(MAX_PARTS):
        if data[at] == 0x2C:
            left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
            first = b"".join((data[:head], control, data[at:]))
            return PictureFile(GifImageFile, first, max(width, left + across), max(height, top + down))
        if data[at] == 0x3B:
            raise ValueError("no frame")
        if data[at] == 0x21:
            if data[at + 1] == 0xF9 and data[at + 2] >= 4:
                control = b"!\xf9\4" + bytes([data[at + 3] & 1]) + data[at + 4 : at + 7] + b"\0"
            at = _behind_blocks(data, at + 2, name)
        else:
            at += 1
    raise too_many_parts(name, "blocks")


def _behind_blocks(data: bytes, at: int, name: str) -> int:
    for _ in range(MAX_PARTS):
        if not data[at]:
            return at + 1
        at += data[at] + 1
    raise too_many_parts(name, "blocks")
