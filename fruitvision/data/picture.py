"""One picture, checked before it is decoded, and brought to one form: RGB, upright, on white.

The store and the classifier both come through ``load_pixels``, so that a network answers from the same pixels
that it learned from.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fruitvision.errors import PictureError

if TYPE_CHECKING:  # and otherwise where it is used: decoding alone needs no numpy, and starts twice as fast
    import numpy as np

# Damaged camera notes are no news for the console: a picture that cannot be read is an error, any other is an answer.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

MAX_PIXELS = 50_000_000
MAX_BYTES = 50 * 2**20

PictureSource = Union[str, Path, bytes, Image.Image, "np.ndarray"]

#: What the first bytes of each readable format look like, and Pillow's reader for it. Nothing else is ever
#: handed to Pillow, whose rarer decoders are old and little tested; and its ``open``, which meets a large
#: picture with a warning, is not asked, because the size is checked here.
_SIGNATURES = (
    (0, b"\xff\xd8\xff", JpegImageFile),
    (0, b"\x89PNG\r\n\x1a\n", PngImageFile),
    (8, b"WEBP", WebPImageFile),
    (0, b"GIF8", GifImageFile),
    (0, b"BM", BmpImageFile),
    (0, b"II*\0", TiffImageFile),
    (0, b"MM\0*", TiffImageFile),
    (0, b"II+\0", TiffImageFile),
    (0, b"MM\0+", TiffImageFile),
)
_READABLE = "JPEG, PNG, WebP, BMP, GIF or TIFF"


def open_picture(source: PictureSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read one picture as upright RGB, with whatever is transparent put on white.

    Args:
        source: a file, its bytes, a Pillow image, or an array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of
            uint8, of uint16, of floats in 0..1, or of booleans.
        max_pixels: width times height that is still decoded.

    Returns:
        An image of mode RGB. 16-bit pictures are scaled to 8 bits; of an animation, the first frame is taken.

    Raises:
        PictureError: the picture is missing, empty, no picture at all, damaged, or too large.
    """
    return _open(source, max_pixels, None)


def load_pixels(source: PictureSource, short_side: int = 256) -> np.ndarray:
    """One picture as (H, W, 3) uint8, its short side no longer than ``short_side``."""
    return to_array(load_capped(source, short_side))


def load_capped(source: PictureSource, short_side: int = 256) -> Image.Image:
    """``open_picture`` and ``cap_short_side`` in one, without decoding more of a large JPEG than is kept.

    Raises:
        PictureError: as ``open_picture``.
    """
    if isinstance(source, bytes):
        image = _small_jpeg(source, 2 * short_side)
        if image is not None:
            return cap_short_side(image, short_side)
    return cap_short_side(_open(source, MAX_PIXELS, 2 * short_side), short_side)


