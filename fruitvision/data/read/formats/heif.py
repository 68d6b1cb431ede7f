"""HEIC and AVIF: the primary picture, coded as HEVC or AV1, as one item or a grid of tiles, with its transparency.

Thumbnails, depth maps, metadata, further pictures and sequences are left out. The sizes in the coded data are checked as well, since
a decoder allocates memory for those, whatever the container declares.
"""

from __future__ import annotations

import struct

from PIL import features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.ImageFile import ImageFile

from fruitvision.data.read.formats.heif_boxes import MAX_ITEMS, Item, Items, Property, file_of
from fruitvision.data.read.formats.heif_codecs import parse_av1, parse_hevc
from fruitvision.data.read.formats.picture_file import (
    FREE_TILE_PIXELS,
    MAX_PARTS,
    MAX_PROFILE_BYTES,
    PictureFile,
    too_many_parts,
    unsupported,
)
from fruitvision.errors import PictureError

_CODECS = {b"hvc1": b"hvcC", b"hev1": b"hvcC", b"av01": b"av1C"}
"""Type of coded item → the property with its decoder configuration."""
_TURNS = {b"irot", b"imir", b"clap"}
_KEPT = {*_CODECS.values(), *_TURNS, b"ispe", b"pixi", b"auxC"}
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0")
_BRANDS = {b"mif1", b"msf1", b"mif2", b"miaf", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"avif", b"avis"}
_MORE = 128
"""The number of pixels by which the coded size may exceed that of the picture: codecs use blocks of up to 128."""
MAX_SLICED_PIXELS = 400_000_000
"""Limit on the number of slices of an HEVC picture times its pixels, since each slice may cover all of them."""
MAX_TURNS = 8
"""Limit on rotation, mirroring and cropping of an item, each of which processes all pixels: one of each kind."""
MAX_PROPERTY_BYTES = 2**16
"""Limit for each property that is passed to the decoder. A decoder configuration has about a hundred bytes."""


def read_heif(data: bytes, name: str) -> PictureFile:
    """As :func:`fruitvision.data.read.formats.structure.read_structure`."""
    (length,) = struct.unpack_from(">I", data)
    if _BRANDS.isdisjoint(data[at : at + 4] for at in (8, *range(16, min(length, 512), 4))):
        raise PictureError("picture-not-an-image", picture=name)  # videos have the same container
    file = _Rewriting(Items(data, name), len(data), name)
    reader = _reader(file.codec, name)
    width, height = file.size
    if file.claimed > max(2 * width * height * (2 if file.alpha else 1), FREE_TILE_PIXELS):
        raise unsupported(name, "HEIF, oversized tiles")
    rewritten = file_of(b"avif" if file.codec == b"av1C" else b"heic", file.items, file.references)
    return PictureFile(reader, rewritten, width, height, pixels=file.pixels, profile=file.profile)


def _reader(codec: bytes, name: str) -> type[ImageFile]:
    """Pillow's reader for a codec. Raises PictureError, which says what to install, if there is none."""
    if codec == b"av1C":
        if not features.check("avif"):
            raise PictureError("picture-avif", picture=name)
        return AvifImageFile
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise PictureError("picture-heic", picture=name) from error
    return HeifImageFile


def can_read(kind: str) -> bool:
    """Whether "heic" or "avif" can be decoded by the installed packages."""
    try:
        _reader(b"av1C" if kind == "avif" else b"hvcC", "")
    except PictureError:
        return False
    return True


