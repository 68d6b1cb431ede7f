"""The container of HEIF and AVIF: reading the items of a ``meta`` box, and writing a new file.

A HEIF file (ISO/IEC 23008-12) is a tree of boxes. Its ``meta`` box lists items (pictures, tiles, thumbnails, metadata), the positions
of their bytes, their properties, and references between them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fruitvision.data.read.formats.picture_file import MAX_PARTS, too_many_parts

MAX_ITEMS = 1000
"""The limit of libheif. A picture of 50 megapixels from a phone has about 200 tiles."""


class Property(NamedTuple):
    """A property box of an item: its size, its codec configuration, its rotation."""

    kind: bytes
    body: bytes
    essential: bool = True


class Item(NamedTuple):
    """One item to be written."""

    kind: bytes
    properties: Sequence[Property]
    content: bytes


def boxes(data: bytes, at: int, end: int, name: str) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of its body, end) of each box between two offsets. Raises ValueError if one is truncated."""
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, body)
            body += 8
        length = length or end - at
        if at + length > end or body > at + length:
            if kind == b"mdat":  # its items are looked up by index
                return
            raise ValueError("a box is cut off")
        yield kind, body, at + length
        at += length
    raise too_many_parts(name, "boxes")


class Items:
    """The items of a file.

    A few bytes can declare very many extents of items, and many items can share one property: the total number of extents is bounded,
    and each property is copied once.

    Attributes:
        primary: the id of the primary picture.
        kinds: the type of each item by id: "hvc1", "av01", "grid" and others.
        references: (type, id) → the ids that the item refers to.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = data, name
        self.kinds: dict[int, bytes] = {}
        self.references: dict[tuple[bytes, int], list[int]] = {}
        self._parts = 0
        self._idat = (0, 0)
        self._places: dict[int, tuple[int, list[tuple[int, int]]]] = {}
        self._properties: list[tuple[bytes, int, int]] = []
        self._bodies: dict[int, bytes] = {}
        self._used: dict[int, list[tuple[int, bool]]] = {}
        start, end = next((at, end) for kind, at, end in boxes(data, 0, len(data), name) if kind == b"meta")
        found = {kind: (at, end) for kind, at, end in boxes(data, start + 4, end, name)}
        self._idat = found.get(b"idat", (0, 0))
        at, _ = found[b"pitm"]
        (self.primary,) = struct.unpack_from(">I" if data[at] else ">H", data, at + 4)
        self._read_kinds(*found[b"iinf"])
        self._read_places(*found[b"iloc"])
        if b"iref" in found:
            self._read_references(*found[b"iref"])
        for kind, at, end in boxes(data, *found[b"iprp"], name):
            if kind == b"ipco" and not self._properties:  # there is one
                self._properties = list(boxes(data, at, end, name))
            elif kind == b"ipma":
                self._read_used(at, end)

    def properties(self, item: int) -> list[Property]:
        """An item's properties, in the order in which rotation and cropping are applied."""
        found = []
        for number, essential in self._used.get(item, ()):
            if number:  # 0 means none
                kind, at, end = self._properties[number - 1]
                if number not in self._bodies:
                    self._bodies[number] = self._data[at:end]
                found.append(Property(kind, self._bodies[number], essential))
        return found

    def length(self, item: int) -> int:
        """The number of an item's bytes. Raises ValueError if they are not all in the file."""
        return sum(end - start for start, end in self._extents(item))

    def content(self, item: int) -> bytes:
        """An item's bytes."""
        return b"".join(self._data[start:end] for start, end in self._extents(item))

    def _extents(self, item: int) -> Iterator[tuple[int, int]]:
        method, extents = self._places[item]
        low, high = self._idat if method == 1 else (0, len(self._data))
        for offset, length in extents:
            start = low + offset
            end = start + length if length else high
            if not low <= start <= end <= high:
                raise ValueError("an item is cut off")
            yield start, end

    def _read_kinds(self, at: int, end: int) -> None:
        at += 6 if self._data[at] == 0 else 8
        for _, start, _ in boxes(self._data, at, end, self._name):
            version = self._data[start]
            if version not in (2, 3):
                continue
            item, _, kind = struct.unpack_from(">HH4s" if version == 2 else ">IH4s", self._data, start + 4)
            self.kinds.setdefault(item, kind)

    def _read_places(self, at: int, end: int) -> None:
        numbers = _Numbers(self._data, at + 4, end)
        version, sizes = self._data[at], numbers.next(2)
        offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        for _ in range(numbers.next(4 if version == 2 else 2)):
            item = numbers.next(4 if version == 2 else 2)
            method = numbers.next(2) & 15 if version else 0
            elsewhere, start, count = numbers.next(2), numbers.next(base), numbers.next(2)
            self._count(count + 1)
            extents = []
            for _ in range(count):
                if version:
                    numbers.next(index)
                extents.append((start + numbers.next(offset), numbers.next(length)))
            if not elsewhere and method in (0, 1):
                self._places.setdefault(item, (method, extents))

    def _read_references(self, at: int, end: int) -> None:
        width = 4 if self._data[at] else 2
        for kind, start, stop in boxes(self._data, at + 4, end, self._name):
            numbers = _Numbers(self._data, start, stop)
            item, count = numbers.next(width), numbers.next(2)
            self._count(count + 1)
            self.references.setdefault((kind, item), [numbers.next(width) for _ in range(count)])

    def _read_used(self, at: int, end: int) -> None:
        numbers = _Numbers(self._data, at + 4, end)
        version, wide = self._data[at], self._data[at + 3] & 1
        for _ in range(numbers.next(4)):
            item, count = numbers.next(4 if version else 2), numbers.next(1)
            self._count(count + 1)
            found = [numbers.next(2 if wide else 1) for _ in range(count)]
            flag = 0x8000 if wide else 0x80
            self._used.setdefault(item, [(number & flag - 1, bool(number & flag)) for number in found])

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise too_many_parts(self._name, "parts of items")


