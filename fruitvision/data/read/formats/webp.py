"""WebP: the picture, or the first frame of an animation."""

from __future__ import annotations

import struct

from PIL.WebPImagePlugin import WebPImageFile

from fruitvision.data.read.formats.orientation import MAX_METADATA_BYTES, exif_orientation, first_orientation, xmp_orientation
from fruitvision.data.read.formats.picture_file import MAX_PARTS, MAX_PROFILE_BYTES, PictureFile, too_many_parts

_TABLE_BYTES = 20_700
"""Of one group of prefix codes of a lossless picture, at most: libwebp's tables for the largest codes have 5,004 entries of 4 bytes
(kTableSize and FIXED_TABLE_SIZE in vp8l_dec.c); 13,200 were the most that was measured."""
_GROUP_BITS, _GROUP_PIXELS, _MAX_GROUPS = 20, 16, 65_536
"""The bits that a group takes in a file, at least; the pixels that share one, at least; and how many there may be."""


def read_webp(data: bytes, name: str) -> PictureFile:
    """As :func:`fruitvision.data.read.formats.structure.read_structure`."""
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    size: tuple[int, int] | None = None
    seen, kept, exif, xmp, profile, at = set(), [], None, None, b"", 12
    lossless = 0
    if end > len(data):
        raise ValueError("cut off")
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        body, at = data[at + 8 : at + 8 + length], at + 8 + length + (length & 1)
        if len(body) < length:
            raise ValueError("a chunk is cut off")
        if kind == b"VP8X" and not seen:
            size = int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
            body = bytes([body[0] & 0x12]) + body[1:]  # transparency and animation; no profile and no metadata
        elif kind == b"VP8 " and size is None:
            width, height = struct.unpack_from("<HH", body, 6)
            size = width & 0x3FFF, height & 0x3FFF
        elif kind == b"VP8L" and size is None:
            (bits,) = struct.unpack_from("<I", body, 1)
            size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"EXIF" and exif is None:
            exif = exif_orientation(body)
        elif kind == b"XMP " and xmp is None:
            xmp = xmp_orientation(body[:MAX_METADATA_BYTES])
        elif kind == b"ICCP" and not profile and length <= MAX_PROFILE_BYTES:
            profile = body
        if kind in (b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L") and kind not in seen:
            seen.add(kind)
            if kind in (b"ALPH", b"VP8L") or kind == b"ANMF" and (b"ALPH" in body or b"VP8L" in body):
                lossless += length
            kept.append(struct.pack("<4sI", kind, length) + body + bytes(length & 1))
    else:
        raise too_many_parts(name, "chunks")
    if size is None:
        raise ValueError("no picture")
    head = b"RIFF" + struct.pack("<I", sum(map(len, kept)) + 4) + b"WEBP"
    groups = min(8 * lossless // _GROUP_BITS, -(-size[0] * size[1] // _GROUP_PIXELS), _MAX_GROUPS)
    return PictureFile(
        WebPImageFile,
        b"".join((head, *kept)),
        *size,
        first_orientation(exif, xmp),
        tables=groups * _TABLE_BYTES,
        profile=profile,
    )