class _Rewriting:
    """Collects the items that are needed to decode the primary picture."""

    def __init__(self, source: Items, room: int, name: str) -> None:
        self._source, self._room, self._name = source, room, name
        self.items: list[Item] = []
        self.references: dict[tuple[bytes, int], list[int]] = {}
        self.codec, self.profile = b"", b""
        self.pixels, self.claimed, self._sliced, self._units = 0, 0, 0, 0
        self._contents: dict[int, bytes] = {}
        self.size = self._picture(source.primary)
        found = [own for (kind, own), to in source.references.items() if kind == b"auxl" and source.primary in to]
        alpha = next((own for own in found if self._is_alpha(own)), None)
        self.alpha = alpha is not None and _size(source.properties(alpha)) == self.size
        if alpha is not None and self.alpha:
            number = len(self.items) + 1
            self._picture(alpha)
            self.references[b"auxl", number] = [1]
            if (b"prem", source.primary) in source.references:
                self.references[b"prem", 1] = [number]

    def _is_alpha(self, item: int) -> bool:
        return any(p.kind == b"auxC" and p.body.startswith(_ALPHA, 4) for p in self._source.properties(item))

    def _picture(self, item: int) -> tuple[int, int]:
        """Add an item with its tiles; returns (width, height)."""
        kind, size = self._source.kinds[item], _size(self._source.properties(item))
        if kind in _CODECS:
            self._coded(item, size)
            return size
        if kind != b"grid":
            raise unsupported(self._name, f"HEIF, {kind.decode('latin-1')}")
        content, number = self._content(item), len(self.items) + 1
        tiles = self._source.references[b"dimg", item]
        width, height = struct.unpack_from(">II" if content[1] & 1 else ">HH", content, 4)
        if len(tiles) != (content[2] + 1) * (content[3] + 1) or (width, height) != size:
            raise ValueError("the grid is not the one that its parts are of")
        if len(tiles) + len(self.items) > MAX_ITEMS - 2:
            raise too_many_parts(self._name, "tiles", MAX_ITEMS)
        self._add(item, content)
        self.references[b"dimg", number] = list(range(number + 1, number + 1 + len(tiles)))
        for tile in tiles:
            self._coded(tile, _size(self._source.properties(tile)))
        return size

    def _coded(self, item: int, size: tuple[int, int]) -> None:
        codec = _CODECS.get(self._source.kinds[item])
        if codec is None or self.codec not in (b"", codec):
            raise unsupported(self._name, "HEIF, a grid of other pictures")
        self.codec = codec
        content = self._content(item)
        config = next(p.body for p in self._source.properties(item) if p.kind == codec)
        if len(config) > MAX_PROPERTY_BYTES:
            raise ValueError("a decoder's configuration of that size")
        found = (parse_hevc if codec == b"hvcC" else parse_av1)(config, content, self._name)
        if not found.sizes or any(wide > size[0] + _MORE or high > size[1] + _MORE for wide, high in found.sizes):
            raise unsupported(self._name, "HEIF, the coded picture is larger")
        pixels = max(wide * high for wide, high in found.sizes)
        self.claimed += pixels
        self.pixels += max(pixels, found.most) * found.frames
        self._units += found.units
        if self._units > MAX_PARTS:
            raise too_many_parts(self._name, "units")
        self._sliced += pixels * found.slices
        if self._sliced > MAX_SLICED_PIXELS:
            raise too_many_parts(self._name, "slices", MAX_SLICED_PIXELS // self.claimed)
        self._add(item, content)

    def _content(self, item: int) -> bytes:
        """An item's bytes. An item may be used as several tiles: its bytes count for each use, but are copied once."""
        content = self._contents.get(item)
        self._room -= self._source.length(item) if content is None else len(content)
        if self._room < 0:
            raise ValueError("overlapping items")
        return self._contents.setdefault(item, self._source.content(item) if content is None else content)

    def _add(self, item: int, content: bytes) -> None:
        kept: list[Property] = []
        for one in self._source.properties(item):
            if one.kind in _KEPT or one.kind == b"colr" and one.body.startswith(b"nclx"):
                if one.kind in _TURNS or all(one.kind != other.kind for other in kept):  # decoders use the first, too
                    kept.append(one)
            elif one.kind == b"colr" and one.body[:4] in (b"prof", b"rICC") and not self.profile and len(one.body) <= MAX_PROFILE_BYTES:
                self.profile = one.body[4:]
        if any(len(one.body) > MAX_PROPERTY_BYTES for one in kept):
            raise ValueError("a property of that size")
        if sum(one.kind in _TURNS for one in kept) > MAX_TURNS:
            raise too_many_parts(self._name, "turns", MAX_TURNS)
        self.items.append(Item(self._source.kinds[item], kept, content))


def _size(properties: list[Property]) -> tuple[int, int]:
    body = next(p.body for p in properties if p.kind == b"ispe")
    return struct.unpack_from(">II", body, 4)
