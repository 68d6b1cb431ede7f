"""TIFF: the first picture, with a rewritten directory of the tags needed for decoding."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from PIL.TiffImagePlugin import TiffImageFile

from fruitvision.data.read.formats.jpeg import MAX_SCANNED_PIXELS, check_scans, frame_pixels
from fruitvision.data.read.formats.orientation import MAX_METADATA_BYTES, first_orientation, xmp_orientation
from fruitvision.data.read.formats.picture_file import (
    FREE_TILE_PIXELS,
    MAX_PARTS,
    MAX_PROFILE_BYTES,
    PictureFile,
    too_many_parts,
    unsupported,
)

COMPRESSIONS = {1: "none", 5: "LZW", 7: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
MAX_CLAIMED = 8
"""Limit on the declared bytes of all strips or tiles, relative to the size of the file. A few pixels may have any number of bytes,
all of which are copied to reverse their bits, at one or two milliseconds per megabyte. Some programs declare too many."""
DEFLATES, MAX_MORE_DEFLATED = (8, 32946), 2**24
"""Limit on the bytes by which strips with deflate may exceed the file: blocks without pixels take 100 milliseconds per megabyte."""
SMALL_TAGS = {
    **dict.fromkeys((256, 257, 259, 262, 266, 274, 277, 278, 284, 317, 322, 323, 531), 1),  # sizes and encodings
    **dict.fromkeys((258, 338, 339, 529, 530, 532), 16),  # bits, extra samples, their formats; YCbCr
    320: 3 * 2**16,
    347: 2**16,  # the palette, JPEG tables
}
"""The tags that decoding needs, with the maximum number of values, besides those with the offsets of strips or tiles."""
TIFF_CODES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "B", 7: "B", 8: "H", 9: "I", 13: "I", 16: "Q", 17: "Q", 18: "Q"}


def read_tiff(data: bytes, name: str) -> PictureFile:
    """As :func:`fruitvision.data.read.formats.structure.read_structure`."""
    tags = TiffTags(data)
    width, height, compression = tags.first(256), tags.first(257), tags.first(259, 1)
    if compression not in COMPRESSIONS:
        raise unsupported(name, f"TIFF, compression {compression}")
    planes = tags.first(277, 1) if tags.first(284, 1) == 2 else 1
    tiled = 322 in tags.entries
    wide, high = (tags.first(322), tags.first(323)) if tiled else (width, min(tags.first(278, height), height))
    across, down = -(-width // wide), -(-height // high)
    parts, pixels = across * down * planes, across * wide * down * high
    if parts > MAX_PARTS:
        raise too_many_parts(name, "strips or tiles")
    if pixels > max(2 * width * height, FREE_TILE_PIXELS):
        raise unsupported(name, "TIFF, oversized tiles")
    places = (324, 325) if tiled else (273, 279)
    if compression == 7:
        pixels = max(pixels, _jpeg_pixels(data, tags.extents(*places, parts, len(data)), max(2 * width * height, FREE_TILE_PIXELS), name))
    elif compression != 1:
        most = MAX_CLAIMED * len(data)
        tags.extents(*places, parts, min(most, len(data) + MAX_MORE_DEFLATED) if compression in DEFLATES else most)
    most = {**SMALL_TAGS, **dict.fromkeys(places, max(parts, 16))}
    for other in (278,) if tiled else (322, 323):
        most.pop(other)
    turned = 1 if 274 in tags.entries else first_orientation(tags.xmp_orientation())  # Pillow's reader applies the tag itself
    return PictureFile(TiffImageFile, tags.rewritten(most), width, height, turned, parts=parts, pixels=pixels, profile=tags.profile())


def _jpeg_pixels(data: bytes, extents: Sequence[tuple[int, int]], limit: int, name: str) -> int:
    """The pixels that the JPEGs of all strips or tiles declare: libtiff takes a last strip that is higher than its part of the picture.

    Raises PictureError if they have too many pixels or scans.
    """
    pixels = scanned = 0
    for start, length in extents:
        own = frame_pixels(data, start, start + length)
        pixels += own
        scanned += check_scans(data, start, start + length, name, own)
        if pixels > limit:
            raise unsupported(name, "TIFF, oversized strips")
        if scanned > MAX_SCANNED_PIXELS:
            raise too_many_parts(name, "scans", MAX_SCANNED_PIXELS // max(pixels, 1))
    return pixels


class TiffTags:
    """The first directory of a TIFF: the type, the number of values, and the values or their offset of each tag."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:1] == b"I" else ">"
        self.big = 43 in data[2:4]
        self.number, self.counting, self.entry = ("Q", "Q", "HHQ8s") if self.big else ("I", "H", "HHI4s")
        (at,) = struct.unpack_from(self.order + self.number, data, 8 if self.big else 4)
        (count,) = struct.unpack_from(self.order + self.counting, data, at)
        at, size = at + struct.calcsize("<" + self.counting), struct.calcsize("<" + self.entry)
        if count > 2**16 or at + count * size > len(data):
            raise ValueError("the directory is cut off")
        self.entries: dict[int, tuple[int, int, bytes]] = {}
        for tag, *rest in struct.iter_unpack(self.order + self.entry, data[at : at + count * size]):
            self.entries.setdefault(tag, tuple(rest))

    def values(self, tag: int, most: int) -> tuple[int, ...]:
        """The first ``most`` numbers of a tag."""
        kind, count, held = self.entries[tag]
        code = f"{self.order}{min(count, most)}{TIFF_CODES[kind]}"
        inside = count * struct.calcsize(TIFF_CODES[kind]) <= len(held)
        return struct.unpack_from(code, held if inside else self.data, 0 if inside else self._place(held))

    def first(self, tag: int, default: int | None = None) -> int:
        """The single value of a tag. Raises ValueError if it is missing and there is no default, or is not a number."""
        values = self.values(tag, 1) if tag in self.entries else (default,)
        if not values or not isinstance(values[0], int) or values[0] < 1:
            raise ValueError(f"no tag {tag}")
        return values[0]

    def extents(self, starts: int, lengths: int, parts: int, most: int) -> Sequence[tuple[int, int]]:
        """(start, length) of each strip or tile. Raises ValueError for one without bytes, and for more than ``most`` bytes in all."""
        found = list(zip(self.values(starts, parts), self.values(lengths, parts), strict=True))
        if sum(length for _, length in found) > most:
            raise ValueError("overlapping strips")
        if not all(length for _, length in found):  # libtiff takes all that follows
            raise ValueError("a strip without bytes")
        return found

    def xmp_orientation(self) -> int | None:
        """The orientation in the XMP metadata, tag 700."""
        kind, count, held = self.entries.get(700, (0, 0, b""))
        at = self._place(held) if kind in (1, 7) and count > len(held) else len(self.data)
        return xmp_orientation(self.data[at : at + min(count, MAX_METADATA_BYTES)])

    def profile(self) -> bytes:
        """The color profile, tag 34675."""
        kind, count, held = self.entries.get(34675, (0, 0, b""))
        if kind not in (1, 7) or not len(held) < count <= MAX_PROFILE_BYTES:
            return b""
        at = self._place(held)
        return self.data[at : at + count]

    def rewritten(self, most: dict[int, int]) -> bytes:
        """The file with a new directory appended that holds only these tags. Raises ValueError if a tag has too many values."""
        table = []
        for tag in sorted(most.keys() & self.entries):
            kind, count, held = self.entries[tag]
            if count > most[tag]:
                raise ValueError(f"too many values of tag {tag}")
            table.append(struct.pack(self.order + self.entry, tag, kind, count, held))
        at = len(self.data) + len(self.data) % 2
        head = self.data[: 8 if self.big else 4] + struct.pack(self.order + self.number, at)
        directory = struct.pack(self.order + self.counting, len(table)) + b"".join(table) + struct.pack(self.order + self.number, 0)
        return b"".join((head, self.data[len(head) :], bytes(at - len(self.data)), directory))

    def _place(self, held: bytes) -> int:
        return struct.unpack(self.order + self.number, held)[0]
