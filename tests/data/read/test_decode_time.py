"""Decoding takes no longer than it may: scans are counted, slow codings are not let in."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable

import pytest

from fruitvision.data.read import picture as pictures
from fruitvision.data.read.formats import tiff as tiffs
from fruitvision.data.read.formats.jpeg import MAX_SCANS
from fruitvision.data.read.formats.tiff import MAX_CLAIMED
from fruitvision.data.read.picture import load_pixels, open_picture
from fruitvision.errors import PictureError
from tests.data.read.test_hostile_pictures import encoded, one_strip, spotted, tiff, turned


def scans(side: int, count: int, **options) -> bytes:
    """A progressive JPEG with its last scan again and again."""
    data = encoded(spotted("RGB", side), "JPEG", progressive=True, **options)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - data.count(b"\xff\xda") + 1) + data[-2:]


def code_of(data: bytes, read: Callable = load_pixels) -> str:
    try:
        read(data)
    except PictureError as error:
        return error.code
    return "answer"


@pytest.mark.parametrize(("side", "options"), [(200, {}), (200, {"exif": turned()}), (1200, {})])
@pytest.mark.parametrize("read", [load_pixels, open_picture])
def test_the_scans_of_a_jpeg_are_counted_before_it_is_decoded(read, side, options):
    assert code_of(scans(side, MAX_SCANS, **options), read) == "answer"
    start = time.process_time()
    assert code_of(scans(side, MAX_SCANS + 1, **options), read) == "picture-too-many-parts"
    assert code_of(scans(side, 2000, **options), read) == "picture-too-many-parts"
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("read", [load_pixels, open_picture])
def test_the_scans_of_a_jpeg_that_is_not_progressive_are_counted(read):
    """Baseline too may have a scan for each channel, and libjpeg takes any number of them."""
    grey, size = encoded(spotted("L", 200), "JPEG"), struct.pack(">BHHB", 8, 200, 200, 3)
    frame, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    three = b"\xff\xc0\0\x11" + size + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    each = [grey[scan : scan + 5] + bytes([channel]) + grey[scan + 6 : -2] for channel in (1, 2, 3)]
    head = grey[:frame] + three + grey[frame + 13 : scan]
    assert code_of(head + b"".join(each) + grey[-2:], read) == "answer"
    assert code_of(head + b"".join(each * 700) + grey[-2:], read) == "picture-too-many-parts"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def refinements(width: int, height: int, count: int) -> bytes:
    """A grey progressive JPEG, each of whose further scans refines every coefficient of no block, in some hundred bytes."""
    blocks = -(-width // 8) * -(-height // 8)
    runs = blocks // 32_767 + 1
    bits = ("0" + "1" * 14) * runs  # the code of a run of 2**14 blocks or more, and how many more
    bits += "1" * (-len(bits) % 8)
    empty = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    codes = segment(0xC4, b"\0\1" + bytes(16)) + segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0")
    first = segment(0xDA, b"\1\1\0\0\0\1")
    data = b"\xff\xd8" + head + codes + first + (segment(0xDA, b"\1\1\0\1\x3f\x10") + empty) * count + b"\xff\xd9"
    return data + bytes(max(0, width * height // 1024 + 10 - len(data)))


def test_scans_of_many_pixels_are_counted_by_the_pixels():
    """All of them lie in the first piece that the decoder is given: nothing ends it."""
    assert code_of(refinements(4000, 2000, 60)) == "answer"
    start = time.process_time()
    assert code_of(refinements(20_000, 19_000, 9)) in ("answer", "picture-too-large")
    assert code_of(refinements(20_000, 19_000, 60)) == "picture-too-many-parts"
    assert time.process_time() - start < 5


def test_a_small_jpeg_of_countless_segments_is_not_walked_through():
    start = time.process_time()
    code_of(b"\xff\xd8" + b"\xff\xe0\0\2" * 2_500_000)
    assert time.process_time() - start < 1


def test_the_scans_of_a_jpeg_in_a_tiff_are_counted():
    data = scans(64, MAX_SCANS + 1)
    assert code_of(one_strip(64, data, 8, 3, 6, 7)) == "picture-too-many-parts"


def test_what_looks_like_a_scan_in_notes_or_behind_the_end_is_none():
    data, many = encoded(spotted("RGB", 200), "JPEG"), b"\xff\xda\0\2" * 500
    noted = data[:2] + b"\xff\xe2" + struct.pack(">H", len(many) + 2) + many + data[2:]
    assert code_of(noted) == code_of(data + many) == "answer"
    assert code_of(noted, open_picture) == code_of(data + many, open_picture) == "answer"


@pytest.mark.parametrize("marker", [0xC3, 0xC9, 0xCA])
def test_other_codings_of_jpeg_are_not_let_in(marker):
    data = encoded(spotted("RGB", 64), "JPEG").replace(b"\xff\xc0", bytes([0xFF, marker]))
    assert code_of(data) == "picture-encoding"


def test_a_jpeg_of_segments_without_end_is_refused():
    assert code_of(b"\xff\xd8" + b"\xff\xe0\0\2" * 3_000_000) == "picture-too-many-parts"


@pytest.mark.parametrize("compression", [2, 3, 4, 6, 32_771, 32_809, 34_676, 34_677, 34_712, 34_925, 50_000, 50_001])
def test_other_compressions_of_tiff_are_not_let_in(compression):
    assert code_of(one_strip(64, bytes(4096), 8, 1, 1, compression)) == "picture-encoding"
    assert code_of(one_strip(64, bytes(4096), 8, 1, 1, 1)) == "answer"


def rows_of_a_tiff(count: int, strip: bytes, compression: int, *, apart: bool, bits: int = 1) -> bytes:
    """Rows of eight pixels in strips of their own, or in one and the same; ``bits``: 2 where the lowest of a byte comes first."""
    values = {256: 8, 257: count, 258: 8, 259: compression, 262: 1, 266: bits, 277: 1, 278: 1}
    start = 8 + 2 + 12 * 10 + 4
    entries = [*((tag, 4, 1, value) for tag, value in values.items()), (273, 4, count, start), (279, 4, count, start + 4 * count)]
    places = [start + 8 * count + n * len(strip) * apart for n in range(count)]
    return tiff(entries, struct.pack(f"<{2 * count}I", *places, *[len(strip)] * count) + strip * (count if apart else 1))


TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def lzw(codes: int) -> bytes:
    """Eight pixels of grey 7 behind as many codes that stand for none."""
    bits = "100000000" * (codes + 1) + "000000111" * 8 + "100000001"
    return int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8))


STRIPS = {
    "PackBits": (32_773, 1, lambda size: b"\x80" * size + b"\xf9\7"),
    "LZW": (5, 1, lambda size: lzw(size * 8 // 9)),
    "deflate": (8, 1, lambda size: b"x\x9c" + b"\0\0\0\xff\xff" * (size // 5) + zlib.compress(b"\7" * 8)[2:]),
    "LZW, bits turned": (5, 2, lambda size: (lzw(0) + bytes(size)).translate(TURNED)),
}


@pytest.mark.parametrize("kind", STRIPS)
def test_the_strips_of_a_tiff_lie_apart(kind):
    """Each may be gone through, or copied, with all the bytes that it claims: 65,535 times the same megabyte takes minutes."""
    compression, bits, strip = STRIPS[kind]
    assert (load_pixels(rows_of_a_tiff(200, strip(50), compression, apart=True, bits=bits)) == 7).all()
    assert (load_pixels(rows_of_a_tiff(MAX_CLAIMED, strip(5000), compression, apart=False, bits=bits)) == 7).all()
    start = time.process_time()
    assert code_of(rows_of_a_tiff(1000, strip(500_000), compression, apart=False, bits=bits)) == "picture-damaged"
    assert time.process_time() - start < 1


def test_blocks_of_deflate_without_pixels_are_not_gone_through_for_each_strip(monkeypatch):
    """A megabyte of them takes 100 milliseconds: 10 MB that eight strips shared took 8 seconds."""
    empty = b"x\x9c" + b"\0\0\0\xff\xff" * 10_000 + zlib.compress(b"\7" * 8)[2:]
    monkeypatch.setattr(tiffs, "MAX_MORE_DEFLATED", 4 * len(empty))
    assert (load_pixels(rows_of_a_tiff(5, empty, 8, apart=False)) == 7).all()
    assert code_of(rows_of_a_tiff(6, empty, 8, apart=False)) == code_of(rows_of_a_tiff(6, empty, 32_946, apart=False)) == "picture-damaged"
    assert (load_pixels(rows_of_a_tiff(MAX_CLAIMED, STRIPS["LZW"][2](50_000), 5, apart=False)) == 7).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_decoding_ends_when_its_time_is_over(kind, monkeypatch):
    data = encoded(spotted("RGB", 700).convert("P" if kind == "GIF" else "RGB"), kind)
    monkeypatch.setattr(pictures, "MAX_SECONDS", -1.0)
    assert {code_of(data, read) for read in (load_pixels, open_picture)} == {"picture-too-slow"}
