"""Composed scenes of sprites with shadows on a background, and their rendering.

A batch is rendered layer by layer, each with one resampling for all scenes that have that layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class PlacedSprite:
    """A sprite in a scene. Lengths are in half frames: the frame spans -1..1 in both directions."""

    sprite: Tensor
    """(4, side, side), see :mod:`fruitvision.data.augment.sprites`."""
    x: float
    y: float
    half: float
    """Half the sprite's side; 1 fills the frame."""
    aspect: float
    angle: float
    """Radians."""
    mirrored: bool
    gain: float
    shadow: float
    """The darkness of the shadow, from 0 (none) to 1 (black)."""
    shadow_offset: tuple[float, float]
    """The offset from the sprite, in half sides of it."""
    is_fruit: bool


@dataclass
class Scene:
    """The contents of one picture, from back to front."""

    background: np.ndarray
    """(S, S, 3) uint8"""
    placed: list[PlacedSprite] = field(default_factory=list)
    hand: Tensor | None = None
    """(4, S, S), a sprite of the whole frame."""


def render(scenes: Sequence[Scene], size: int) -> tuple[Tensor, Tensor]:
    """The pictures (B, 3, size, size) in 0..255, and the masks of their fruit (B, size, size) in 0..1."""
    backgrounds = np.stack([scene.background for scene in scenes])
    images = torch.from_numpy(backgrounds).permute(0, 3, 1, 2).float().contiguous()
    fruit = torch.zeros(len(scenes), size, size)
    for depth in range(max((len(scene.placed) for scene in scenes), default=0)):
        rows = [i for i, scene in enumerate(scenes) if len(scene.placed) > depth]
        layer = [scenes[i].placed[depth] for i in rows]
        shade, drawn = _shadows(layer, size), _sprites(layer, size)
        colors, mask = drawn[:, :3], drawn[:, 3:]
        seen = 1 - mask
        images[rows] = torch.addcmul(colors, images[rows], (1 - shade).mul_(seen))
        is_fruit = torch.tensor([float(placed.is_fruit) for placed in layer])[:, None, None]
        fruit[rows] = fruit[rows].mul_(seen[:, 0]).addcmul_(mask[:, 0], is_fruit)
    for i, scene in enumerate(scenes):
        if scene.hand is not None:
            images[i] = images[i] * (1 - scene.hand[3]) + scene.hand[:3]
            fruit[i] *= 1 - scene.hand[3]
    return images.clamp_(0, 255), fruit


def _sprites(layer: Sequence[PlacedSprite], size: int) -> Tensor:
    """(n, 4, size, size): each sprite at its position, its colors multiplied by its gain."""
    drawn = torch.zeros(len(layer), 4, size, size)
    by_level: dict[int, list[int]] = {}
    for n, placed in enumerate(layer):  # averaged first if it gets much smaller, since bilinear sampling would alias
        by_level.setdefault(min(max(int(placed.sprite.shape[-1] / (placed.half * size)), 1), 8), []).append(n)
    for level, rows in by_level.items():
        stack = torch.stack([layer[n].sprite for n in rows])
        if level > 1:
            stack = F.avg_pool2d(stack, level, ceil_mode=True)
        drawn[rows] = _sample(stack, [layer[n] for n in rows], size)
    colors = drawn[:, :3]
    colors *= torch.tensor([placed.gain for placed in layer])[:, None, None, None]
    torch.minimum(colors, 255 * drawn[:, 3:], out=colors)
    return drawn


def _shadows(layer: Sequence[PlacedSprite], size: int) -> Tensor:
    """(n, 1, size, size), from 0 (lit) to 1 (black): each sprite's mask, shifted and blurred, computed at a quarter of the resolution."""
    masks = torch.stack([placed.sprite[3:] for placed in layer])
    soft = F.avg_pool2d(F.pad(F.avg_pool2d(masks, 4), (3, 3, 3, 3)), 5, stride=1, padding=2)
    coarse = _sample(soft, layer, max(size // 4, 8), shadow=True, side=masks.shape[-1] / 4)
    dark = torch.tensor([placed.shadow for placed in layer])[:, None, None, None]
    return F.interpolate(coarse * dark, size=(size, size), mode="bilinear")


def _sample(stack: Tensor, layer: Sequence[PlacedSprite], size: int, *, shadow: bool = False, side: float | None = None) -> Tensor:
    """Resample sprites (n, C, h, w) to their positions in frames of ``size``; ``side``: the sprite's size without its margin."""
    margin = 1.0 if side is None else stack.shape[-1] / side
    maps = []
    for placed in layer:
        x, y = placed.x, placed.y
        if shadow:
            x, y = x + placed.shadow_offset[0] * placed.half, y + placed.shadow_offset[1] * placed.half
        cos, sin = math.cos(placed.angle), math.sin(placed.angle)
        half_x, half_y = placed.half * margin * placed.aspect, placed.half * margin / placed.aspect
        across = (cos / half_x, sin / half_x, -(cos * x + sin * y) / half_x)
        down = (-sin / half_y, cos / half_y, (sin * x - cos * y) / half_y)
        maps.append((tuple(-v for v in across) if placed.mirrored else across, down))
    grid = F.affine_grid(torch.tensor(maps), [len(layer), stack.shape[1], size, size], align_corners=False)
    return F.grid_sample(stack, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
