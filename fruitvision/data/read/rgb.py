"""Pictures of any mode, and arrays of any type, as 8-bit RGB on white."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

if TYPE_CHECKING:  # and otherwise where it is used: decoding alone needs no numpy, and starts twice as fast
    import numpy as np

_PIXELS_A_PIECE = 2**20


def to_rgb(image: Image.Image) -> Image.Image:
    """A decoded image of any mode as upright 8-bit RGB on white."""
    if _has_metadata(image):
        image = _upright(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    white = _white(image) if _is_deep(image) else None
    if image.width * image.height <= _PIXELS_A_PIECE:
        return _flat(image, white)
    whole = Image.new("RGB", image.size)
    for top, piece in _pieces(image):  # intermediate results take several times the memory of the picture
        whole.paste(_flat(piece, white), (0, top))
    return whole


def _flat(image: Image.Image, white: float | None) -> Image.Image:
    """8-bit RGB on white; ``white`` is the white level of a picture of 16 or 32 bits."""
    if _is_deep(image):
        image = Image.fromarray(to_8_bit(_as_array(image), white))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _pieces(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """A picture some rows at a time: where each piece begins, and the piece."""
    rows = max(_PIXELS_A_PIECE // image.width, 1)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _white(image: Image.Image) -> float:
    if image.mode.startswith("I;16"):
        return 65535.0
    arrays = (_as_array(piece) for _, piece in _pieces(image))
    return max(_white_of(array.dtype, _brightest(array)) for array in arrays)


def _as_array(image: Image.Image) -> np.ndarray:
    import numpy as np

    return np.asarray(image)


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _has_metadata(image: Image.Image) -> bool:
    return not {"exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp"}.isdisjoint(image.info)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        # Damaged metadata, not a damaged picture: taken as it lies, as every viewer does.
        return image


def to_8_bit(array: np.ndarray, white: float | None = None) -> np.ndarray:
    """Scale 0..``white`` to 0..255, some rows at a time; by default the white level follows from the type or the values."""
    import numpy as np

    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    rows = max(_PIXELS_A_PIECE // max(array[0].size, 1), 1)
    pieces = [slice(start, start + rows) for start in range(0, len(array), rows)]
    if white is None:
        white = _white_of(array.dtype, max(_brightest(array[piece]) for piece in pieces))
    scaled = np.empty(array.shape, np.uint8)
    for piece in pieces:
        values = np.nan_to_num(array[piece].astype(np.float64), nan=0.0)
        scaled[piece] = np.clip(values * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)
    return scaled


def _brightest(array: np.ndarray) -> float:
    import numpy as np

    return float(np.nan_to_num(array.astype(np.float64), nan=0.0).max())


def _white_of(dtype: np.dtype, brightest: float) -> float:
    if dtype.kind == "u" and dtype.itemsize == 2:
        return 65535.0
    # 32-bit integers and floats have no fixed white: 1, 255 or 65535, whichever holds the brightest
    ranges = (1.0, 255.0, 65535.0) if dtype.kind == "f" else (255.0, 65535.0)
    return next((top for top in ranges if brightest <= top), brightest)
