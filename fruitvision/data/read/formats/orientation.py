"""Which way up a picture is, read from its EXIF or XMP metadata without decoding anything else of them.

Damaged metadata is ignored, as every viewer does: the picture is taken as it lies.
"""

from __future__ import annotations

import re
import struct
import zlib

MAX_METADATA_BYTES = 2**20
"""Of compressed metadata that is unpacked to look for the orientation."""
XMP_START, EXIF_START = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def first_orientation(*orientations: int | None) -> int:
    """The first that is given, 1..8 as EXIF counts them; 1 where it is none of these."""
    found = next((one for one in orientations if one is not None), 1)
    return found if 1 <= found <= 8 else 1


def exif_orientation(exif: bytes) -> int | None:
    """The value of EXIF's orientation tag; None where there is none. Other tags are not read."""
    exif = exif.removeprefix(EXIF_START)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        table = exif[at + 2 : at + 2 + 12 * count]
        for tag, kind, values, held in struct.iter_unpack(f"{order}HHI4s", table[: len(table) // 12 * 12]):
            if tag == 0x0112 and values == 1 and kind in (1, 3, 4):
                return struct.unpack_from(order + {1: "B", 3: "H", 4: "I"}[kind], held)[0]
    except struct.error:
        pass
    return None


def xmp_orientation(xmp: bytes) -> int | None:
    """The value of XMP's orientation property; None where there is none."""
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found else None


def raw_profile_orientation(text: bytes, *, packed: bool) -> int | None:
    """Of EXIF as ImageMagick writes it into a PNG: in hexadecimal, under three lines."""
    try:
        text = _unpacked(text[1:]) if packed else text[:MAX_METADATA_BYTES]
        return exif_orientation(bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii")))
    except (ValueError, zlib.error):
        return None


def text_of_chunk(rest: bytes) -> bytes:
    """The text of an iTXt chunk, of which ``rest`` is what follows the keyword."""
    text = rest[2:].split(b"\0", 2)[-1]
    try:
        return _unpacked(text) if rest[:1] == b"\1" else text[:MAX_METADATA_BYTES]
    except zlib.error:
        return b""


def _unpacked(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, MAX_METADATA_BYTES)
