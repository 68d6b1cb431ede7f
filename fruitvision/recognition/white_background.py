"""Cut the fruit from a plain background and set it on white, as in most training pictures (lab frames).

The background's colours are those along the border, or known from a picture of the same place without fruit. What differs from
them and is connected to the center is kept. On a sheet of white paper this also balances the colour of the light.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from fruitvision.data.augment.sprites import flood_fill

SIDE = 128
COLOURS = 4
AREA = (0.015, 0.8)
"""The smallest and largest fraction of the center square that a fruit may cover."""
MIN_DIFFERENCE = 22.0
BORDER = 0.06
MARGIN = 1.12


def on_white_background(pixels: np.ndarray, background: np.ndarray | None = None) -> np.ndarray | None:
    """The fruit of a picture on white: (S, S, 3) uint8; None if it cannot be segmented.

    ``pixels`` and ``background`` are (H, W, 3) uint8; ``background`` is the same view without the fruit. Only the center square
    of both is used.
    """
    picture = _center(pixels)
    if background is not None:
        difference, plain = _change(picture, _center(background))
    else:
        difference, plain = _difference(picture)
    if difference is None:
        return None
    fruit = _central_object(difference > max(MIN_DIFFERENCE, plain))
    share = fruit.mean()
    if not AREA[0] <= share <= AREA[1] or _border(fruit).mean() > 0.25:
        return None
    return _on_white(picture, fruit, _white_balance(picture, fruit))


def _center(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BOX if side >= SIDE else Image.Resampling.BILINEAR))


def _border(values: np.ndarray) -> np.ndarray:
    """The values along the border, (N, …)."""
    width = max(round(BORDER * len(values)), 1)
    inner = np.ones(values.shape[:2], bool)
    inner[width:-width, width:-width] = False
    return values[inner]


def _difference(picture: np.ndarray) -> tuple[np.ndarray | None, float]:
    """(H, W) distances from the nearest main colour of the border, and a threshold derived from the spread within the border.

    None if the border has too many colours for a plain background.
    """
    colours = _opponent(picture)
    border = _border(colours)
    centres = _cluster(border, COLOURS)
    stray = float(np.quantile(_distance(border, centres), 0.95))
    return (_distance(colours, centres), 2.2 * stray) if stray < 26 else (None, 0.0)


def _change(picture: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W) distances from the background at matched exposure, and a threshold derived from the change along the border."""
    gain = _border(picture).mean(axis=0) / np.maximum(_border(background).mean(axis=0), 1)
    matched = np.clip(background * np.clip(gain, 0.5, 2), 0, 255)
    difference = np.sqrt(((_opponent(picture) - _opponent(matched)) ** 2).sum(axis=2))
    return difference, 1.6 * float(np.quantile(_border(difference), 0.9))


def _opponent(picture: np.ndarray) -> np.ndarray:
    """Opponent colours: brightness, with less weight because of shadows, and two colour differences."""
    red, green, blue = np.moveaxis(picture.astype(np.float32), 2, 0)
    return np.stack([0.6 * (red + green + blue) / 3, 1.2 * (red - green), 1.2 * (blue - (red + green) / 2)], axis=2)


def _distance(colours: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.sqrt(((colours[..., None, :] - centres) ** 2).sum(axis=-1)).min(axis=-1)


def _cluster(points: np.ndarray, count: int, rounds: int = 8) -> np.ndarray:
    """k-means (Lloyd 1957) with ``count`` centres, initialized at even quantiles of brightness."""
    ordered = points[np.argsort(points[:, 0], kind="stable")]
    centres = ordered[((np.arange(count) + 0.5) / count * len(ordered)).astype(int)]
    for _ in range(rounds):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack([points[nearest == n].mean(axis=0) if (nearest == n).any() else centres[n] for n in range(count)])
    return centres


def _central_object(different: np.ndarray) -> np.ndarray:
    """The region that is connected to the center of the picture, with holes filled."""
    place = np.abs(np.arange(SIDE) + 0.5 - SIDE / 2) < 0.22 * SIDE
    seeds = np.zeros_like(different)
    seeds[np.ix_(place, place)] = True
    # Thin bridges connect a fruit to its shadow or a stripe of the cloth: an erosion removes them.
    core = _eroded(different, 2)
    kept = _dilated(flood_fill((seeds & core)[None], core[None])[0], 3) & different
    outside = np.zeros_like(kept)
    outside[[0, -1]] = outside[:, [0, -1]] = True
    return ~flood_fill((outside & ~kept)[None], ~kept[None])[0]


def _eroded(mask: np.ndarray, by: int) -> np.ndarray:
    return ~_dilated(~mask, by)


def _dilated(mask: np.ndarray, by: int) -> np.ndarray:
    for _ in range(by):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def _white_balance(picture: np.ndarray, fruit: np.ndarray) -> np.ndarray:
    """(3,) gains that make the background white, if it is bright and pale enough; else ones."""
    ground = np.median(picture[~fruit], axis=0)
    pale = ground.max() - ground.min() < 0.3 * max(ground.max(), 1)
    return np.clip(245 / np.maximum(ground, 1), 1, 1.8) if pale and ground.max() > 115 else np.ones(3)


def _on_white(picture: np.ndarray, fruit: np.ndarray, gains: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(fruit.any(axis=1)), np.flatnonzero(fruit.any(axis=0))
    side = min(round(MARGIN * (max(np.ptp(rows), np.ptp(columns)) + 1)), 2 * SIDE)
    top, left = (round((axis[0] + axis[-1] + 1 - side) / 2) for axis in (rows, columns))
    soft = np.asarray(Image.fromarray((fruit * 255).astype(np.uint8)).resize((SIDE, SIDE)), np.float32)[..., None] / 255
    shown = np.clip(picture * gains, 0, 255) * soft + 255 * (1 - soft)
    canvas = np.full((3 * SIDE, 3 * SIDE, 3), 255, np.uint8)
    canvas[SIDE : 2 * SIDE, SIDE : 2 * SIDE] = shown.astype(np.uint8)
    return canvas[SIDE + top : SIDE + top + side, SIDE + left : SIDE + left + side]
