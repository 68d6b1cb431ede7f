"""PNG: the header, the palette, the transparency and the pixels; for an animation, those of the default image."""

from __future__ import annotations

import struct
import zlib

from PIL.PngImagePlugin import PngImageFile

from fruitvision.data.read.formats.orientation import (
    Unpacking,
    exif_orientation,
    first_orientation,
    xmp_orientation,
)
from fruitvision.data.read.formats.picture_file import MAX_PARTS, MAX_PROFILE_BYTES, PictureFile, too_many_parts


def read_png(data: bytes, name: str) -> PictureFile:
    """As :func:`fruitvision.data.read.formats.structure.read_structure`."""
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR":
        raise ValueError("no header")
    kept: list[list[int]] = [[0, 20 + length]]  # ranges of the file
    exif, raw, xmp, profile, at = None, None, None, None, 20 + length
    unpacking = Unpacking()
    for _ in range(MAX_PARTS):
        if at + 8 > len(data) or kind == b"IEND":
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        start, at = at, at + 12 + length
        if kind in (b"PLTE", b"tRNS", b"IDAT", b"IEND") or at > len(data):
            if kept[-1][1] == start:
                kept[-1][1] = at
            else:
                kept.append([start, at])
        elif kind == b"iCCP" and profile is None:
            profile = _profile(data[start + 8 : at - 4])
        elif kind == b"eXIf" and exif is None:
            exif = exif_orientation(data[start + 8 : at - 4])
        elif kind == b"iTXt" and xmp is None and data.startswith(b"XML:com.adobe.xmp\0", start + 8):
            xmp = xmp_orientation(unpacking.text_of_chunk(data[start + 26 : at - 4]))
        elif kind in (b"tEXt", b"zTXt") and raw is None and data.startswith(b"Raw profile type exif\0", start + 8):
            raw = unpacking.raw_profile_orientation(data[start + 30 : at - 4], packed=kind == b"zTXt")
    else:
        raise too_many_parts(name, "chunks")
    whole = kept == [[0, len(data)]]
    parts = data if whole else b"".join(data[start:end] for start, end in kept)
    return PictureFile(PngImageFile, parts, width, height, first_orientation(exif, raw, xmp), profile=profile or b"")


def _profile(chunk: bytes) -> bytes:
    """The color profile after a name of at most 79 letters; empty if it is damaged or too large."""
    packed = chunk[chunk.find(b"\0", 0, 80) + 2 :]
    try:
        unpacking = zlib.decompressobj()
        profile = unpacking.decompress(packed, MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if unpacking.eof else b""
