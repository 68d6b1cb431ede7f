"""A picture's compressed notes are looked through for its orientation, and are not unpacked without end."""

from __future__ import annotations

import zlib

import pytest

from fruitvision.data.read.formats.orientation import MAX_METADATA_BYTES
from fruitvision.data.read.formats.structure import read_structure
from tests.data.read.test_hostile_pictures import chunk, png, turned

EXIF = b"\nexif\n%8d\n" % len(turned().tobytes()) + b"\n".join(turned().tobytes().hex(" ", -36).encode().split()) + b"\n"
XMP = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
RAW_CHUNK, XMP_CHUNK = (b"zTXt", b"Raw profile type exif\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0")


def packed(kind: tuple[bytes, bytes], text: bytes, *, damaged: bool = False) -> bytes:
    content = zlib.compress(text, 9)
    return chunk(kind[0], kind[1] + (content[:-4] + bytes(4) if damaged else content))


def orientation(*chunks: bytes) -> int:
    return read_structure(png(8, 8, 2, *chunks)).orientation


@pytest.mark.parametrize(("kind", "text"), [(RAW_CHUNK, EXIF), (XMP_CHUNK, XMP)])
def test_compressed_notes_say_which_way_up_a_picture_is(kind, text):
    assert orientation() == 1
    assert orientation(packed(kind, text)) == 6
    assert orientation(packed(kind, b"\n" * 1000), packed(kind, b"\n" * 1000, damaged=True), packed(kind, text)) == 6


@pytest.mark.parametrize("kind", [RAW_CHUNK, XMP_CHUNK])
@pytest.mark.parametrize("damaged", [False, True])
def test_no_more_than_a_megabyte_of_notes_is_unpacked(kind, damaged, monkeypatch):
    """A kilobyte may stand for each: a file of 10 MB would be unpacked to ten gigabytes."""
    real, total = zlib.decompressobj, 0

    class Counting:
        def decompress(self, content: bytes, most: int) -> bytes:
            nonlocal total
            assert 0 < most <= MAX_METADATA_BYTES
            total += len(real().decompress(content[:-4], most))
            return real().decompress(content, most)

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    note = packed(kind, b"\n" * (MAX_METADATA_BYTES // 4 + 1), damaged=damaged)
    assert orientation(*[note] * 40) == 1
    assert MAX_METADATA_BYTES / 8 < total <= MAX_METADATA_BYTES
