"""BMP: uncompressed pixels, also with bit masks. Run-length coding is rejected, since four bytes may skip any number of pixels."""

from __future__ import annotations

import struct

from PIL.BmpImagePlugin import BmpImageFile

from fruitvision.data.read.formats.picture_file import PictureFile, unsupported


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
