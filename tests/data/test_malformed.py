"""Malformed pictures in bulk: each is an answer or a sentence, quickly, and leaves nothing behind."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from fruitvision.data.picture import load_pixels
from fruitvision.errors import PictureError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
SECONDS = 5.0


def _whole(rng: random.Random) -> dict[str, bytes]:
    """One sound picture of each kind: noise, since flat colour is a few bytes that hardly break."""
    noise = Image.fromarray(np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    kinds: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in FORMATS}
    kinds["JPEG-progressive"] = "JPEG", {"progressive": True}
    kinds["PNG-palette"], kinds["TIFF-lzw"] = ("PNG", {}), ("TIFF", {"compression": "tiff_lzw"})
    found = {}
    for name, (kind, options) in kinds.items():
        file = io.BytesIO()
        (noise.convert("P") if name in ("PNG-palette", "GIF") else noise).save(file, kind, **options)
        found[name] = file.getvalue()
    turned = Image.Exif()
    turned[0x0112] = 6
    file = io.BytesIO()
    noise.save(file, "JPEG", exif=turned)
    return found | {"JPEG-EXIF": file.getvalue()}


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, content: bytes, extra: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + _chunk(b"IDAT", zlib.compress(content)) + _chunk(b"IEND", b"")


def _crafted() -> Iterator[tuple[str, bytes]]:
    yield from {"empty": b"", "text": b"a picture, truly", "zip": b"PK\3\4" + bytes(60), "SVG": b"<svg onload='alert(1)'/>"}.items()
    for side in (0, 1, 40_000, 2**31 - 1):
        yield f"PNG that says {side}", _png(side, side, b"")
    yield "PNG that holds more than it says", _png(2, 2, bytes(30_000_000))
    yield "PNG with a text that unpacks to 60 MB", _png(2, 2, bytes(14), _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000_000))))
    yield "BMP of 2 GB", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    # A directory of a TIFF that follows itself, and EXIF whose directory does.
    loop = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x100, 3, 1, 5, 8)
    yield "TIFF that follows itself", loop
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8769, 4, 1, 8, 8)
    sound = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(sound, "JPEG")
    yield "EXIF that follows itself", b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + sound.getvalue()[2:]
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    yield "GIF of 200,000 frames", b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 200_000


def _malformed(count: int) -> Iterator[tuple[str, bytes]]:
    """``count`` pictures cut off, with bits turned, bytes exchanged or doubled parts, and all of the crafted ones."""
    yield from _crafted()
    rng = random.Random(7)
    whole = _whole(rng)
    for number in range(count):
        name, content = rng.choice(sorted(whole.items()))
        broken = bytearray(content)
        way = number % 5
        if way == 0:
            del broken[rng.randrange(len(broken)) :]
        elif way == 1:  # of the header, where it tells most
            for _ in range(rng.randint(1, 4)):
                broken[rng.randrange(min(80, len(broken)))] ^= 1 << rng.randrange(8)
        elif way == 2:
            for _ in range(rng.randint(1, 40)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
        elif way == 3:
            start, end = sorted(rng.randrange(len(broken)) for _ in range(2))
            broken[start:end] = broken[start:end] * 3 if rng.random() < 0.5 else b""
        else:  # the beginning of one format and the rest of another
            other = whole[rng.choice(sorted(whole))]
            broken[rng.randrange(4, 64) :] = other[rng.randrange(len(other)) :]
        yield f"{number}: {name}, way {way}", bytes(broken)


@pytest.mark.filterwarnings("ignore")  # Pillow may warn, as it does in use: what it warns of must not be raised
def test_each_of_hundreds_is_an_array_or_a_sentence_and_memory_comes_back():
    process, answered, refused = psutil.Process(), 0, 0
    load_pixels(_whole(random.Random(0))["JPEG"])
    before = process.memory_info().rss
    for name, content in _malformed(540):
        started = time.monotonic()
        try:
            pixels = load_pixels(content)
        except PictureError as error:
            assert error.code and error.message and error.next_step, name
            refused += 1
        except Exception as error:
            pytest.fail(f"{name}: {error!r}")
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size, name
            answered += 1
        assert time.monotonic() - started < SECONDS, name
    assert answered + refused >= 550 and refused > 200 and answered > 50
    assert process.memory_info().rss - before < 100 * 2**20
