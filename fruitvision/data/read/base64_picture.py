"""A picture file that another program sends as base64."""

from __future__ import annotations

import base64
import binascii

from fruitvision.errors import PictureError


def decode_picture(encoded: str, limit: int) -> bytes:
    """The bytes of a picture file in base64, at most ``limit``; the picture itself is not decoded.

    Raises PictureError "picture-too-large", "picture-damaged".
    """
    if len(encoded) > limit * 4 // 3 + 4:
        size = f"{len(encoded) * 3 // 4 / 2**20:.0f} MB"
        raise PictureError("picture-too-large", picture="", size=size, limit=f"{limit / 2**20:.0f} MB")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError("picture-damaged", picture="") from error
