"""What a fruit may lie on: parts of any pictures, or generated plain, shaded, wood-like and cloth-like grounds."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fruitvision.data.synthetic.ground import GROUNDS

GENERATED_SHARE = 0.35
"""Of the grounds, where there are pictures too: tables are plainer than most photographs."""
KINDS = ("plain", "paper", *GROUNDS)
SHARES = (0.25, 0.25, 0.09, 0.16, 0.14, 0.11)


class Grounds:
    """Draws grounds: (size, size, 3) uint8 arrays.

    ``pictures`` is any indexable collection of (H, W, 3) uint8 arrays that hold no fruit, such as an image store's
    rows; empty, every ground is generated.
    """

    def __init__(self, pictures: Sequence[np.ndarray] = ()) -> None:
        self.pictures = pictures

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """One ground, as ``rng`` has it."""
        if len(self.pictures) and rng.random() >= GENERATED_SHARE:
            return part_of(self.pictures[int(rng.integers(len(self.pictures)))], rng, size)
        return generated_ground(rng, size)


def part_of(picture: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """A random part of a picture, turned by quarters and mirrored at random: (size, size, 3) uint8."""
    height, width = picture.shape[:2]
    across, down = (max(round(n * rng.uniform(0.35, 1.0)), 1) for n in (width, height))
    left, top = (int(rng.integers(n + 1)) for n in (width - across, height - down))
    part = Image.fromarray(picture[top : top + down, left : left + across]).resize((size, size), Image.Resampling.BILINEAR)
    turned = np.rot90(np.asarray(part), int(rng.integers(4)))
    return turned[:, ::-1] if rng.random() < 0.5 else turned


def generated_ground(rng: np.random.Generator, size: int) -> np.ndarray:
    """A plain, paper-like, wood-like, cloth-like or stone-like ground: (size, size, 3) uint8."""
    kind = str(rng.choice(KINDS, p=SHARES))
    if kind == "plain":
        ground = _sheet(rng, size, saturation=rng.beta(1.2, 3), value=rng.uniform(0.15, 1))
    elif kind == "paper":
        ground = _sheet(rng, size, saturation=rng.uniform(0, 0.06), value=rng.uniform(0.8, 1.05))
    else:
        ground = GROUNDS[kind](rng, (size, size), size * rng.uniform(0.2, 1.0)).transpose(1, 2, 0)
    return np.clip(ground * _falling_light(rng, size)[:, :, None] * 255, 0, 255).astype(np.uint8)


def _sheet(rng: np.random.Generator, size: int, *, saturation: float, value: float) -> np.ndarray:
    return np.broadcast_to(np.array(colorsys.hsv_to_rgb(rng.random(), saturation, value)), (size, size, 3))


def _falling_light(rng: np.random.Generator, size: int) -> np.ndarray:
    """Light that falls off to one side: (size, size), about 1."""
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5) ** 1.5
    places = (np.arange(size) + 0.5) / size - 0.5
    return 1 + 2 * fall * (np.cos(angle) * places[None, :] + np.sin(angle) * places[:, None])
