"""Read one picture as upright sRGB on white; the file is checked before it is decoded.

The store and the classifier read pictures in the same way, so that a network sees the same pixels in inference as in training.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union

from PIL import Image

from fruitvision.data.read.decode_gate import GATE
from fruitvision.data.read.formats.jpeg import MAX_SCANS
from fruitvision.data.read.formats.picture_file import MAX_SIDE, Note, PictureFile
from fruitvision.data.read.formats.structure import read_structure
from fruitvision.data.read.rgb import SHORT_SIDE, cap_short_side, to_8_bit, to_srgb_on_white
from fruitvision.errors import PictureError

if TYPE_CHECKING:  # otherwise imported where used: decoding needs no numpy, and starts twice as fast without it
    import numpy as np

# No warnings about damaged metadata: a picture can be read, or it is an error.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

MAX_PIXELS = 50_000_000
"""Limit on decoded pixels. A JPEG may have 64 times as many, if it is decoded at an eighth of its width and height."""
MAX_WEIGHT = MAX_PIXELS * 4 // 3
"""Limit on memory in units of 12-byte pixels, for JPEGs including the coefficients of several scans, and HEIC or AVIF including
transparency."""
MAX_BYTES = 50 * 2**20
MAX_SECONDS = 5.0
"""Limit on processor time for one picture, checked between the chunks of 64 KB that Pillow reads of a JPEG, PNG, GIF, BMP or plain
TIFF. WebP, HEIC, AVIF and compressed TIFFs are decoded in one call, which cannot be interrupted; there the number of pixels bounds
the time (:mod:`fruitvision.data.read.formats` accepts codecs that process each pixel once, or 64 times for a JPEG within a TIFF)."""
PIXELS_PER_BYTE = 512
"""Limit for a JPEG: the first scan has at least one bit per 64 pixels. With fewer bytes most of the picture is missing."""
DRAFT_SHARE = 7 / 8
"""The fraction of the short side that a JPEG decoded at 1/2, 1/4 or 1/8 of its size must keep: 224 of 256 px, the usual input size of
networks. libjpeg averages when it reduces, which avoids aliasing, and a 640 × 480 picture is read in half the time."""
MAX_MISSING = 4
"""A truncated JPEG counts as damaged if the lowest 1/4 of the picture is missing, which the decoder fills with grey."""

PictureSource = Union[str, Path, bytes, Image.Image, "np.ndarray"]

_MAX_SMALL_SEGMENTS = 1000
"""Before the first scan of a small JPEG; ordinary ones have about ten."""
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureWithNote(NamedTuple):
    """A picture, and the code of a note about its file; empty if nothing is wrong."""

    image: Image.Image
    note: Note = ""


def open_picture(source: PictureSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read one picture as upright sRGB, transparency composited on white.

    Args:
        source: a file, its bytes, a Pillow image, or an array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of
            uint8, of uint16, of floats in 0..1, or of booleans.
        max_pixels: width times height that is still decoded. A JPEG of more is opened at 1/2, 1/4 or 1/8 of its size.

    Returns:
        An image of mode RGB. 16-bit pictures are scaled to 8 bits; of an animation, the first frame is taken.

    Raises:
        PictureError: the picture is missing, empty, not a picture, damaged, too large, or encoded in a way that could
            take any amount of memory or time.
    """
    return _open(source, max_pixels, None).image


def load_pixels(source: PictureSource, short_side: int = SHORT_SIDE) -> np.ndarray:
    """One picture as (H, W, 3) uint8, with a short side of at most ``short_side`` pixels."""
    return to_array(load_capped(source, short_side))


def load_capped(source: PictureSource, short_side: int = SHORT_SIDE) -> Image.Image:
    """``open_picture`` followed by ``cap_short_side``, without decoding a large JPEG at full resolution.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that keeps ``DRAFT_SHARE`` of the short side.

    Raises:
        PictureError: as ``open_picture``.
    """
    return load_with_note(source, short_side).image


def load_with_note(source: PictureSource, short_side: int = SHORT_SIDE, *, whole: bool = False) -> PictureWithNote:
    """As ``load_capped``, with a note about the file; ``whole`` rejects a truncated file as damaged."""
    if isinstance(source, bytes):
        image = _small_jpeg(source, 2 * draft_side(short_side) - 1)
        if image is not None:
            return PictureWithNote(cap_short_side(image, short_side))
    return _open(source, MAX_PIXELS, short_side, whole)


def picture_size(path: str | Path) -> tuple[int, int]:
    """Width and height of a picture file as stored; nothing is decoded.

    Raises:
        PictureError: as ``open_picture``.
    """
    name = os.path.basename(path)
    file = _file(read_picture_file(path), name)
    _check_size(file.width, file.height, MAX_PIXELS, name)
    return file.width, file.height


