"""The page's icons: a drawn pear in a guide box."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

GROUND, BOX, FRUIT, LEAF = (16, 20, 16), (255, 255, 255), (232, 197, 71), (108, 176, 84)
SIZES = {"icons/192.png": (192, 1.0), "icons/512.png": (512, 1.0), "icons/apple.png": (180, 1.0), "icons/maskable.png": (512, 0.72)}
"""Side in pixels, and the share of it that the drawing fills: systems crop a "maskable" icon to a circle or a rounded square."""
_SUPERSAMPLING = 4


def icons() -> dict[str, bytes]:
    """PNG files by path."""
    return {path: _png(side, share) for path, (side, share) in SIZES.items()}


def _png(side: int, share: float) -> bytes:
    size = side * _SUPERSAMPLING
    image = Image.new("RGB", (size, size), GROUND)
    draw = ImageDraw.Draw(image)

    def place(*shares: float) -> tuple[float, ...]:
        return tuple(size * (0.5 + (value - 0.5) * share) for value in shares)

    line = int(size * 0.035 * share)
    for x, y, right, down in ((0.14, 0.14, 1, 1), (0.86, 0.14, -1, 1), (0.14, 0.86, 1, -1), (0.86, 0.86, -1, -1)):
        (left, top), (end, bottom) = place(x, y), place(x + 0.18 * right, y + 0.18 * down)
        draw.line([(end, top), (left, top), (left, bottom)], fill=BOX, width=line, joint="curve")
    draw.ellipse(place(0.27, 0.40, 0.73, 0.82), fill=FRUIT)
    draw.ellipse(place(0.36, 0.24, 0.64, 0.60), fill=FRUIT)
    draw.line([place(0.5, 0.27), place(0.53, 0.17)], fill=LEAF, width=line)
    draw.ellipse(place(0.53, 0.15, 0.70, 0.24), fill=LEAF)
    buffer = io.BytesIO()
    image.resize((side, side), Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
