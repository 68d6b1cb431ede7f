"""Convert pictures of any mode and color profile, and arrays of any type, to 8-bit sRGB on white.

Of a color profile only the tags that define its colors are used, copied into a new profile: three colorants and their curves, or one
CMYK table. With any other or a damaged profile the picture is not converted, as in viewers.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

if TYPE_CHECKING:  # otherwise imported where used: decoding needs no numpy, and starts twice as fast without it
    import numpy as np
    from PIL import ImageCms

SHORT_SIDE = 256
"""Pixels: the largest short side of the pictures in an image store, and of those that the classifier reads."""
_PIXELS_PER_CHUNK = 2**20
_COLORANTS, _CURVES = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC")
_TABLES = (b"A2B0", b"A2B1")
_MAX_CURVE_BYTES, _MAX_TABLE_BYTES = 2**14, 4 * 2**20
_MAX_TAGS = 100
_SRGB = (0.4361, 0.2225, 0.0139, 0.3851, 0.7169, 0.0971, 0.1431, 0.0606, 0.7141)
"""The colorants of sRGB: X Y Z of red, green and blue under D50, rounded as in its profiles."""


def to_srgb_on_white(image: Image.Image, short_side: int | None, profile: bytes = b"") -> Image.Image:
    """A decoded picture as sRGB on white, reduced to ``short_side``."""
    if profile and image.mode == "CMYK":  # a CMYK table, which has to be applied before to_rgb
        image = to_srgb(_reduced(image, short_side).copy(), profile)
        profile = b""
    rgb = _reduced(to_rgb(image), short_side)
    if not profile:
        return rgb
    return to_srgb(rgb.copy() if rgb is image else rgb, profile)  # the caller's image is not changed


def _reduced(image: Image.Image, short_side: int | None) -> Image.Image:
    return image if short_side is None else cap_short_side(image, short_side)


def cap_short_side(image: Image.Image, short_side: int = SHORT_SIDE) -> Image.Image:
    """Scale down until the short side is at most ``short_side`` pixels, as torchvision's ``Resize`` does.

    Never scales up. A strip longer than four times its width (or four times ``short_side``, if it is thinner than that) is cropped to
    its center, so that no picture has more than 4 * short_side**2 pixels.
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


def to_rgb(image: Image.Image) -> Image.Image:
    """A decoded image of any mode as upright 8-bit RGB on white."""
    if _has_metadata(image):
        image = _upright(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    white = _white(image) if _is_deep(image) else None
    if image.width * image.height <= _PIXELS_PER_CHUNK:
        return _flat(image, white)
    whole = Image.new("RGB", image.size)
    for top, piece in _pieces(image):  # intermediate results take several times the memory of the picture
        whole.paste(_flat(piece, white), (0, top))
    return whole


def _flat(image: Image.Image, white: float | None) -> Image.Image:
    """Convert to 8-bit RGB on white; ``white``: the white level of a picture with 16 or 32 bits."""
    if _is_deep(image):
        image = Image.fromarray(to_8_bit(_as_array(image), white))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _pieces(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The picture in strips: (first row, strip)."""
    rows = max(_PIXELS_PER_CHUNK // image.width, 1)
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
        # Damaged metadata, not a damaged picture: not rotated, as in viewers.
        return image


def to_8_bit(array: np.ndarray, white: float | None = None) -> np.ndarray:
    """Scale 0..``white`` to 0..255, some rows at a time; by default the white level is derived from the type or the values."""
    import numpy as np

    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    rows = max(_PIXELS_PER_CHUNK // max(array[0].size, 1), 1)
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
    # 32-bit integers and floats have no fixed white level: the smallest of 1, 255 and 65535 that is not exceeded
    ranges = (1.0, 255.0, 65535.0) if dtype.kind == "f" else (255.0, 65535.0)
    return next((top for top in ranges if brightest <= top), brightest)


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert a picture of mode RGB or CMYK to sRGB, by the ICC profile of its file.

    Returned unchanged if the profile is sRGB's or cannot be used.
    """
    from PIL import ImageCms

    plain = _plain_profile(profile, image.mode)
    transform = _transform(plain, image.mode) if plain else None
    if transform is None:
        return image
    if image.mode == "RGB" and not image.readonly:
        ImageCms.applyTransform(image, transform, inPlace=True)
        return image
    return ImageCms.applyTransform(image, transform) or image


def _plain_profile(profile: bytes, mode: str) -> bytes | None:
    """A profile with only the tags that define its colors (ICC.1, 8.4 and 8.5); None if no conversion is needed."""
    try:
        if profile[36:40] != b"acsp" or profile[16:20] != mode.ljust(4).encode() or profile[8] not in (2, 4):
            return None
        (count,) = struct.unpack_from(">I", profile, 128)
        if count > _MAX_TAGS:
            return None
        rows = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
        tags = {kind: profile[at : at + length] for kind, at, length in rows if at + length <= len(profile)}
        if mode == "CMYK":
            table = next(kind for kind in _TABLES if kind in tags)
            kept = {b"A2B0": tags[table]} if len(tags[table]) <= _MAX_TABLE_BYTES else {}
        else:
            kept = {kind: tags[kind] for kind in _COLORANTS + _CURVES}
            colorants = [value / 65536 for kind in _COLORANTS for value in struct.unpack_from(">iii", tags[kind], 8)]
            near = all(abs(own - known) < 0.003 for own, known in zip(colorants, _SRGB, strict=True))
            if near and tags[b"rTRC"][:12] != b"curv" + bytes(8):  # a curve without points is the identity
                return None
            if profile[20:24] != b"XYZ " or max(len(tags[kind]) for kind in _CURVES) > _MAX_CURVE_BYTES:
                return None
    except (struct.error, IndexError, KeyError, StopIteration):
        return None
    table, body, at = b"", b"", 132 + 12 * len(kept)
    for kind, content in kept.items():
        table += struct.pack(">4sII", kind, at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I", at + len(body)) + profile[4:84] + bytes(44)  # without creator and digest
    return head + struct.pack(">I", len(kept)) + table + body


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from such a profile to sRGB; None if it cannot be used."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