def draft_side(short_side: int) -> int:
    """The minimum short side of a JPEG decoded at 1/2, 1/4 or 1/8 of its size, if it is then reduced to ``short_side``."""
    return math.ceil(DRAFT_SHARE * short_side)


def to_array(image: Image.Image) -> np.ndarray:
    """An RGB image as a writable (H, W, 3) uint8 array."""
    import numpy as np

    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _open(source: PictureSource, max_pixels: int, short_side: int | None, whole: bool = False) -> PictureWithNote:
    """Decode within the limits of ``GATE``; the picture is reduced to ``short_side`` before the gate is released."""
    if not isinstance(source, str | Path | bytes | Image.Image):
        with GATE.acquire(source.size):
            return PictureWithNote(to_srgb_on_white(_from_array(source, max_pixels), short_side))
    if isinstance(source, Image.Image):
        _check_size(*source.size, max_pixels, "")
        with GATE.acquire(source.width * source.height), _picture_errors("", f"{source.width}×{source.height} px"):
            source.load()
            return PictureWithNote(to_srgb_on_white(source, short_side, source.info.get("icc_profile") or b""))
    name = "" if isinstance(source, bytes) else os.path.basename(source)

    def read() -> tuple[PictureFile, int | None]:
        file = _file(source if isinstance(source, bytes) else read_picture_file(source), name)
        side = _draft_side(file, short_side, max_pixels)
        _check_decoded(file, side, max_pixels, name)
        if whole and file.note == "cut-off":
            raise _damaged(name)
        return file, side

    file, side = read()
    weight = file.weight(side)
    if not isinstance(source, bytes) and not GATE.has_room(weight):
        file = None  # many may wait: each file is read again after admission
    with GATE.acquire(weight):
        if file is None:
            file, side = read()
        if file.weight(side) > weight:
            raise _damaged(name)  # the file was changed meanwhile
        with _picture_errors(name, f"{file.width}×{file.height} px"):
            image = to_srgb_on_white(_decoded(file, name, side), short_side, file.profile)
            image = image.copy() if hasattr(image, "tile") else image  # Pillow's reader keeps more than the pixels
            return PictureWithNote(image, file.note)


