"""The studio view: cut the fruit from a plain ground and set it on white, where the network learned most.

The ground's colours are read along the border, or known exactly from a shot of the empty table. What differs from them
and lies about the middle is kept. On a sheet of white paper this also takes the light's colour away.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from fruitvision.data.augment.sprites import flood_fill

SIDE = 128
COLOURS = 4
AREA = (0.015, 0.8)
"""Of the middle square: a fruit covers no less and no more."""
LEAST_DIFFERENCE = 22.0
BORDER = 0.06
MARGIN = 1.12


def studio_view(pixels: np.ndarray, empty: np.ndarray | None = None) -> np.ndarray | None:
    """The fruit of a picture on white: (S, S, 3) uint8; None where the ground is not plain enough to tell.

    ``pixels`` and ``empty`` are (H, W, 3) uint8; ``empty`` shows the same table without the fruit, from the same place.
    Only the middle square is looked at.
    """
    picture = _middle(pixels)
    if empty is not None:
        difference, plain = _change(picture, _middle(empty))
    else:
        difference, plain = _difference(picture)
    if difference is None:
        return None
    fruit = _about_the_middle(difference > max(LEAST_DIFFERENCE, plain))
    share = fruit.mean()
    if not AREA[0] <= share <= AREA[1] or _frame(fruit).mean() > 0.25:
        return None
    return _on_white(picture, fruit, _paper(picture, fruit))


def _middle(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BOX if side >= SIDE else Image.Resampling.BILINEAR))


def _frame(values: np.ndarray) -> np.ndarray:
    """The values along the border, (N, …)."""
    width = max(round(BORDER * len(values)), 1)
    inner = np.ones(values.shape[:2], bool)
    inner[width:-width, width:-width] = False
    return values[inner]


def _difference(picture: np.ndarray) -> tuple[np.ndarray | None, float]:
    """(H, W) distance from the nearest colour of the border, and how far the border itself strays from them.

    None where the border has too many colours for a plain ground.
    """
    colours = _opponent(picture)
    border = _frame(colours)
    centres = _cluster(border, COLOURS)
    stray = float(np.quantile(_distance(border, centres), 0.95))
    return (_distance(colours, centres), 2.2 * stray) if stray < 26 else (None, 0.0)


def _change(picture: np.ndarray, empty: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W) distance from the empty table, once its exposure was matched, and how far the border changed."""
    gain = _frame(picture).mean(axis=0) / np.maximum(_frame(empty).mean(axis=0), 1)
    there = np.clip(empty * np.clip(gain, 0.5, 2), 0, 255)
    difference = np.sqrt(((_opponent(picture) - _opponent(there)) ** 2).sum(axis=2))
    return difference, 1.6 * float(np.quantile(_frame(difference), 0.9))


def _opponent(picture: np.ndarray) -> np.ndarray:
    """Brightness, counting less since shadows change it, and two differences of colour."""
    red, green, blue = np.moveaxis(picture.astype(np.float32), 2, 0)
    return np.stack([0.6 * (red + green + blue) / 3, 1.2 * (red - green), 1.2 * (blue - (red + green) / 2)], axis=2)


def _distance(colours: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.sqrt(((colours[..., None, :] - centres) ** 2).sum(axis=-1)).min(axis=-1)


def _cluster(points: np.ndarray, count: int, rounds: int = 8) -> np.ndarray:
    """The means of ``count`` groups of points (Lloyd 1957), begun at even quantiles of brightness."""
    ordered = points[np.argsort(points[:, 0], kind="stable")]
    centres = ordered[((np.arange(count) + 0.5) / count * len(ordered)).astype(int)]
    for _ in range(rounds):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack([points[nearest == n].mean(axis=0) if (nearest == n).any() else centres[n] for n in range(count)])
    return centres


def _about_the_middle(different: np.ndarray) -> np.ndarray:
    """What is connected with the middle of the picture, its holes filled."""
    place = np.abs(np.arange(SIDE) + 0.5 - SIDE / 2) < 0.22 * SIDE
    seeds = np.zeros_like(different)
    seeds[np.ix_(place, place)] = True
    # A thin bridge joins a fruit to its shadow or a stripe of the cloth: what survives an erosion counts as connected.
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


def _paper(picture: np.ndarray, fruit: np.ndarray) -> np.ndarray:
    """The gains that make the ground white, where it is bright and pale enough to be white; ones elsewhere."""
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
