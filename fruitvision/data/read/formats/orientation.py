"""The orientation of a picture from its EXIF or XMP metadata, of which nothing else is parsed.

Damaged metadata is ignored, as in viewers: the picture is not rotated.
"""

from __future__ import annotations

import re
import struct
import zlib

MAX_METADATA_BYTES = 2**20
"""Limit on metadata that is searched for the orientation, and on a file's decompressed metadata in total."""
_MAX_UNPACKED_BYTES = 1032
"""The largest compression ratio of deflate."""
XMP_START, EXIF_START = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def first_orientation(*orientations: int | None) -> int:
    """The first orientation that is not None, as EXIF's 1..8; 1 if it is any other value."""
    found = next((one for one in orientations if one is not None), 1)
    return found if 1 <= found <= 8 else 1


def exif_orientation(exif: bytes) -> int | None:
    """The value of EXIF's orientation tag; None if there is none. Other tags are not read."""
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
    """The value of XMP's orientation property; None if there is none."""
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found else None


class Unpacking:
    """Decompresses a file's metadata, at most ``MAX_METADATA_BYTES`` in total: a kilobyte may expand to a megabyte."""

    def __init__(self) -> None:
        self._left = MAX_METADATA_BYTES

    def raw_profile_orientation(self, text: bytes, *, packed: bool) -> int | None:
        """The orientation from EXIF as ImageMagick writes it into a PNG: in hexadecimal, after three header lines."""
        try:
            text = self._unpacked(text[1:]) if packed else text[:MAX_METADATA_BYTES]
            lines = text.split(b"\n", 3)[3:]
            return exif_orientation(bytes.fromhex(b"".join(lines).replace(b"\n", b"").decode("ascii")))
        except (ValueError, zlib.error):
            return None

    def text_of_chunk(self, rest: bytes) -> bytes:
        """The text of an iTXt chunk; ``rest``: its bytes after the keyword."""
        text = rest[2:].split(b"\0", 2)[-1]
        try:
            return self._unpacked(text) if rest[:1] == b"\1" else text[:MAX_METADATA_BYTES]
        except zlib.error:
            return b""

    def _unpacked(self, packed: bytes) -> bytes:
        if not self._left:  # zlib would take 0 as no limit
            return b""
        try:
            unpacked = zlib.decompressobj().decompress(packed, self._left)
        except zlib.error:  # zlib does not report how much was unpacked
            self._left -= min(self._left, _MAX_UNPACKED_BYTES * len(packed))
            raise
        self._left -= len(unpacked)
        return unpacked