def _draft_side(file: PictureFile, short_side: int | None, max_pixels: int) -> int | None:
    """The size for ``Image.draft``, so that a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that keeps most of the short side,
    or where only that fits into ``max_pixels``."""
    if short_side is not None:
        return draft_side(short_side)
    if not file.reducible or file.width * file.height <= max_pixels:
        return None
    sides = (max(min(file.width, file.height) // scale, 1) for scale in (2, 4, 8))
    fitting = (side for side in sides if math.prod(file.reduced(side)) <= max_pixels)
    return next(fitting, None)


def _decoded(file: PictureFile, name: str, draft_side: int | None) -> Image.Image:
    """Decode a file; returns an upright image."""
    with file.reader(_TimedStream(file.data, name)) as reader:
        if max(reader.size) > max(file.width, file.height) or min(reader.size) > min(file.width, file.height):
            raise ValueError("the size is not the one that was checked")
        if draft_side is not None:
            reader.draft(reader.mode, (draft_side, draft_side))
        reader.load()
    if file.note == "cut-off" and _is_grey(reader.crop((0, reader.height - reader.height // MAX_MISSING, *reader.size))):
        raise ValueError("too much is missing")
    return reader.transpose(_TRANSPOSE[file.orientation]) if file.orientation in _TRANSPOSE else reader


def _is_grey(image: Image.Image) -> bool:
    """Whether every pixel has the value that a JPEG decoder fills in for missing data: the middle of the range in every channel."""
    counts = image.histogram()
    return sum(counts) > 0 and sum(counts) == sum(sum(counts[at + 127 : at + 129]) for at in range(0, len(counts), 256))


class _TimedStream(io.BytesIO):
    """A file in memory whose ``read`` raises after this thread has used ``MAX_SECONDS`` of processor time."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self._name, self._start, self._reads = name, time.thread_time(), 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as from a file. Raises PictureError "picture-too-slow"."""
        self._reads += 1
        if size is None or size >= 4096 or self._reads % 64 == 0:  # reading the clock costs as much as reading a few bytes
            if time.thread_time() - self._start > MAX_SECONDS:
                raise PictureError("picture-too-slow", picture=self._name, seconds=MAX_SECONDS)
        return super().read(size)


@contextmanager
def _picture_errors(name: str, size: str) -> Iterator[None]:
    try:
        yield
    except PictureError:
        raise
    except MemoryError as error:
        raise _too_large(name, size, "RAM") from error
    except Exception as error:  # Pillow's decoders raise a dozen unrelated exceptions on damage
        raise _damaged(name) from error


def read_picture_file(path: str | Path) -> bytes:
    """The bytes of a picture file, at most ``MAX_BYTES``.

    Raises:
        PictureError: the file is missing, unreadable or too large.
    """
    name = os.path.basename(path)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise _missing(path)
            if info.st_size > MAX_BYTES:
                raise _too_large(name, f"{info.st_size / 2**20:.0f} MB", f"{MAX_BYTES / 2**20:.0f} MB")
            with open(handle, "rb", buffering=0, closefd=False) as stream:
                data = stream.read()
        finally:
            os.close(handle)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, ValueError) as error:
        if os.path.isdir(path):  # Windows cannot open a folder
            raise _missing(path) from error
        raise PictureError("picture-unreadable", picture=name) from error
    return data


def _file(data: bytes, name: str) -> PictureFile:
    """Parse a file; nothing is decoded."""
    if not data:
        raise PictureError("picture-empty", picture=name)
    if len(data) > MAX_BYTES:
        raise _too_large(name, f"{len(data) / 2**20:.0f} MB", f"{MAX_BYTES / 2**20:.0f} MB")
    with _picture_errors(name, f"{len(data) / 2**20:.0f} MB"):
        return read_structure(data, name)


def _check_decoded(file: PictureFile, draft_side: int | None, max_pixels: int, name: str) -> None:
    """Raise PictureError if decoding would take more memory than the largest allowed picture."""
    size = f"{file.width}×{file.height} px"
    width, height = file.reduced(draft_side)
    if file.reducible and width * height > max_pixels:
        raise _too_large(name, size, f"{64 * max_pixels / 1e6:g} MP")
    _check_size(width, height, max_pixels, name)
    _check_size(file.width, file.height, 64 * max_pixels, name)
    if file.reducible and file.weight(draft_side) > MAX_WEIGHT or not file.parts and file.pixels > MAX_WEIGHT:
        raise _too_large(name, f"{size}, {file.weight(draft_side) * 12 >> 20} MB", f"{MAX_WEIGHT * 12 >> 20} MB")
    if file.reducible and file.width * file.height > 2 * PIXELS_PER_BYTE * len(file.data):
        raise _damaged(name)


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width < 1 or height < 1:
        raise PictureError("picture-too-small", picture=name)
    if width * height > max_pixels:
        raise _too_large(name, f"{width}×{height} px", f"{max_pixels / 1e6:g} MP")
    if max(width, height) > MAX_SIDE:
        raise _too_large(name, f"{width}×{height} px", f"{MAX_SIDE} px")


def _from_array(array: np.ndarray, max_pixels: int) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PictureError("picture-array-shape", shape=str(array.shape))
    _check_size(array.shape[1], array.shape[0], max_pixels, "")
    return Image.fromarray(to_8_bit(array))


def _small_jpeg(data: bytes, max_side: int) -> Image.Image | None:
    """Decode a small, ordinary colour JPEG in half the time of ``Image.open``; None for any other file.

    For 100×100 pictures Pillow spends more time on parsing headers than on decoding. Here markers are only skipped until the first
    scan. A file with EXIF, XMP or a color profile, another number of channels, many scans, or anything unusual or damaged is left to
    Pillow.
    """
    at, coding, size = 2, 0, (0, 0)
    if data[:3] != b"\xff\xd8\xff":
        return None
    for _ in range(_MAX_SMALL_SEGMENTS):
        if at + 10 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in (0xC0, 0xC1, 0xC2):
            precision, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            if coding or precision != 8 or channels != 3 or min(width, height) < 1 or max(width, height) > max_side:
                return None
            coding, size = marker, (width, height)
        elif marker == 0xDA and coding:
            several = coding == 0xC2 or data[at + 4] != 3  # otherwise the first scan has all channels, and libjpeg reads no other
            if several and data.count(b"\xff\xda", at) > MAX_SCANS:
                return None
            try:
                return Image.frombytes("RGB", size, data, "jpeg", "RGB", "")
            except (ValueError, OSError):
                return None
        elif marker == 0xE2 and data.startswith(b"ICC_PROFILE", at + 4):
            return None
        elif marker in (0xE1, 0xFF) or marker < 0xC0 or 0xC3 <= marker <= 0xDA and marker != 0xC4:
            return None  # among them those without a segment, in which libjpeg would find another picture
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _missing(path: str | Path) -> PictureError:
    return PictureError("picture-missing", picture=str(path))


def _damaged(name: str) -> PictureError:
    return PictureError("picture-damaged", picture=name)


def _too_large(name: str, size: str, limit: str) -> PictureError:
    return PictureError("picture-too-large", picture=name, size=size, limit=limit)
