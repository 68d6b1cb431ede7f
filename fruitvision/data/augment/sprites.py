"""Sprites for composed scenes: fruit segmented from its white background, random cutouts of pictures, and hands.

A sprite is a float32 tensor (4, side, side): premultiplied red, green and blue in 0..255, and the mask in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fruitvision.data.augment.backgrounds import random_part
from fruitvision.data.augment.transforms import WHITE, has_white_background, to_batch

FRUIT_SHARES = (0.04, 0.995)
"""The bounds on the fraction of the picture that a valid mask covers."""
SPRITE_SIDE = 100


def white_background(pictures: np.ndarray) -> np.ndarray:
    """The white background of N pictures: near-white pixels connected to the border.

    (N, H, W, 3) uint8 → (N, H, W) bool. Highlights inside a fruit are not connected to the border, and count as fruit.
    """
    white = near_white(pictures)
    border = np.zeros_like(white)
    border[:, [0, -1], :] = border[:, :, [0, -1]] = True
    return flood_fill(white & border, white)


def near_white(pictures: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 → (...) bool: whether all three channels are near white."""
    red, green, blue = (pictures[..., channel] >= WHITE for channel in range(3))
    return np.asarray(red & green & blue)


def flood_fill(seeds: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The pixels reachable from ``seeds`` in 4-connected steps through ``free`` pixels; all are (N, H, W) bool.

    The same pixel of eight pictures is one byte, so that a step from one line to the next is taken for all pictures at once.
    """

    rows, free_rows = (np.ascontiguousarray(np.moveaxis(np.packbits(one, axis=0), 0, 2)) for one in (seeds & free, free))  # (H, W, bytes)
    free_columns = np.ascontiguousarray(free_rows.swapaxes(0, 1))
    while True:
        before = rows.copy()
        _sweep(rows, free_rows)
        columns = np.ascontiguousarray(rows.swapaxes(0, 1))
        _sweep(columns, free_columns)
        rows = np.ascontiguousarray(columns.swapaxes(0, 1))
        if np.array_equal(rows, before):
            return np.unpackbits(np.moveaxis(rows, 2, 0), axis=0, count=len(seeds)).view(bool)


def _sweep(lines: np.ndarray, free: np.ndarray) -> None:
    """Extend what is reached from each line to the next, down and up, in place; both are (lines, pixels, bytes)."""
    for order in (range(1, len(lines)), range(len(lines) - 2, -1, -1)):
        for i in order:
            lines[i] |= lines[i - order.step] & free[i]


def soft_mask(background: np.ndarray) -> Tensor:
    """The background (N, H, W) bool → a mask of the fruit (N, 1, H, W) float, 0..1.

    The fruit is eroded by one pixel, so that composites have no white rim, and its edge is blurred with a standard deviation of about
    0.7 pixels.
    """
    outside = F.pad(torch.from_numpy(background), (1, 1, 1, 1))
    mask = (~_dilated(_dilated(outside, 1), 2)).float()
    for axis in (1, 2):
        last, sharp = mask.shape[axis] - 1, mask
        mask = 0.58 * sharp
        for to, source, count in ((1, 0, last), (0, 1, last), (0, 0, 1), (last, last, 1)):  # both neighbours; the edge repeats itself
            mask.narrow(axis, to, count).add_(sharp.narrow(axis, source, count), alpha=0.21)
    return mask[:, None]


def _dilated(values: Tensor, axis: int) -> Tensor:
    """Whether a value or one of its two neighbours along ``axis`` is true; the axis gets shorter by two."""
    inner = values.shape[axis] - 2
    return values.narrow(axis, 0, inner) | values.narrow(axis, 1, inner) | values.narrow(axis, 2, inner)


def cut_out(pictures: Sequence[np.ndarray], side: int = SPRITE_SIDE) -> tuple[Tensor, np.ndarray]:
    """Cut the fruit out of each picture.

    Returns:
        (N, 4, side, side) sprites of the pictures, padded with white to squares; and (N,) bool: whether a fruit could be segmented.
        Where not, the mask is all 1.
    """
    squares = np.stack([_square(picture, side) for picture in pictures])
    background = white_background(squares)
    on_white = has_white_background(to_batch(squares)).numpy()
    fruit = 1 - background.mean(axis=(1, 2))
    cut = on_white & (fruit >= FRUIT_SHARES[0]) & (fruit <= FRUIT_SHARES[1])
    sprites = torch.empty(len(squares), 4, side, side)
    sprites[:, 3:] = soft_mask(background & cut[:, None, None])
    sprites[:, :3] = to_batch(squares)
    sprites[:, :3] *= sprites[:, 3:]
    return sprites, cut


def _square(picture: np.ndarray, side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    if height != width:
        longer = max(height, width)
        framed = np.full((longer, longer, 3), 255, np.uint8)
        top, left = (longer - height) // 2, (longer - width) // 2
        framed[top : top + height, left : left + width] = picture
        picture = framed
    if picture.shape[0] == side:
        return np.asarray(picture)
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]  # a copy: the store is read-only
    return F.interpolate(image, size=(side, side), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()


def random_cutout(picture: np.ndarray, rng: np.random.Generator) -> Tensor:
    """A random round or irregular piece of a picture, as a sprite."""
    side = SPRITE_SIDE
    colors = torch.from_numpy(random_part(picture, rng, side).transpose(2, 0, 1).copy()).float()
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angles = np.arctan2(y, x)
    reach = 0.7 + sum(rng.normal(0, 0.25 / k) * np.cos(k * angles + rng.uniform(0, 6.3)) for k in range(1, 6))
    distance = np.hypot(y, x) / (side / 2)
    mask = torch.from_numpy(np.clip((np.clip(reach, 0.25, 0.98) - distance) * side / 4, 0, 1).astype(np.float32))
    return torch.cat([colors * mask, mask[None]])


def hand(rng: np.random.Generator, size: int) -> Tensor:
    """One to four fingers that reach in from an edge: a sprite (4, size, size) of the size of the frame."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / (size / 2) - 1
    angle = rng.uniform(0, 2 * np.pi)
    root = 1.5 * np.array([np.cos(angle), np.sin(angle)])
    tip = rng.uniform(-0.5, 0.5, 2)
    width = rng.uniform(0.07, 0.16)
    across = np.array([-np.sin(angle), np.cos(angle)])
    mask, light = np.zeros((size, size), np.float32), np.ones((size, size), np.float32)
    for finger in range(int(rng.integers(1, 5))):
        start = root + across * finger * width * 2.1
        end = tip + across * finger * width * rng.uniform(1.5, 2.5) + rng.normal(0, 0.08, 2)
        along = end - start
        share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along), 0, 1)
        distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1]) / width
        inside = np.clip((1 - distance) * width * size / 3, 0, 1)
        light = np.where(inside > mask, 1.1 - 0.5 * np.minimum(distance, 1) ** 2, light)
        mask = np.maximum(mask, inside)
    skin = np.array([1.0, rng.uniform(0.68, 0.82), rng.uniform(0.5, 0.72)], np.float32) * rng.uniform(70, 250)
    colors = skin[:, None, None] * light * mask
    return torch.from_numpy(np.concatenate([colors, mask[None]]).astype(np.float32))
