"""Backgrounds for composed scenes: crops of pictures, or generated plain, shaded, wood-like and cloth-like ones."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fruitvision.data.synthetic.backgrounds import BACKGROUNDS

GENERATED_SHARE = 0.35
"""The fraction of generated backgrounds if there are pictures: tables are plainer than most photos."""
KINDS = ("plain", "paper", *BACKGROUNDS)
SHARES = (0.25, 0.25, 0.09, 0.16, 0.14, 0.11)


class Backgrounds:
    """Draws backgrounds: (size, size, 3) uint8 arrays.

    ``pictures``: an indexable collection of (H, W, 3) uint8 arrays without fruit, such as rows of an image store; if it is empty,
    every background is generated.
    """

    def __init__(self, pictures: Sequence[np.ndarray] = ()) -> None:
        self.pictures = pictures

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw one background."""
        if len(self.pictures) and rng.random() >= GENERATED_SHARE:
            return random_part(self.pictures[int(rng.integers(len(self.pictures)))], rng, size)
        return generated_background(rng, size)


def random_part(picture: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """A random crop of a picture, rotated by quarter turns and mirrored at random: (size, size, 3) uint8."""
    height, width = picture.shape[:2]
    across, down = (max(round(n * rng.uniform(0.35, 1.0)), 1) for n in (width, height))
    left, top = (int(rng.integers(n + 1)) for n in (width - across, height - down))
    part = Image.fromarray(picture[top : top + down, left : left + across]).resize((size, size), Image.Resampling.BILINEAR)
    rotated = np.rot90(np.asarray(part), int(rng.integers(4)))
    return rotated[:, ::-1] if rng.random() < 0.5 else rotated


def generated_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A plain, paper-like, wood-like, cloth-like or stone-like background: (size, size, 3) uint8."""
    kind = str(rng.choice(KINDS, p=SHARES))
    if kind == "plain":
        background = _plain(rng, size, saturation=rng.beta(1.2, 3), value=rng.uniform(0.15, 1))
    elif kind == "paper":
        background = _plain(rng, size, saturation=rng.uniform(0, 0.06), value=rng.uniform(0.8, 1.05))
    else:
        background = BACKGROUNDS[kind](rng, (size, size), size * rng.uniform(0.2, 1.0)).transpose(1, 2, 0)
    return np.clip(background * _light_gradient(rng, size)[:, :, None] * 255, 0, 255).astype(np.uint8)


def _plain(rng: np.random.Generator, size: int, *, saturation: float, value: float) -> np.ndarray:
    return np.broadcast_to(np.array(colorsys.hsv_to_rgb(rng.random(), saturation, value)), (size, size, 3))


def _light_gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    """Illumination that falls off to one side: (size, size), about 1."""
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5) ** 1.5
    positions = (np.arange(size) + 0.5) / size - 0.5
    return 1 + 2 * fall * (np.cos(angle) * positions[None, :] + np.sin(angle) * positions[:, None])
