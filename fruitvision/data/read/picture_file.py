"""What a picture file holds, read before anything decodes it: its size, how it is packed, and which way up it is.

Pillow's readers trust a file's structure: a tag that is named twice is read twice, a comment is joined anew with each of its
blocks, and a few bytes may stand for gigabytes. So they get a file that was taken apart here: of each format the codecs
whose memory and time are bounded by the pixels, and only the parts that decoding needs. Camera notes, texts, colour profiles
and further frames are left behind; of them nothing but the orientation is wanted, and it is read here.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fruitvision.errors import PictureError

MAX_SIDE = 65_535
"""As in JPEG and GIF; TIFF, PNG and BMP could claim a row that is the whole picture, and several such rows are held at once."""
MAX_SCANS = 64
"""Of a JPEG: each goes over the whole picture. Progressive ones have about ten."""
MAX_PARTS = 100_000
"""Segments of a JPEG, chunks of a PNG, strips or tiles of a TIFF, blocks before a GIF's first frame."""
MAX_NOTES = 2**20
"""Bytes of compressed camera notes that are unpacked to look for the orientation."""
_WEIGHT_OF_A_STRIP = 100
"""Pillow keeps some 500 bytes for each strip of a TIFF; a pixel of a picture that is decoded takes 5 to 12."""
_HOLDING_MORE = (WebPImageFile, TiffImageFile)
"""The readers that hold a picture more than once at a time: 16 bytes a pixel."""
_TILE_FREE_PIXELS = 2**22
_TIFF_COMPRESSIONS = {1: "none", 5: "LZW", 7: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
_TIFF_SMALL_TAGS = {
    **dict.fromkeys((256, 257, 259, 262, 266, 274, 277, 278, 284, 317, 322, 323, 531), 1),  # sizes and ways of packing
    **dict.fromkeys((258, 338, 339, 529, 530, 532), 16),  # bits, extra samples, their formats; YCbCr
    320: 3 * 2**16,
    347: 2**16,  # the palette, JPEG tables
}
"""The tags that decoding needs, and how many values each may have. The places of strips or tiles come to them."""
_TIFF_CODES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "B", 7: "B", 8: "H", 9: "I", 13: "I", 16: "Q", 17: "Q", 18: "Q"}
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_XMP_START, _EXIF_START = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"


