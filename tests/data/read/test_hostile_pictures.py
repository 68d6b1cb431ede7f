"""Pictures that somebody made to exhaust memory or time: what each takes, measured in a process of its own.

``python -m tests.data.read.test_hostile_pictures 7071`` prints the same for pictures of the largest size."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, features

from fruitvision.compat import share_arenas
from fruitvision.data.read.decode_gate import GATE
from fruitvision.data.read.formats.structure import read_structure
from fruitvision.data.read.picture import MAX_PIXELS, load_capped, load_pixels, open_picture
from fruitvision.errors import PictureError
from tests.color_profiles import P3, rgb_profile

try:
    import pillow_heif
except ImportError:
    pillow_heif = None

SIDE = 3000
BYTES_PER_PIXEL = 20
APART = 16 * 2**20
"""What reading may take besides, whatever the size: a piece of rows on its way, the file, caches."""
MAX_SMALL = 48 * 2**20
VISITORS = 64


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def heic(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, format="HEIF", quality=30, enc_params={"preset": "ultrafast"}, **options)
    return stream.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def spotted(mode: str, side: int) -> Image.Image:
    """Black, with a little that is not: quickly packed, and as large as any."""
    image = Image.new("L", (side, side))
    image.paste(Image.radial_gradient("L"), (side // 2, side // 3))
    if mode == "P":
        return image.convert("RGB").quantize(32)
    return Image.merge("RGBA", [image] * 4) if mode == "RGBA" else image.convert(mode)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(side: int, depth: int, colour: int, *chunks: bytes, interlace: int = 0, width: int = 0) -> bytes:
    """Black, of any depth and colour type; ``chunks`` stand before the pixels."""
    width = width or side
    row = 1 + width * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth // 8
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, side, depth, colour, 0, 0, interlace))
    pixels = zlib.compress(bytes(side * row + 16 * side), 1)
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b"")))


def tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory of (tag, type, count, value), and what lies behind it."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", 0) + rest


def one_strip(side: int, pixels: bytes, bits: int, samples: int, photometric: int, compression: int, **more: int) -> bytes:
    tags = {256: side, 257: side, 259: compression, 262: photometric, 277: samples, 278: side, 279: len(pixels)}
    tags |= {int(tag[1:]): value for tag, value in more.items()}
    at = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = [(tag, 4, 1, value) for tag, value in tags.items()]
    wide = at if samples > 2 else bits | bits << 16
    return tiff([*entries, (258, 3, samples, wide), (273, 4, 1, at + 16)], struct.pack("<8H", *[bits] * 8) + pixels)


def taller_strip(height: int, count: int | None = None) -> bytes:
    """A TIFF of 65,496×8 pixels whose one strip, a progressive JPEG, declares another height; ``count``: the bytes it claims."""
    data = bytearray(encoded(Image.new("RGB", (65_496, 8)), "JPEG", progressive=True, quality=30, subsampling=0))
    struct.pack_into(">H", data, data.index(b"\xff\xc2") + 5, height)
    tags = {256: 65_496, 257: 8, 259: 7, 262: 2, 277: 3, 278: 8, 279: len(data) if count is None else count, 284: 1}
    at = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = [(tag, 4, 1, value) for tag, value in tags.items()]
    return tiff([*entries, (258, 3, 3, at), (273, 4, 1, at + 6)], struct.pack("<3H", 8, 8, 8) + bytes(data))


def hidden_jpeg(marker: int, side: int) -> bytes:
    """A small JPEG; ``marker``, which has no segment, seems to have one, of which the header of a large progressive JPEG is part."""
    small = encoded(Image.new("RGB", (100, 100)), "JPEG")
    data = bytearray(encoded(Image.new("RGB", (side, 8)), "JPEG", progressive=True, quality=30, subsampling=0))
    struct.pack_into(">H", data, data.index(b"\xff\xc2") + 5, side)
    inside = bytes(data[data.index(b"\xff\xdb") : -2])
    return b"".join((small[:2], b"\xff", bytes([marker]), struct.pack(">H", len(inside) + 2), inside, small[2:]))


def bmp(width: int, height: int, compression: int, pixels: bytes, bits: int = 8) -> bytes:
    header = struct.pack("<IIIIIIHHIIIIII", 0, 0, 1078, 40, width, height, 1, bits, compression, 0, 0, 0, 256, 0)
    return b"BM" + header[:-4] + struct.pack("<I", 0) + os.urandom(1024) + pixels


def gif(width: int, height: int, *, before: bytes = b"", frame: tuple[int, int] = (1, 1)) -> bytes:
    pixels = struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + before + b"," + pixels + b";"


def large(side: int) -> dict[str, Callable[[], bytes]]:
    """The kinds of picture that take most of each format, turned where that takes more."""
    frames = {"save_all": True, "duration": 40}
    transparent = b"\0" * 32
    return {
        "PNG, 16-bit grey": lambda: png(side, 16, 0),
        "PNG, 16-bit RGBA": lambda: png(side, 16, 6, chunk(b"eXIf", turned().tobytes()[6:])),
        "PNG, 16-bit RGBA, interlaced": lambda: png(side, 16, 6, interlace=1),
        "PNG, palette, transparent": lambda: png(side, 8, 3, chunk(b"PLTE", os.urandom(768)), chunk(b"tRNS", transparent)),
        "JPEG, progressive": lambda: encoded(spotted("RGB", side), "JPEG", progressive=True, subsampling=0, exif=turned()),
        "JPEG, progressive CMYK": lambda: encoded(spotted("CMYK", side), "JPEG", progressive=True, subsampling=0, exif=turned()),
        "GIF, transparent": lambda: encoded(spotted("P", side), "GIF", transparency=0, disposal=2),
        "BMP, 32 bits": lambda: encoded(spotted("RGBA", side), "BMP"),
        "BMP, palette": lambda: encoded(spotted("P", side), "BMP"),
        "WebP, lossless": lambda: encoded(spotted("RGBA", side), "WEBP", lossless=True, method=0, quality=0, exif=turned()),
        "WebP, lossy": lambda: encoded(spotted("RGBA", side), "WEBP", method=0, exif=turned()),
        "WebP, animated": lambda: encoded(
            spotted("RGBA", side), "WEBP", method=0, append_images=[Image.new("RGBA", (side, side), "red")], **frames
        ),
        "TIFF, LZW": lambda: encoded(spotted("RGBA", side), "TIFF", compression="tiff_lzw", exif=turned()),
        "TIFF, floats": lambda: encoded(spotted("F", side), "TIFF", compression="tiff_adobe_deflate"),
        "TIFF, JPEG": lambda: encoded(spotted("RGB", side), "TIFF", compression="jpeg"),
        "TIFF, 16-bit RGBA in one strip": lambda: one_strip(side, zlib.compress(bytes(side * side * 8), 1), 16, 4, 2, 8, t338=2, t274=6),
        **(
            {"AVIF, transparent": lambda: encoded(spotted("RGBA", side), "AVIF", speed=10, exif=turned())} if features.check("avif") else {}
        ),
        **(
            {
                "HEIC": lambda: heic(spotted("RGB", side)),
                "HEIC, transparent": lambda: heic(spotted("RGBA", side)),
                "HEIC, tiles": lambda: heic(spotted("RGB", side), tile_size=512),
            }
            if pillow_heif
            else {}
        ),
        "JPEG, cut off": lambda: encoded(spotted("RGB", side), "JPEG", progressive=True, subsampling=0, exif=turned())[:-9],
        "JPEG, Display P3": lambda: encoded(spotted("RGB", side), "JPEG", icc_profile=rgb_profile(P3)),
        "TIFF, PackBits": lambda: encoded(spotted("RGB", side), "TIFF", compression="packbits"),
    }


def overlapping_notes(tags: int, size: int) -> bytes:
    """EXIF whose every tag is the same megabytes."""
    return tiff([(tag, 7, size, 8) for tag in range(1, tags + 1)], bytes(size))


def small() -> dict[str, Callable[[], bytes]]:
    """Few pixels or none to be decoded, and much to be held: each is an answer or a sentence, and takes next to nothing."""
    text = zlib.compress(("\U0001f34e" + "a" * 1_000_000).encode(), 9)
    strips, comment = 2_000_000, b"!\xfe" + (b"\xff" + b"x" * 255) * 40_000 + b"\0"
    table = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, 1)]
    wide = {"PNG, one row": lambda: png(1, 16, 6, width=MAX_PIXELS), "BMP, one row": lambda: bmp(MAX_PIXELS, 1, 0, b"")}
    jpeg = encoded(spotted("RGB", 64), "JPEG")
    return {
        **wide,
        "BMP, run-length": lambda: bmp(8_000_000, 6, 1, b"\0\2\0\xff" * 4),
        "BMP, run-length, 4 bits": lambda: bmp(50_000_000, 1, 2, b"\0\2\xff\xff" * 4, bits=4),
        "PNG, notes upon each other": lambda: png(8, 8, 2, chunk(b"eXIf", overlapping_notes(2000, 1_000_000))),
        "PNG, texts": lambda: png(8, 8, 2, *[chunk(b"iTXt", b"k%d\0\1\0\0\0" % n + text) for n in range(60)]),
        "PNG, profiles": lambda: png(8, 8, 2, *[chunk(b"iCCP", b"k\0\0" + text)] * 4000),
        "PNG, chunks": lambda: png(8, 8, 2, *[chunk(b"tEXt", b"k\0v")] * 200_000),
        "JPEG, notes in many segments": lambda: (
            jpeg[:2] + (b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + overlapping_notes(4000, 17_000)[:65_527]) * 300 + jpeg[2:]
        ),
        **{f"JPEG, another in marker {one:02X}": lambda one=one: hidden_jpeg(one, 12_000) for one in (0x01, 0xD0, 0xD7)},
        "GIF, comment": lambda: gif(4, 4, before=comment),
        "GIF, frame to be disposed": lambda: gif(4, 4, before=b"!\xf9\4\x08\0\0\0\0", frame=(13_000, 13_000)),
        "WebP, canvas": lambda: b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6,
        "TIFF, strips": lambda: tiff([*table, (273, 4, strips, 500), (279, 4, strips, 500)], bytes(4 * strips + 1000)),
        "TIFF, tags upon each other": lambda: tiff(
            [*table, (273, 4, 1, 9000), *[(tag, 7, 10**6, 8) for tag in range(1000, 4000)]], bytes(10**6)
        ),
        "TIFF, 65,535 strips": lambda: tiff([*table, (273, 4, 65_536, 500), (279, 4, 65_536, 500)], bytes(600_000)),
        "TIFF, a tile": lambda: tiff(
            [*table[:-1], (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 500), (325, 4, 1, 99)], bytes(999)
        ),
        "TIFF, a strip that is higher": lambda: taller_strip(1000),
        "TIFF, a higher strip of no bytes": lambda: taller_strip(1000, count=0),
        "TIFF, LZMA": lambda: one_strip(64, bytes(999), 8, 1, 1, 34_925),
    }


#: What comes of each of :func:`small`; an answer where the notes alone are hostile.
EXPECTED = {
    "PNG, one row": "picture-too-large",
    "BMP, one row": "picture-too-large",
    "WebP, canvas": "picture-too-large",
    "GIF, frame to be disposed": "picture-too-large",
    **dict.fromkeys(("JPEG, another in marker 01", "JPEG, another in marker D0", "JPEG, another in marker D7"), "picture-too-large"),
    "BMP, run-length": "picture-encoding",
    "BMP, run-length, 4 bits": "picture-encoding",
    "TIFF, a tile": "picture-encoding",
    "TIFF, LZMA": "picture-encoding",
    "TIFF, a strip that is higher": "picture-encoding",
    "TIFF, a higher strip of no bytes": "picture-damaged",
    "TIFF, strips": "picture-damaged",
    "TIFF, 65,535 strips": "picture-damaged",
    "PNG, chunks": "picture-too-many-parts",
}


def measure(*paths: str) -> list[dict]:
    """What reading pictures takes of a fresh process: the answer, bytes at the highest, seconds of processor time."""
    small, found = encoded(spotted("RGBA", 600), "PNG"), []
    open_picture(small), load_pixels(small)
    for path in paths:
        data = Path(path).read_bytes()
        before, start, answers = _highest(), time.process_time(), []
        for read in (open_picture, load_pixels):
            try:
                read(data)
                answers.append("answer")
            except PictureError as error:
                answers.append(error.code)
        found.append({"answers": answers, "bytes": _highest() - before, "seconds": (time.process_time() - start) / 2})
    return found


def measure_many(path: str, pixels: int) -> list[dict]:
    """What it takes when as many as may read one picture at once, as the app reads it for an answer and a heatmap.

    ``pixels``: as many may be decoded at once as 2 to 50 megapixels.
    """
    share_arenas()  # as the app does at its start
    GATE.total, GATE.for_one = 2 * pixels, pixels
    load_pixels(encoded(spotted("RGBA", 600), "PNG"))
    before = _highest()
    with ThreadPoolExecutor(VISITORS) as pool:
        shapes = list(pool.map(lambda n: (load_pixels(Path(path)).shape, load_capped(Path(path), 720).size), range(VISITORS)))
    return [{"answers": [str(one) for one in {*shapes}], "bytes": _highest() - before}]


def _highest() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def apart(*given: object) -> list[dict]:
    """What one of the functions above finds, in a process of its own."""
    project = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.data.read.test_hostile_pictures", *map(str, given)]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(command, capture_output=True, cwd=project, env=environment, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-500:]
    return json.loads(done.stdout)


LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the highest use of memory is read from /proc")


@LINUX
@pytest.mark.parametrize("name", large(0))
def test_a_picture_takes_no_more_than_20_bytes_a_pixel(name, tmp_path):
    (tmp_path / "picture").write_bytes(large(SIDE)[name]())
    (found,) = apart("measure", tmp_path / "picture")
    assert found["answers"] == ["answer", "answer"]
    assert found["bytes"] < BYTES_PER_PIXEL * SIDE**2 + APART


@LINUX
def test_what_surrounds_the_pixels_takes_next_to_nothing(tmp_path):
    names = list(small())
    for number, make in enumerate(small().values()):
        (tmp_path / str(number)).write_bytes(make())
    found = dict(zip(names, apart("measure", *(tmp_path / str(number) for number in range(len(names)))), strict=True))
    assert {name: one["answers"] for name, one in found.items()} == {name: [EXPECTED.get(name, "answer")] * 2 for name in names}
    assert {name: one["bytes"] for name, one in found.items() if one["bytes"] > MAX_SMALL} == {}
    assert {name: one["seconds"] for name, one in found.items() if one["seconds"] > 2} == {}


def test_the_tables_of_a_lossless_webp_count_for_its_place():
    """Each 16 pixels may have codes of their own, of 13 KB, for a few bytes: 295 KB took 370 MB."""
    noise = Image.effect_noise((1024, 1024), 100).convert("RGB")
    lossless, lossy = (read_structure(encoded(noise, "WEBP", lossless=one), "").weight(None) for one in (True, False))
    assert lossless * 12 > 800_000_000 and lossy < 2 * 1024 * 1024
    assert read_structure(encoded(noise.resize((64, 64)), "WEBP", lossless=True), "").weight(None) < 500_000


@LINUX
def test_64_visitors_with_the_largest_picture_stay_within_a_share_of_two_gigabytes(tmp_path):
    """With pictures of a twentieth of the pixels, and a twentieth of all bounds but of what the threads themselves take."""
    (tmp_path / "picture").write_bytes(png(1581, 16, 6))
    (found,) = apart("measure_many", tmp_path / "picture", MAX_PIXELS // 20)
    assert found["answers"] == ["((256, 256, 3), (720, 720))"]
    assert found["bytes"] < 100_000_000 + VISITORS * 2 * 2**20


def main(side: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        for name, make in {**large(side), **small()}.items():
            path.write_bytes(make())
            (found,) = apart("measure", path)
            each = f"{found['bytes'] / side**2:5.1f} bytes a pixel" if name in large(side) else f"{found['bytes'] / 2**20:5.0f} MB"
            print(f"{name:35s} {found['answers'][0]:25s} {each}, {found['seconds']:.1f} s", flush=True)
        for name in ("PNG, 16-bit grey", "PNG, 16-bit RGBA", "WebP, lossless"):
            path.write_bytes(large(side)[name]())
            (found,) = apart("measure_many", path, side * side)
            print(f"{VISITORS} visitors: {name:22s} {' '.join(found['answers'])} {found['bytes'] / 2**20:.0f} MB", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "measure":
        print(json.dumps(measure(*sys.argv[2:])))
    elif sys.argv[1] == "measure_many":
        print(json.dumps(measure_many(sys.argv[2], int(sys.argv[3]))))
    else:
        main(int(sys.argv[1]))
