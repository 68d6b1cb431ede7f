"""JPEG: Huffman coding, baseline or progressive; of the segments before the first scan those that decoding needs."""

from __future__ import annotations

import re
import struct

from PIL.JpegImagePlugin import JpegImageFile

from fruitvision.data.read.formats.orientation import EXIF_START, XMP_START, exif_orientation, first_orientation, xmp_orientation
from fruitvision.data.read.formats.picture_file import MAX_PARTS, PictureFile, too_many_parts, unsupported

MAX_SCANS = 64
"""Each goes over the whole picture. Progressive files have about ten."""
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)


def read_jpeg(data: bytes, name: str) -> PictureFile:
    """As :func:`fruitvision.data.read.formats.structure.read_structure`."""
    kept, at = [data[:2]], 2
    frame, coding, exif, xmp = b"", 0, None, None
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None or (marker := found[1][0]) in (0xD8, 0xD9):
            raise ValueError("no scan")
        start, at = found.start(), found.end()
        if marker == 0x01:
            continue
        at += struct.unpack_from(">H", data, at)[0]
        segment = data[start + 4 : at]
        if at < start + 4 or at > len(data):
            raise ValueError("a segment is cut off")
        if marker == 0xDA:
            check_scans(data, start, len(data), name)
            height, width, channels = struct.unpack_from(">HHB", frame, 1)
            reducible = coding != 0xC2 and segment[0] == channels
            kept.append(data[start:])
            content = data if sum(map(len, kept)) == len(data) else b"".join(kept)
            return PictureFile(JpegImageFile, content, width, height, first_orientation(exif, xmp), reducible)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xCC):
            if marker > 0xC2:
                raise unsupported(name, "JPEG, lossless or arithmetic")
            if frame:
                raise ValueError("two frames")
            frame, coding = segment, marker
        if marker == 0xE1 and exif is None and segment.startswith(EXIF_START):
            exif = exif_orientation(segment)
        elif marker == 0xE1 and xmp is None and segment.startswith(XMP_START):
            xmp = xmp_orientation(segment)
        elif marker in (0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xE0, 0xEE):  # 0xE0 and 0xEE say what the channels are
            kept.append(data[start:at])
    raise too_many_parts(name, "segments")


def check_scans(data: bytes, start: int, end: int, name: str) -> None:
    """Raise PictureError where a JPEG, from its first scan on, has more than ``MAX_SCANS``, as libjpeg would find them."""
    if data.count(b"\xff\xda", start, end) <= MAX_SCANS:  # some may lie in metadata or behind the end
        return
    scans, at = 0, start
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at, end)
        if found is None or (marker := found[1][0]) == 0xD9:
            return
        scans += marker == 0xDA
        if scans > MAX_SCANS:
            raise too_many_parts(name, "scans", MAX_SCANS)
        at = found.end()
        if marker >= 0xC0 and marker != 0xD8 and at + 2 <= end:
            at += struct.unpack_from(">H", data, at)[0]
    raise too_many_parts(name, "segments")