def cap_short_side(image: Image.Image, short_side: int = 256) -> Image.Image:
    """Scale down until the short side is at most ``short_side`` pixels, as torchvision's ``Resize`` does.

    Never scales up. A strip longer than four times its width (or than four times ``short_side``, where it is
    thinner than that) is cropped to its middle, so that no picture takes more than 4 * short_side**2 pixels.
    """
    width, height = image.size
    side = min(width, height)
    longest = 4 * max(side, short_side)
    if max(width, height) > longest:
        left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
        image = image.crop((left, top, left + min(width, longest), top + min(height, longest)))
        width, height = image.size
    if side <= short_side:
        return image
    size = (width * short_side // side, height * short_side // side)
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def to_array(image: Image.Image) -> np.ndarray:
    """An RGB image as a writable (H, W, 3) uint8 array."""
    import numpy as np

    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _open(source: PictureSource, max_pixels: int, draft_side: int | None) -> Image.Image:
    """``draft_side``: a JPEG may come at a half, a quarter or an eighth that keeps so long a short side."""
    if not isinstance(source, str | Path | bytes | Image.Image):
        return to_rgb(_from_array(source, max_pixels))
    name = ""
    if isinstance(source, Image.Image):
        image = source
    else:
        if not isinstance(source, bytes):
            name, source = os.path.basename(source), read_picture_file(source)
        image = _open_header(source, name)
    _check_size(*image.size, max_pixels, name)
    try:
        if draft_side is not None and image is not source:
            image.draft(image.mode, (draft_side, draft_side))
        image.load()
        return to_rgb(image)
    except MemoryError as error:
        raise _too_large(name, f"{image.width}×{image.height} px", "RAM") from error
    except Exception as error:  # Pillow's decoders report damage by a dozen unrelated kinds of exception
        raise _damaged(name) from error


def read_picture_file(path: str | Path) -> bytes:
    """The bytes of a picture file, no more than ``MAX_BYTES``.

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
        if os.path.isdir(path):  # which Windows does not open at all
            raise _missing(path) from error
        raise PictureError(
            "picture-unreadable",
            f"{name} could not be read.",
            "Check that the file may be read, then try again.",
            picture=name,
        ) from error
    return data


def _open_header(data: bytes, name: str) -> Image.Image:
    """Read the header alone; nothing is decoded before the size is checked."""
    if not data:
        raise PictureError(
            "picture-empty", f"{_called(name)} is empty (0 bytes).", "Choose another picture.", picture=name
        )
    if len(data) > MAX_BYTES:
        raise _too_large(name, f"{len(data) / 2**20:.0f} MB", f"{MAX_BYTES / 2**20:.0f} MB")
    reader = next((reader for at, magic, reader in _SIGNATURES if data.startswith(magic, at)), None)
    if reader is None:
        raise PictureError(
            "picture-not-an-image",
            f"{_called(name)} is in no format that can be read.",
            f"Choose a {_READABLE} file.",
            picture=name,
        )
    try:
        return reader(io.BytesIO(data))
    except Exception as error:  # the signature is right and the header is not
        raise _damaged(name) from error


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width < 1 or height < 1:
        raise PictureError(
            "picture-too-small", f"{_called(name)} has no pixels.", "Choose another picture.", picture=name
        )
    if width * height > max_pixels:
        raise _too_large(name, f"{width}×{height} px", f"{max_pixels / 1e6:g} MP")


def to_rgb(image: Image.Image) -> Image.Image:
    """A decoded image of any mode as upright 8-bit RGB on white."""
    if image.mode == "RGB" and "transparency" not in image.info and not _may_be_turned(image):
        return image
    image = _upright(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bit(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _may_be_turned(image: Image.Image) -> bool:
    return not {"exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp"}.isdisjoint(image.info)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        # A camera's notes are damaged, not its picture: taken as it lies, as every viewer does.
        return image


def _from_array(array: np.ndarray, max_pixels: int) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PictureError(
            "picture-not-an-image",
            f"An array of shape {array.shape} is not a picture.",
            "Give (H, W), (H, W, 3) or (H, W, 4).",
            picture=f"array {array.shape}",
        )
    _check_size(array.shape[1], array.shape[0], max_pixels, "")
    return Image.fromarray(_to_8_bit(array))


def _to_8_bit(values: np.ndarray | Image.Image) -> np.ndarray:
    """Scale the range that the type (or, where that says nothing, the values) stands for to 0..255."""
    import numpy as np

    array = np.asarray(values)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    values = np.nan_to_num(array.astype(np.float64), nan=0.0)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        top = 65535.0
    else:  # 32-bit integers and floats have no fixed white: 1, 255 or 65535, whichever holds the brightest
        ranges = (1.0, 255.0, 65535.0) if array.dtype.kind == "f" else (255.0, 65535.0)
        brightest = float(values.max())
        top = next((top for top in ranges if brightest <= top), brightest)
    return np.clip(values * (255.0 / top) + 0.5, 0, 255).astype(np.uint8)


def _small_jpeg(data: bytes, max_side: int) -> Image.Image | None:
    """Decode a small, plain colour JPEG in half the time that ``Image.open`` takes; None for any other.

    A dataset of 100×100 pictures spends more time in Pillow's parsing of headers than in decoding. Here the
    markers are only walked through until the frame's size; a picture with EXIF or XMP, with another number of
    channels, or with anything unusual or damaged about it, is left to Pillow.
    """
    at = 2
    if data[:3] != b"\xff\xd8\xff":
        return None
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in (0xC0, 0xC1, 0xC2):
            precision, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            if precision != 8 or channels != 3 or min(width, height) < 1 or max(width, height) > max_side:
                return None
            try:
                return Image.frombytes("RGB", (width, height), data, "jpeg", "RGB", "")
            except (ValueError, OSError):
                return None
        if marker in (0xE1, 0xD9, 0xDA, 0xFF) or 0xC3 <= marker <= 0xCF and marker != 0xC4:
            return None
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _called(name: str) -> str:
    return name or "The picture"


def _missing(path: str | Path) -> PictureError:
    return PictureError(
        "picture-missing", f"There is no picture file {path}.", "Check the path.", picture=str(path)
    )


def _damaged(name: str) -> PictureError:
    return PictureError(
        "picture-damaged",
        f"{_called(name)} is damaged and cannot be decoded.",
        "Save or download it again, or choose another picture.",
        picture=name,
    )


def _too_large(name: str, size: str, limit: str) -> PictureError:
    facts: dict[str, Any] = {"picture": name, "size": size, "limit": limit}
    return PictureError(
        "picture-too-large",
        f"{_called(name)} is too large: {size}, and the limit is {limit}.",
        "Scale it down, then try again.",
        **facts,
    )
