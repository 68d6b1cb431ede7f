"""The backgrounds of synthetic pictures, except white.

Each function takes a random generator, (height, width) in pixels and ``unit``, the radius of the fruit in pixels, which sets the
scale of the texture; it returns sRGB in 0..1, (3, height, width).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fruitvision.data.synthetic.painting import Colour, colour, gaussian, mix, smooth_noise, smoothstep


def tinted(rng: np.random.Generator, shape: tuple[int, int], unit: float) -> Colour:
    """A wall or a sheet of paper in one soft colour."""
    hue, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0.03, 0.17)
    near = rng.uniform(0.35, 0.9) + strength * np.cos(hue + np.array([0, 2.1, 4.2], dtype=np.float32).reshape(3, 1, 1))
    down = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    shade = 1 - rng.uniform(0.05, 0.28) * down + 0.02 * smooth_noise(rng, shape, 3 / unit)
    return np.clip(near * shade, 0, 1)


def wood(rng: np.random.Generator, shape: tuple[int, int], unit: float) -> Colour:
    """A board: grain along one side, rings, and joints between planks."""
    upright = rng.random() < 0.3
    height, width = shape[::-1] if upright else shape
    grain = smooth_noise(rng, (height, width), (26 / unit, 1.0 / unit))
    wave = smooth_noise(rng, (height, width), (2.0 / unit, 0.6 / unit))
    y = np.arange(height, dtype=np.float32)[:, None] / unit + 0.25 * wave
    ring = 0.5 + 0.5 * np.sin(y * rng.uniform(14, 26))
    shade = 0.5 + 0.28 * grain + 0.25 * (ring - 0.5)
    plank = y - 0.25 * wave + rng.uniform(0, 1)
    size = rng.uniform(0.7, 1.3)
    tone = rng.uniform(-0.12, 0.12, 64).astype(np.float32)[(plank / size).astype(int) % 64]
    joint = gaussian((plank / size) % 1, 0.014)
    light, dark = map(colour, BOARDS[rng.integers(len(BOARDS))])
    board = mix(light, dark, np.clip(shade, 0, 1)) * (1 + tone) * (1 - 0.6 * joint)
    return np.clip(board.transpose(0, 2, 1) if upright else board, 0, 1)


def cloth(rng: np.random.Generator, shape: tuple[int, int], unit: float) -> Colour:
    """Linen in one colour, striped, or chequered like a picnic blanket; with soft folds."""
    y, x = (g.astype(np.float32) / unit for g in np.ogrid[: shape[0], : shape[1]])
    turn = rng.uniform(-0.6, 0.6)
    x, y = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    fold = smooth_noise(rng, shape, 1.1 / unit)
    x, y = x + 0.05 * fold, y + 0.04 * fold
    dye = colour(CLOTHS[rng.integers(len(CLOTHS))])
    pale = colour("#f0ede6")
    wide, style = rng.uniform(4, 9), rng.integers(3)
    bars, rows = smoothstep(-0.15, 0.15, np.sin(x * wide)), smoothstep(-0.15, 0.15, np.sin(y * wide))
    share = (0.75 + 0 * bars, 0.15 + 0.7 * bars, 0.08 + 0.42 * (bars + rows))[style]
    threads = min(75, 1.3 * unit)  # limited by the resolution
    weave = np.sin(x * threads) * np.sin(y * threads)
    return np.clip(mix(pale, dye, share) * (1 + 0.05 * weave + 0.09 * fold), 0, 1)


def stone(rng: np.random.Generator, shape: tuple[int, int], unit: float) -> Colour:
    """A worktop: clouded, speckled, with a vein or two."""
    cloud = smooth_noise(rng, shape, 1.5 / unit) + 0.5 * smooth_noise(rng, shape, 5 / unit)
    speck = smooth_noise(rng, shape, 28 / unit)
    vein = gaussian(smooth_noise(rng, shape, 0.9 / unit) + 0.25 * cloud, 0.05)
    vein *= smoothstep(0.0, 0.8, smooth_noise(rng, shape, 0.7 / unit))
    base = np.float32(rng.uniform(0.3, 0.85)) + rng.uniform(-0.04, 0.04, (3, 1, 1)).astype(np.float32)
    return np.clip(base * (1 + 0.07 * cloud + 0.05 * speck - 0.18 * vein), 0, 1)


BOARDS = (
    ("#dbb280", "#a87847"),  # beech
    ("#a87347", "#6b4226"),  # oak
    ("#734a30", "#3d2417"),  # walnut
    ("#ccc7bd", "#9e968c"),  # weathered
)
CLOTHS = ("#c73838", "#335c9e", "#4c805c", "#d9a84c", "#8c8094", "#b89e80")
Paint = Callable[[np.random.Generator, tuple[int, int], float], Colour]
BACKGROUNDS: dict[str, Paint] = {"tinted": tinted, "wood": wood, "cloth": cloth, "stone": stone}
