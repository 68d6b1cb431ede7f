"""HEIC and AVIF: the primary picture alone, upright, on white; what claims more than it is, is refused before it is decoded."""

from __future__ import annotations

import builtins
import io
import struct
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, features

from fruitvision.data.read.formats.heif_boxes import Item, Items, Property, file_of
from fruitvision.data.read.formats.heif_codecs import _Bits, _leb128
from fruitvision.data.read.formats.structure import read_structure
from fruitvision.data.read.picture import load_capped, load_pixels, open_picture
from fruitvision.errors import PictureError
from tests.sentences import is_worded

heif = pytest.importorskip("pillow_heif")
RED, BLUE = (200, 30, 40), (20, 40, 210)
KINDS = ["HEIF", pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"))]


def halves(size=(160, 80), mode="RGB") -> Image.Image:
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    if kind == "AVIF":
        image.save(stream, "AVIF", speed=10, **options)
    else:
        heif.from_pillow(image).save(stream, format="HEIF", **options)
    return stream.getvalue()


def near(pixel, colour) -> bool:
    return all(abs(a - b) <= 30 for a, b in zip(pixel, colour, strict=True))


def code_of(data: bytes) -> str:
    codes = set()
    for read in (load_pixels, open_picture):
        try:
            read(data)
            codes.add("answer")
        except PictureError as error:
            assert is_worded(error)
            codes.add(error.code)
    (code,) = codes
    return code


class Taken(Items):
    """The primary item of a file, to be put together anew."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "")
        self.kind, self.own, self.bytes = self.kinds[self.primary], self.properties(self.primary), self.content(self.primary)
        self.brand = b"avif" if self.kind == b"av01" else b"heic"

    def item(self, *, size: tuple[int, int] | None = None, content: bytes | None = None, kind: bytes | None = None) -> Item:
        own = [Property(b"ispe", struct.pack(">4xII", *size)) if size and p.kind == b"ispe" else p for p in self.own]
        return Item(kind or self.kind, own, self.bytes if content is None else content)

    def alone(self, **changes) -> bytes:
        return file_of(self.brand, [self.item(**changes)], {})

    def grid(self, across: int, down: int, size: tuple[int, int], tiles: list[Item]) -> bytes:
        body = struct.pack(">BBBBII", 0, 1, down - 1, across - 1, *size)
        whole = Item(b"grid", [Property(b"ispe", struct.pack(">4xII", *size))], body)
        return file_of(self.brand, [whole, *tiles], {(b"dimg", 1): range(2, 2 + len(tiles))})


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_read_whatever_the_file_is_called(kind, tmp_path):
    path = tmp_path / "IMG_0002.jpg"
    path.write_bytes(encoded(halves(), kind))
    image = open_picture(path)
    assert image.mode == "RGB" and image.size == (160, 80)
    assert near(image.getpixel((20, 40)), RED) and near(image.getpixel((140, 40)), BLUE)
    assert load_pixels(path, 40).shape == (40, 80, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("load", [open_picture, load_capped])
def test_a_picture_turned_by_the_camera_is_turned_once(kind, load):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = load(encoded(halves(), kind, exif=exif.tobytes()))
    assert image.size == (80, 160)
    assert near(image.getpixel((40, 20)), RED) and near(image.getpixel((40, 140)), BLUE)


@pytest.mark.parametrize("kind", KINDS)
def test_transparent_parts_become_white(kind):
    image = halves(mode="RGBA")
    image.paste((0, 0, 0, 0), (80, 0, 160, 80))
    seen = open_picture(encoded(image, kind))
    assert near(seen.getpixel((20, 40)), RED) and near(seen.getpixel((140, 40)), (255, 255, 255))


def test_a_grid_of_tiles_is_put_together_as_phones_write_it():
    data = encoded(halves((700, 400)), "HEIF", tile_size=128)
    assert Items(data, "").kinds[Items(data, "").primary] == b"grid"
    image = open_picture(data)
    assert image.size == (700, 400) and near(image.getpixel((20, 390)), RED) and near(image.getpixel((690, 10)), BLUE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_gets_the_primary_picture_alone(kind):
    notes = {"exif": Image.Exif().tobytes(), "xmp": b"<x/>"}
    data = encoded(halves((320, 160)), kind, **notes, **({"thumbnails": [64]} if kind == "HEIF" else {}))
    given = Items(read_structure(data).data, "")
    assert len(Items(data, "").kinds) > 1 and list(given.kinds) == [given.primary]


def test_of_several_pictures_the_primary_one_is_taken():
    stream = io.BytesIO()
    file = heif.from_pillow(halves(mode="L").convert("RGB"))
    file.add_from_pillow(halves())
    file.save(stream, format="HEIF", primary_index=1)
    assert near(open_picture(stream.getvalue()).getpixel((20, 40)), RED)


def test_a_video_is_no_picture():
    for brand in (b"isom", b"qt  "):
        video = struct.pack(">I4s4sI", 16, b"ftyp", brand, 0) + struct.pack(">I4s", 8, b"moov")
        assert code_of(video) == "picture-not-an-image"


def test_where_nothing_reads_heic_it_is_named(monkeypatch):
    data, real = encoded(halves(), "HEIF"), builtins.__import__

    def without(name, *given):
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *given)

    monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PictureError) as caught:
        open_picture(data)
    assert caught.value.code == "picture-heic"
    assert "pillow-heif" in str(caught.value) and "Most Compatible" in str(caught.value)


def test_where_this_pillow_reads_no_avif_it_is_named(monkeypatch):
    data = Taken(encoded(halves(), "HEIF"))
    config = Property(b"av1C", b"\x81\0\0\0" + bytes([0x0A, 0x06, 0x18, 0x15, 0x7F, 0xDA, 0xC0, 0x80]))
    size = Property(b"ispe", struct.pack(">4xII", 64, 64))
    monkeypatch.setattr(features, "check", lambda name: False)
    assert code_of(file_of(b"avif", [Item(b"av01", [config, size], data.bytes[:0])], {})) in ("picture-avif", "picture-encoding")


@pytest.mark.parametrize("data", [b"\xff\x0a\xfa\x13\x19\x01", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl "])
def test_jpeg_xl_is_named(data):
    assert code_of(data) == "picture-jpeg-xl"


# What claims more than it is --------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=KINDS)
def taken(request) -> Taken:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).resize((600, 600))
    return Taken(encoded(noise, request.param))


def test_what_was_put_together_anew_is_read(taken):
    assert code_of(taken.alone()) == code_of(taken.grid(2, 2, (1200, 1200), [taken.item()] * 4)) == "answer"


@pytest.mark.parametrize("size", [(30_000, 30_000), (2**32 - 1, 2**32 - 1), (70_000, 600), (8000, 8000)])
def test_a_picture_too_large_is_refused_by_its_header(taken, size):
    assert code_of(taken.alone(size=size)) == "picture-too-large"


def test_a_coded_picture_larger_than_it_is_said_to_be_is_not_decoded(taken):
    assert code_of(taken.alone(size=(64, 64))) == "picture-encoding"
    assert code_of(taken.grid(2, 2, (100, 100), [taken.item(size=(50, 50))] * 4)) == "picture-encoding"


def test_tiles_far_larger_than_their_picture_are_not_decoded():
    taken = Taken(encoded(halves((600, 600)), "HEIF"))
    assert code_of(taken.grid(10, 10, (700, 700), [taken.item()] * 100)) == "picture-encoding"


def test_a_picture_of_many_frames_or_slices_is_not_decoded():
    taken = Taken(encoded(halves((600, 600)), "HEIF"))
    assert code_of(taken.alone(content=taken.bytes * 2)) == "picture-encoding"
    (length,) = struct.unpack_from(">I", taken.bytes)
    again = bytearray(taken.bytes[: 4 + length])
    again[6] &= 0x7F  # not the first slice of a picture
    assert code_of(taken.alone(content=taken.bytes + bytes(again) * 2000)) == "picture-too-many-parts"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_of_many_frames_is_not_decoded():
    taken = Taken(encoded(halves((600, 600)), "AVIF"))
    assert code_of(taken.alone(content=taken.bytes * 50)) == "picture-too-many-parts"


def rewritten_headers(data: bytes, change: Callable[[int, bytes], tuple[int, bytes]]) -> bytes:
    """The open bitstream units of an AV1 picture, each (type, body) as ``change`` has it."""
    at, found = 0, b""
    while at < len(data):
        head, start = data[at], at + 1 + (data[at] >> 2 & 1)
        length, start = _leb128(data, start)
        kind, body = change(head >> 3 & 15, data[start : start + length])
        assert kind == head >> 3 & 15 and len(body) < 2**14
        found += bytes([head & ~4]) + bytes([len(body) & 127 | 128, len(body) >> 7]) + body
        at = start + length
    return found


def wide_sizes(kind: int, body: bytes) -> tuple[int, bytes]:
    """The same sequence header with sizes in 16 bits each, as some encoders write them."""
    if kind != 1:
        return kind, body
    bits, parsed = "".join(f"{byte:08b}" for byte in body), _Bits(body)
    assert parsed.take(4) == 0 and not parsed.take(1) and not parsed.take(1) + parsed.take(1)
    for _ in range(parsed.take(5) + 1):
        parsed.take(12)
        if parsed.take(5) > 7:
            parsed.take(1)
    at = len(bits) - parsed._left
    wide, high = parsed.take(4) + 1, parsed.take(4) + 1
    size = f"{parsed.take(wide):016b}{parsed.take(high):016b}"
    changed = bits[:at] + "1" * 8 + size + bits[at + 8 + wide + high :].rstrip("0")
    changed += "0" * (-len(changed) % 8)
    return kind, bytes(int(changed[i : i + 8], 2) for i in range(0, len(changed), 8))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_whose_sizes_could_be_larger_is_read_where_no_frame_makes_use_of_it():
    """With a whole sequence header each frame may name a size of its own, in as many bits as the header's."""
    stream = io.BytesIO()
    halves((64, 64)).save(stream, "AVIF", save_all=True, append_images=[halves((64, 64)).rotate(180)])
    taken = Taken(stream.getvalue())
    content = rewritten_headers(taken.bytes, wide_sizes)
    properties = [
        Property(one.kind, one.body[:4] + rewritten_headers(one.body[4:], wide_sizes)) if one.kind == b"av1C" else one for one in taken.own
    ]
    data = file_of(b"avif", [Item(b"av01", properties, content)], {})
    assert code_of(data) == "answer"

    def own_size(kind: int, body: bytes) -> tuple[int, bytes]:
        """A frame that is not a key frame, or names another size: its first bits say so."""
        return kind, bytes([body[0] | 0b0110_0000, *body[1:]]) if kind in (3, 6) else body

    assert code_of(file_of(b"avif", [Item(b"av01", properties, rewritten_headers(content, own_size))], {})) == "picture-too-large"


def test_a_heic_whose_lengths_are_of_another_size_than_decoders_read_is_damaged():
    taken = Taken(encoded(halves((64, 64)), "HEIF"))
    properties = [
        Property(one.kind, one.body[:21] + bytes([one.body[21] & ~1]) + one.body[22:]) if one.kind == b"hvcC" else one for one in taken.own
    ]
    assert code_of(file_of(b"heic", [Item(b"hvc1", taken.own, taken.bytes)], {})) == "answer"
    assert code_of(file_of(b"heic", [Item(b"hvc1", properties, taken.bytes)], {})) == "picture-damaged"


def test_a_grid_of_countless_tiles_is_not_decoded(taken):
    tile = taken.item(size=(600, 600), content=b"")
    assert code_of(taken.grid(100, 100, (50_000, 900), [tile] * 10_000)) in ("picture-too-many-parts", "picture-damaged")


def test_a_grid_of_itself_is_not_decoded(taken):
    body = struct.pack(">BBBBII", 0, 1, 0, 0, 600, 600)
    whole = Item(b"grid", [Property(b"ispe", struct.pack(">4xII", 600, 600))], body)
    assert code_of(file_of(taken.brand, [whole], {(b"dimg", 1): [1]})) == "picture-encoding"


@pytest.mark.parametrize("kind", [b"iovl", b"iden", b"jpeg", b"vvc1", b"unci"])
def test_other_kinds_of_items_are_not_let_in(taken, kind):
    assert code_of(taken.alone(kind=kind)) == "picture-encoding"


def test_items_upon_each_other_are_not_copied():
    """Each of many tiles is the whole file: a few megabytes would be gigabytes."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    taken = Taken(encoded(noise, "HEIF"))
    tiles = [taken.item(content=b"" if n else taken.bytes) for n in range(400)]
    data = bytearray(taken.grid(20, 20, (1280, 1280), tiles))
    rows = data.index(b"iloc") + 12
    (start,) = struct.unpack_from(">I", data, rows + 14 + 6)
    for n in range(1, 401):
        struct.pack_into(">II", data, rows + 14 * n + 6, start, len(taken.bytes))
    small = bytes(data)
    assert code_of(small + bytes(400 * len(taken.bytes))) == "answer"
    assert code_of(small) == "picture-damaged"


def test_each_cut_is_an_error(taken):
    data = taken.alone()
    assert {code_of(data[:at]) for at in range(20, len(data) - 1, len(data) // 40)} <= {"picture-damaged", "picture-encoding"}
