"""Malformed pictures in bulk: each is an answer or a sentence, at once, and leaves nothing behind."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from PIL import Image, features

from fruitvision.data.read.picture import MAX_BYTES, load_pixels
from fruitvision.errors import PictureError
from tests.sentences import is_worded

try:
    import pillow_heif
except ImportError:
    pillow_heif = None

SEED = 7
LIMIT_SECONDS = 5.0
# The first round fills Pillow's and numpy's own caches, the second finds them full.
KNOWN = ("damaged", "too-large", "too-small", "not-an-image", "empty", "encoding", "too-many-parts")
LEFT_BY_FIRST, LEFT_BY_SECOND = 150 * 2**20, 16 * 2**20

FORMATS: tuple[tuple[str, str, dict], ...] = (
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("WEBP", "RGBA", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "L", {"compression": "packbits"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    *((("AVIF", "RGBA", {"speed": 10}),) if features.check("avif") else ()),
    *((("HEIF", "RGB", {}), ("HEIF", "RGBA", {"tile_size": 16})) if pillow_heif else ()),
)


def picture(mode: str, side: int = 40) -> Image.Image:
    y, x = np.mgrid[0:side, 0:side]
    image = Image.fromarray(np.stack([x * 6, y * 6, (x + y) * 3], axis=-1).astype(np.uint8))
    return image.quantize(32) if mode == "P" else image.convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(stream, format=kind, **options)
    else:
        image.save(stream, kind, **options)
    return stream.getvalue()


def turned(value: int, kind: int = 3, count: int = 1) -> bytes:
    """EXIF bytes with an orientation of any TIFF type (3: uint16) and count."""
    return b"Exif\0\0" + tiff([(0x0112, kind, count, value)])


def spoiled() -> Iterator[tuple[str, bytes]]:
    """Truncations, flipped bits, overwritten and repeated stretches of each format."""
    chance = random.Random(SEED)
    for number, (kind, mode, options) in enumerate(FORMATS):
        notes = {} if kind in ("BMP", "GIF", "TIFF") else {"exif": turned(6)}
        whole = encoded(picture(mode), kind, **options, **notes)
        name = f"{kind} {mode} {number}"
        for i in range(10):
            yield f"{name} cut {i}", whole[: chance.randrange(1, len(whole))]
        for i in range(24):
            content = bytearray(whole)
            # Half of them in the header, where a byte means most.
            reach = min(len(whole), 200) if i % 2 else len(whole)
            for _ in range(1 + i % 5):
                content[chance.randrange(2, reach)] ^= 1 << chance.randrange(8)
            yield f"{name} flipped {i}", bytes(content)
        for i in range(4):
            at = chance.randrange(2, len(whole))
            yield f"{name} overwritten {i}", whole[:at] + chance.randbytes(40) + whole[at + 40 :]
            yield f"{name} repeated {i}", whole[:at] + whole[max(0, at - 60) : at] * 20 + whole[at:]


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def gif(width: int, height: int, frames: int) -> bytes:
    frame = b"!\xf9\x04\0\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * frames + b";"


def tiff(entries: list[tuple[int, int, int, int]], next_ifd: int = 0, rest: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory of (tag, type, count, value)."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", next_ifd) + rest


def plain_tiff(width: int, height: int, **more: int) -> bytes:
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, more.get("compression", 1))]
    entries += [(262, 3, 1, 1), (273, 4, 1, more.get("offset", 200)), (277, 3, 1, 1), (278, 4, 1, height)]
    entries += [(279, 4, 1, more.get("length", 64))]
    return tiff(entries, more.get("next_ifd", 0), b"\x55" * 300)


def large_header(kind: str, width: int, height: int) -> bytes:
    if kind == "PNG":
        return png(width, height, data=zlib.compress(bytes(10_000)))
    if kind == "GIF":
        return gif(width & 0xFFFF, height & 0xFFFF, 1)
    if kind == "BMP":
        return (
            b"BM"
            + struct.pack("<IIIIiiHHIIiiII", 200, 0, 54, 40, min(width, 2**31 - 1), min(height, 2**31 - 1), 1, 24, 0, 0, 0, 0, 0, 0)
            + b"\0" * 99
        )
    if kind == "TIFF":
        return plain_tiff(width, height)
    content = bytearray(encoded(picture("RGB"), "JPEG"))
    frame = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, frame + 5, height & 0xFFFF, width & 0xFFFF)
    return bytes(content)


def hostile() -> Iterator[tuple[str, bytes]]:
    """Pictures that somebody made so, rather than a broken disk."""
    for kind in ("PNG", "GIF", "BMP", "TIFF", "JPEG"):
        for width, height in ((0, 0), (0, 9), (65535, 65535), (2**31 - 1, 2**31 - 1), (1, 2**31 - 1), (2**32 - 1, 1), (7000, 7000)):
            yield f"{kind} header {width}x{height}", large_header(kind, width, height)
    zeros = zlib.compress(bytes(30_000_000), 9)
    yield "a bomb of pixels", png(20_000, 20_000, data=zeros)
    yield "a bomb behind few pixels", png(8, 8, data=zeros)
    yield "a bomb of text", png(8, 8, *[png_chunk(b"zTXt", b"k\0\0" + zeros)] * 8, data=zlib.compress(bytes(200)))
    yield "a bomb of colour", png(8, 8, png_chunk(b"iCCP", b"k\0\0" + zeros), data=zlib.compress(bytes(200)))
    yield "a bomb of notes", png(8, 8, *[png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros)] * 8, data=zlib.compress(bytes(200)))
    yield "100,000 frames", gif(4, 4, 100_000)
    yield "100,000 chunks", png(8, 8, *[png_chunk(b"tEXt", b"k\0v")] * 100_000, data=zlib.compress(bytes(200)))
    yield "a TIFF that leads to itself", plain_tiff(8, 8, next_ifd=8)
    for name, tag in (("EXIF", 34665), ("GPS", 34853), ("interoperability", 40965), ("thumbnails", 330)):
        loop = tiff([(tag, 4, 1, 8), (0x0112, 3, 1, 6)], next_ifd=8)
        yield f"{name} that lead to themselves", encoded(picture("RGB"), "JPEG", exif=b"Exif\0\0" + loop)
        yield f"a TIFF whose {name} are itself", tiff([(256, 4, 1, 8), (257, 4, 1, 8), (tag, 4, 1, 8), (273, 4, 1, 90)], 8, bytes(300))
    for count in (2**31, 2**32 - 1):
        yield f"{count} offsets", tiff([(256, 4, 1, 8), (257, 4, 1, 8), (273, 4, count, 8), (279, 4, count, 8)], 0, bytes(99))
    yield "EXIF without an end", encoded(picture("RGB"), "JPEG", exif=b"Exif\0\0" + tiff([(n, 7, 2**31, 8) for n in range(900)]))
    for value in ((0,), (9,), (65535,), (6, 2, 4), (6, 5, 1), (6, 3, 2**31), (6, 99, 1), (6, 12, 3)):
        for kind in ("JPEG", "PNG", "WEBP"):
            yield f"{kind} turned {value}", encoded(picture("RGB"), kind, exif=turned(*value))
    for value in ("six", "9" * 400, "&lol;", "-1"):
        notes = f'<!DOCTYPE l [<!ENTITY lol "{"l" * 99}">]><x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{value}"/>'
        yield f"XMP turned {value[:9]}", encoded(picture("RGB"), "JPEG", xmp=notes.encode())
    for kind, magic in (("JPEG", b"\xff\xd8\xff"), ("PNG", b"\x89PNG\r\n\x1a\n"), ("GIF", b"GIF89a"), ("BMP", b"BM"), ("TIFF", b"II*\0")):
        for size in (0, 1, 40, 4000):
            yield f"{kind} and {size} zeros", magic + bytes(size)
            yield f"{kind} and {size} ones", magic + b"\xff" * size
    yield "65,535 markers without an end", b"\xff\xd8" + b"\xff\xe0\0\x02" * 65_535
    yield "nothing", b""
    yield "text", "苹果, bananas and a pear\n".encode() * 50
    yield "a page", b"<!doctype html><script>alert(1)</script>"
    yield "a drawing", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "a program", b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n"
    yield "a pickle", b"\x80\x04cos\nsystem\n(S'true'\ntR."
    yield "too many bytes", b"\xff\xd8\xff" + bytes(MAX_BYTES)


def outcome(data: bytes) -> str:
    """What came of one picture: "answer", or the code of its error."""
    try:
        pixels = load_pixels(data)
    except PictureError as error:
        return error.code if is_worded(error) else f"{error.code} says {error}"
    except Exception as error:
        return repr(error)
    return "answer" if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size else str(pixels.shape)


def try_all() -> None:
    """Read every picture twice and print what came of it: of the second round, nothing may stay in memory."""
    process = psutil.Process()
    pictures = [*spoiled(), *hostile()]
    report = {"outcomes": {}, "seconds": {}, "memory": [process.memory_info().rss]}
    for _ in range(2):
        for name, data in pictures:
            print(f"reading {name}", file=sys.stderr)
            start = time.monotonic()
            report["outcomes"][name] = outcome(data)
            report["seconds"][name] = time.monotonic() - start
        gc.collect()
        report["memory"].append(process.memory_info().rss)
    print(json.dumps(report))


@pytest.fixture(scope="module")
def tried(project) -> tuple[dict, str]:
    """The report, and what was written to the standard error, of a process that a decoder may bring down."""
    command = [sys.executable, "-W", "always", __file__]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(command, capture_output=True, env=environment, encoding="utf-8", errors="replace", timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    return json.loads(done.stdout), done.stderr


def test_each_is_an_answer_or_a_sentence(tried):
    outcomes = tried[0]["outcomes"]
    known = {"answer", *(f"picture-{why}" for why in KNOWN)}
    assert len(outcomes) >= 700
    assert {name: found for name, found in outcomes.items() if found not in known} == {}
    assert Counter(outcomes.values())["picture-damaged"] > 300 and Counter(outcomes.values())["answer"] > 100


def test_each_is_quick(tried):
    assert {name: took for name, took in tried[0]["seconds"].items() if took > LIMIT_SECONDS} == {}


def test_none_leaves_memory_behind(tried):
    before, first, second = tried[0]["memory"]
    assert first - before < LEFT_BY_FIRST and second - first < LEFT_BY_SECOND


def test_no_warning_reaches_the_console(tried):
    assert [line for line in tried[1].splitlines() if "Warning" in line] == []


def test_what_is_too_large_is_refused_as_that(tried):
    outcomes = tried[0]["outcomes"]
    assert outcomes["a bomb of pixels"] == outcomes["too many bytes"] == "picture-too-large"
    assert all(outcomes[f"{kind} header 65535x65535"] == "picture-too-large" for kind in ("PNG", "GIF", "BMP", "TIFF", "JPEG"))


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.txt", "x.pt", "x", "x.svg"])
def test_a_wrong_extension_changes_nothing(tmp_path, name):
    for kind, mode, options in FORMATS:
        data = encoded(picture(mode), kind, **options)
        (tmp_path / name).write_bytes(data)
        assert (load_pixels(tmp_path / name) == load_pixels(data)).all()


if __name__ == "__main__":
    try_all()