class PictureFile(NamedTuple):
    """A picture file that may be decoded."""

    reader: type[ImageFile]
    data: bytes
    """What the reader gets."""
    width: int
    height: int
    orientation: int = 1
    """As EXIF counts it, 1..8; 1 where the reader turns the picture by itself."""
    in_parts: bool = False
    """Whether a half, a quarter or an eighth of it can be decoded without holding the whole: a JPEG of one scan."""
    parts: int = 0
    """Of a TIFF, how many strips or tiles."""
    pixels: int = 0
    """What the decoder goes through: width times height, or more where tiles reach beyond the edges."""

    def weight(self, short_side: int | None) -> int:
        """Pixels, or what is as large, that are held while it is decoded; ``short_side`` as for ``Image.draft``."""
        pixels = max(self.pixels, self.width * self.height)
        if short_side and self.in_parts:
            reduced = min(self.width // short_side, self.height // short_side)
            scale = next((s for s in (8, 4, 2) if reduced >= s), 1)
            pixels = -(-self.width // scale) * -(-self.height // scale)
        if self.reader in _HOLDING_MORE:
            pixels = pixels * 8 // 5
        return max(pixels, len(self.data) // 8, self.parts * _WEIGHT_OF_A_STRIP)


def read_structure(data: bytes, name: str = "") -> PictureFile:
    """Take a picture file apart.

    Raises:
        PictureError: it is in no readable format, packed in a way that is not let in, or of too many parts.
        ValueError, struct.error, IndexError: it is damaged.
    """
    read = next((read for at, magic, read in _FORMATS if data.startswith(magic, at)), None)
    if read is None:
        raise PictureError("picture-not-an-image", picture=name)
    return read(data, name)


def _jpeg(data: bytes, name: str) -> PictureFile:
    """Huffman coding, baseline or progressive; of the segments before the first scan those that decoding needs."""
    kept, at = [data[:2]], 2
    frame, coding, exif, xmp = b"", 0, None, None
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        marker = found[1][0] if found else 0xD9
        if marker in (0xD8, 0xD9):
            raise ValueError("no scan")
        start, at = found.start(), found.end()
        if marker == 0x01:
            continue
        at += struct.unpack_from(">H", data, at)[0]
        segment = data[start + 4 : at]
        if at < start + 4 or at > len(data):
            raise ValueError("a segment is cut off")
        if marker == 0xDA:
            _check_scans(data, start, len(data), name)
            height, width, channels = struct.unpack_from(">HHB", frame, 1)
            in_parts = coding != 0xC2 and segment[0] == channels
            kept.append(data[start:])
            return PictureFile(JpegImageFile, _joined(kept, data), width, height, _turned(exif, xmp), in_parts)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xCC):
            if marker > 0xC2:
                raise _not_let_in(name, "JPEG, lossless or arithmetic")
            if frame:
                raise ValueError("two frames")
            frame, coding = segment, marker
        if marker == 0xE1 and exif is None and segment.startswith(_EXIF_START):
            exif = _exif_orientation(segment)
        elif marker == 0xE1 and xmp is None and segment.startswith(_XMP_START):
            xmp = _xmp_orientation(segment)
        elif marker in (0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xE0, 0xEE):  # 0xE0 and 0xEE say what the channels are
            kept.append(data[start:at])
    raise _too_many_parts(name, "segments", MAX_PARTS)


def _check_scans(data: bytes, start: int, end: int, name: str) -> None:
    """Raise PictureError where a JPEG, from its first scan on, has more than ``MAX_SCANS``, as libjpeg would find them."""
    if data.count(b"\xff\xda", start, end) <= MAX_SCANS:  # there may be fewer, of them some in notes or behind the end
        return
    scans, at = 0, start
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at, end)
        marker = found[1][0] if found else 0xD9
        if marker == 0xD9:
            return
        scans += marker == 0xDA
        if scans > MAX_SCANS:
            raise _too_many_parts(name, "scans", MAX_SCANS)
        at = found.end()
        if marker >= 0xC0 and marker != 0xD8 and at + 2 <= end:
            at += struct.unpack_from(">H", data, at)[0]
    raise _too_many_parts(name, "segments", MAX_PARTS)


def _png(data: bytes, name: str) -> PictureFile:
    """The header, the palette with what is transparent, and the pixels. Of an animation that is the default picture."""
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR":
        raise ValueError("no header")
    kept: list[list[int]] = [[0, 20 + length]]  # stretches of the file
    exif, raw, xmp, at = None, None, None, 20 + length
    for _ in range(MAX_PARTS):
        if at + 8 > len(data) or kind == b"IEND":
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        start, at = at, at + 12 + length
        if kind in (b"PLTE", b"tRNS", b"IDAT", b"IEND") or at > len(data):
            if kept[-1][1] == start:
                kept[-1][1] = at
            else:
                kept.append([start, at])
        elif kind == b"eXIf" and exif is None:
            exif = _exif_orientation(data[start + 8 : at - 4])
        elif kind == b"iTXt" and xmp is None and data.startswith(b"XML:com.adobe.xmp\0", start + 8):
            xmp = _xmp_orientation(_text_of_chunk(data[start + 26 : at - 4]))
        elif kind in (b"tEXt", b"zTXt") and raw is None and data.startswith(b"Raw profile type exif\0", start + 8):
            raw = _raw_orientation(data[start + 30 : at - 4], packed=kind == b"zTXt")
    else:
        raise _too_many_parts(name, "chunks", MAX_PARTS)
    whole = kept == [[0, len(data)]]
    parts = data if whole else b"".join(data[start:end] for start, end in kept)
    return PictureFile(PngImageFile, parts, width, height, _turned(exif, raw, xmp))


def _gif(data: bytes, name: str) -> PictureFile:
    """The first frame, with the colours of all and with what is transparent in it."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    head = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    control, at = b"", head
    for _ in range(MAX_PARTS):
        if data[at] == 0x2C:
            left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
            first = b"".join((data[:head], control, data[at:]))
            return PictureFile(GifImageFile, first, max(width, left + across), max(height, top + down))
        if data[at] == 0x3B:
            raise ValueError("no frame")
        if data[at] == 0x21:
            if data[at + 1] == 0xF9 and data[at + 2] >= 4:
                control = b"!\xf9\4" + bytes([data[at + 3] & 1]) + data[at + 4 : at + 7] + b"\0"
            at = _behind_blocks(data, at + 2, name)
        else:
            at += 1
    raise _too_many_parts(name, "blocks", MAX_PARTS)


def _behind_blocks(data: bytes, at: int, name: str) -> int:
    for _ in range(MAX_PARTS):
        if not data[at]:
            return at + 1
        at += data[at] + 1
    raise _too_many_parts(name, "blocks", MAX_PARTS)


def _bmp(data: bytes, name: str) -> PictureFile:
    """Pixels as they are, or with masks; run-length coding may skip over any number of pixels in four bytes."""
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return PictureFile(BmpImageFile, data, width, height)
    width, height, _, _, compression = struct.unpack_from("<IIHHI", data, 18)
    if size in (40, 52, 56, 64, 108, 124) and compression in (1, 2):
        raise _not_let_in(name, "BMP, RLE")
    if compression not in (0, 3):
        raise ValueError("no compression of BMP's")
    return PictureFile(BmpImageFile, data, width, 2**32 - height if height >= 2**31 else height)


def _webp(data: bytes, name: str) -> PictureFile:
    """The picture, or the first frame of an animation."""
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    size, seen, kept, exif, xmp, at = None, set(), [], None, None, 12
    if end > len(data):
        raise ValueError("cut off")
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        body, at = data[at + 8 : at + 8 + length], at + 8 + length + (length & 1)
        if len(body) < length:
            raise ValueError("a chunk is cut off")
        if kind == b"VP8X" and not seen:
            size = tuple(int.from_bytes(body[n : n + 3], "little") + 1 for n in (4, 7))
            body = bytes([body[0] & 0x12]) + body[1:]  # transparent parts, an animation; no profile and no notes
        elif kind == b"VP8 " and size is None:
            size = tuple(side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        elif kind == b"VP8L" and size is None:
            (bits,) = struct.unpack_from("<I", body, 1)
            size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"EXIF" and exif is None:
            exif = _exif_orientation(body)
        elif kind == b"XMP " and xmp is None:
            xmp = _xmp_orientation(body[:MAX_NOTES])
        if kind in (b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L") and kind not in seen:
            seen.add(kind)
            kept.append(struct.pack("<4sI", kind, length) + body + bytes(length & 1))
    else:
        raise _too_many_parts(name, "chunks", MAX_PARTS)
    if size is None:
        raise ValueError("no picture")
    head = b"RIFF" + struct.pack("<I", sum(map(len, kept)) + 4) + b"WEBP"
    return PictureFile(WebPImageFile, b"".join((head, *kept)), *size, _turned(exif, xmp))


def _tiff(data: bytes, name: str) -> PictureFile:
    """The first picture, its directory written anew with the tags that decoding needs."""
    tags = _TiffTags(data)
    width, height, compression = tags.first(256), tags.first(257), tags.first(259, 1)
    if compression not in _TIFF_COMPRESSIONS:
        raise _not_let_in(name, f"TIFF, compression {compression}")
    planes = tags.first(277, 1) if tags.first(284, 1) == 2 else 1
    tiled = 322 in tags.entries
    wide, high = (tags.first(322), tags.first(323)) if tiled else (width, min(tags.first(278, height), height))
    across, down = -(-width // wide), -(-height // high)
    parts, pixels = across * down * planes, across * wide * down * high
    if parts > MAX_PARTS:
        raise _too_many_parts(name, "strips or tiles", MAX_PARTS)
    if pixels > max(2 * width * height, _TILE_FREE_PIXELS):
        raise _not_let_in(name, "TIFF, oversized tiles")
    places = (324, 325) if tiled else (273, 279)
    if compression == 7:
        for start, length in tags.stretches(*places, parts):
            _check_scans(data, start, start + length, name)
    most = {**_TIFF_SMALL_TAGS, **dict.fromkeys(places, max(parts, 16))}
    for other in (278,) if tiled else (322, 323):
        most.pop(other)
    turned = 1 if 274 in tags.entries else _turned(tags.xmp_orientation())  # Pillow's reader turns by the tag itself
    return PictureFile(TiffImageFile, tags.rewritten(most), width, height, turned, parts=parts, pixels=pixels)


class _TiffTags:
    """The first directory of a TIFF: each tag's type, number of values, and the values or where they lie."""

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
        """The first of a tag's numbers."""
        kind, count, held = self.entries[tag]
        code = f"{self.order}{min(count, most)}{_TIFF_CODES[kind]}"
        inside = count * struct.calcsize(_TIFF_CODES[kind]) <= len(held)
        return struct.unpack_from(code, held if inside else self.data, 0 if inside else self._place(held))

    def first(self, tag: int, default: int | None = None) -> int:
        """A size or a way of packing. Raises ValueError where it is missing without default, or is none."""
        values = self.values(tag, 1) if tag in self.entries else (default,)
        if not values or not isinstance(values[0], int) or values[0] < 1:
            raise ValueError(f"no tag {tag}")
        return values[0]

    def stretches(self, starts: int, lengths: int, parts: int) -> Sequence[tuple[int, int]]:
        """Where each strip or tile lies. Raises ValueError where they lie upon each other."""
        found = list(zip(self.values(starts, parts), self.values(lengths, parts), strict=True))
        if sum(length for _, length in found) > len(self.data):
            raise ValueError("strips lie upon each other")
        return found

    def xmp_orientation(self) -> int | None:
        """What is said in tag 700."""
        kind, count, held = self.entries.get(700, (0, 0, b""))
        at = self._place(held) if kind in (1, 7) and count > len(held) else len(self.data)
        return _xmp_orientation(self.data[at : at + min(count, MAX_NOTES)])

    def rewritten(self, most: dict[int, int]) -> bytes:
        """The file with a directory of these tags alone at its end. Raises ValueError where one has too many values."""
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


def _turned(*orientations: int | None) -> int:
    """The first that is given, where it is one."""
    found = next((one for one in orientations if one is not None), 1)
    return found if 1 <= found <= 8 else 1


def _exif_orientation(notes: bytes) -> int | None:
    """The number under the orientation's tag in EXIF; None where there is none. Other tags are not looked at."""
    notes = notes.removeprefix(_EXIF_START)
    order = {b"II": "<", b"MM": ">"}.get(notes[:2])
    try:
        (at,) = struct.unpack_from(f"{order}I", notes, 4)
        (count,) = struct.unpack_from(f"{order}H", notes, at)
        table = notes[at + 2 : at + 2 + 12 * count]
        for tag, kind, values, held in struct.iter_unpack(f"{order}HHI4s", table[: len(table) // 12 * 12]):
            if tag == 0x0112 and values == 1 and kind in (1, 3, 4):
                return struct.unpack_from(order + _TIFF_CODES[kind], held)[0]
    except struct.error:
        pass  # the notes are damaged, not the picture: taken as it lies, as every viewer does
    return None


def _xmp_orientation(notes: bytes) -> int | None:
    found = _XMP_ORIENTATION.search(notes)
    return int(found[1]) if found else None


def _raw_orientation(text: bytes, *, packed: bool) -> int | None:
    """Of EXIF as ImageMagick writes it into a PNG: in hexadecimal, under three lines."""
    try:
        text = _unpacked(text[1:]) if packed else text[:MAX_NOTES]
        return _exif_orientation(bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii")))
    except (ValueError, zlib.error):
        return None


def _text_of_chunk(rest: bytes) -> bytes:
    """The text of an iTXt chunk, of which ``rest`` is what follows the keyword."""
    text = rest[2:].split(b"\0", 2)[-1]
    try:
        return _unpacked(text) if rest[:1] == b"\1" else text[:MAX_NOTES]
    except zlib.error:
        return b""


def _unpacked(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, MAX_NOTES)


def _joined(kept: list[bytes], data: bytes) -> bytes:
    return data if sum(map(len, kept)) == len(data) else b"".join(kept)


def _not_let_in(name: str, kind: str) -> PictureError:
    return PictureError("picture-encoding", picture=name, kind=kind)


def _too_many_parts(name: str, parts: str, limit: int) -> PictureError:
    return PictureError("picture-too-many-parts", picture=name, parts=parts, limit=limit)


_FORMATS: tuple[tuple[int, bytes, Callable[[bytes, str], PictureFile]], ...] = (
    (0, b"\xff\xd8\xff", _jpeg),
    (0, b"\x89PNG\r\n\x1a\n", _png),
    (8, b"WEBP", _webp),
    (0, b"GIF8", _gif),
    (0, b"BM", _bmp),
    (0, b"II*\0", _tiff),
    (0, b"MM\0*", _tiff),
    (0, b"II+\0", _tiff),
    (0, b"MM\0+", _tiff),
)
"""What the first bytes of each readable format look like. Nothing else is ever handed to Pillow, whose rarer decoders are
old and little tested; and its ``open``, which meets a large picture with a warning, is not asked: the size is checked here."""
