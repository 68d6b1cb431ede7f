"""JPEG: Huffman-coded, baseline or progressive. Of the segments before the first scan only those needed for decoding are kept."""

from __future__ import annotations

import re
import struct

from PIL.JpegImagePlugin import JpegImageFile

from fruitvision.data.read.formats.orientation import EXIF_START, XMP_START, exif_orientation, first_orientation, xmp_orientation
from fruitvision.data.read.formats.picture_file import MAX_PARTS, MAX_PROFILE_BYTES, PictureFile, too_many_parts, unsupported

MAX_SCANS = 64
"""Each scan processes the whole picture. Progressive files have about ten."""
_PROFILE_START, _MAX_PROFILE_SEGMENTS = b"ICC_PROFILE\0", MAX_PROFILE_BYTES >> 16
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)


def read_jpeg(data: bytes, name: str) -> PictureFile:
    """As :func:`fruitvision.data.read.formats.structure.read_structure`.

    A truncated file gets an end marker: the decoder fills in the missing part.
    """
    kept, at = [data[:2]], 2
    frame, coding, exif, xmp, profile = b"", 0, None, None, []
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
            end, whole = _end(data, at, name)
            kept += [data[start:end]] if whole else [data[start:end], b"\xff\xd9"]
            content = data if whole and sum(map(len, kept)) == len(data) else b"".join(kept)
            return PictureFile(
                JpegImageFile,
                content,
                width,
                height,
                first_orientation(exif, xmp),
                reducible=True,
                coefficients=_coefficients(frame, width, height) if coding == 0xC2 or segment[0] != channels else 0,
                profile=b"".join(own for _, own in sorted(profile)),
                note="" if whole else "cut-off",
            )
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
        elif marker == 0xE2 and segment.startswith(_PROFILE_START) and len(profile) < _MAX_PROFILE_SEGMENTS:
            profile.append((segment[12:13], segment[14:]))
        elif marker in (0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xE0, 0xEE):  # 0xE0 and 0xEE define the color space
            kept.append(data[start:at])
    raise too_many_parts(name, "segments")


def _end(data: bytes, at: int, name: str) -> tuple[int, bool]:
    """The end of the picture, searched from ``at``, in the data of the first scan; and whether there is an end marker.

    If a segment between scans is truncated, the picture ends before it.
    """
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return len(data), False
        marker, at = found[1][0], found.end()
        if marker == 0xD9:
            return len(data), True
        if marker >= 0xC0 and marker != 0xD8:
            if at + 2 > len(data) or at + (length := struct.unpack_from(">H", data, at)[0]) > len(data):
                return found.start(), False
            at += length
    raise too_many_parts(name, "segments")


def _coefficients(frame: bytes, width: int, height: int) -> int:
    """The bytes of all coefficients of a picture with several scans, two for each, including blocks that extend beyond the edges."""
    factors = [(factor >> 4, factor & 15) for factor in frame[7::3][: frame[5]]]
    most = max(1, *(wide for wide, _ in factors)), max(1, *(high for _, high in factors))
    wide, high = -(-width // (8 * most[0])) * 8, -(-height // (8 * most[1])) * 8
    return 2 * sum(across * down for across, down in factors) * wide * high


def check_scans(data: bytes, start: int, end: int, name: str) -> None:
    """Raise PictureError if a JPEG has more than ``MAX_SCANS`` scans, as libjpeg would find them."""
    if data.count(b"\xff\xda", start, end) <= MAX_SCANS:  # some may be in metadata or after the end
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
