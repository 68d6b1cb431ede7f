"""JPEG: Huffman-coded, baseline or progressive. Of the segments before the first scan only those needed for decoding are kept."""

from __future__ import annotations

import re
import struct

from PIL.JpegImagePlugin import JpegImageFile

from fruitvision.data.read.formats.orientation import EXIF_START, XMP_START, exif_orientation, first_orientation, xmp_orientation
from fruitvision.data.read.formats.picture_file import MAX_PARTS, MAX_PROFILE_BYTES, PictureFile, too_many_parts, unsupported

MAX_SCANS = 64
"""Each scan processes the whole picture. Progressive files have about ten."""
MAX_SCANNED_PIXELS = 4_000_000_000
"""Scans times pixels, of a JPEG or of all the strips of a TIFF: about three seconds. A scan may take only a few hundred bytes, so that
all of them may lie in one chunk of the file, and the decoder is interrupted between chunks alone."""
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
            height, width, channels = struct.unpack_from(">HHB", frame, 1)
            check_scans(data, start, len(data), name, width * height)
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


def check_scans(data: bytes, start: int, end: int, name: str, pixels: int) -> int:
    """The scans of a JPEG, as libjpeg would find them, times its ``pixels``.

    Raises PictureError if there are more than ``MAX_SCANS`` scans, or than ``MAX_SCANNED_PIXELS`` allows.
    """
    limit = min(MAX_SCANS, max(1, MAX_SCANNED_PIXELS // max(pixels, 1)))
    found_at_most = data.count(b"\xff\xda", start, end)
    if found_at_most <= limit:  # some may lie in metadata or behind the end
        return found_at_most * pixels
    scans, at = 0, start
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at, end)
        if found is None or (marker := found[1][0]) == 0xD9:
            return scans * pixels
        scans += marker == 0xDA
        if scans > limit:
            raise too_many_parts(name, "scans", limit)
        at = found.end()
        if marker >= 0xC0 and marker != 0xD8 and at + 2 <= end:
            at += struct.unpack_from(">H", data, at)[0]
    raise too_many_parts(name, "segments")


def frame_pixels(data: bytes, start: int, end: int) -> int:
    """Width times height in the frame header of a JPEG. Raises ValueError if there is none before the first scan."""
    at = start
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at, end)
        if found is None or (marker := found[1][0]) in (0xD9, 0xDA):
            break
        at = found.end()
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 3 : min(at + 7, end)])
            return width * height
        if marker >= 0xC0 and marker != 0xD8:
            at += struct.unpack(">H", data[at : min(at + 2, end)])[0]
    raise ValueError("no frame header")