class _Numbers:
    """A reader of consecutive big-endian numbers. Raises ValueError at the end."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self._at, self._end = data, at, end

    def next(self, width: int) -> int:
        start, self._at = self._at, self._at + width
        if self._at > self._end:
            raise ValueError("a box is cut off")
        return int.from_bytes(self._data[start : self._at])


def box(kind: bytes, *content: bytes) -> bytes:
    """A box around its content."""
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def file_of(brand: bytes, items: Sequence[Item], references: Mapping[tuple[bytes, int], Sequence[int]]) -> bytes:
    """The content of a file with only these items, numbered from 1; the first is the primary item."""
    known: dict[tuple[bytes, bytes], int] = {}
    used, kinds, places, at = [], [], [], 0
    for number, item in enumerate(items, 1):
        own = [known.setdefault((p.kind, p.body), len(known) + 1) | p.essential << 15 for p in item.properties]
        used.append(struct.pack(f">HB{len(own)}H", number, len(own), *own))
        kinds.append(box(b"infe", struct.pack(">IHH4sB", 2 << 24, number, 0, item.kind, 0)))
        places.append((number, at, len(item.content)))
        at += len(item.content)
    refs = [box(kind, struct.pack(f">HH{len(to)}H", own, len(to), *to)) for (kind, own), to in references.items()]
    head = box(b"ftyp", brand, bytes(4), b"mif1", brand, b"miaf")

    def meta(start: int) -> bytes:
        rows = [struct.pack(">HHHII", number, 0, 1, start + offset, length) for number, offset, length in places]
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), struct.pack(">H", 1)),
            box(b"iloc", bytes(4), struct.pack(">HH", 0x4400, len(rows)), *rows),
            box(b"iinf", bytes(4), struct.pack(">H", len(kinds)), *kinds),
            box(b"iref", bytes(4), *refs),
            box(
                b"iprp",
                box(b"ipco", *(box(kind, body) for kind, body in known)),
                box(b"ipma", struct.pack(">II", 1, len(used)), *used),
            ),
        )

    start = len(head) + len(meta(0)) + 8
    return b"".join((head, meta(start), box(b"mdat", *(item.content for item in items))))
