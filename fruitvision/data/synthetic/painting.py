"""A small renderer in NumPy for a few shaded bodies on a background.

A body is a field ``rho`` over the plane, 1 at its outline and 0 on its ridge, with the height ``depth * sqrt(1 - rho**2)``, from
which the normals and the shading follow. The unit of length is the size of a fruit, which lies within about 1 of its center. Colours
are given in sRGB and shaded in (nearly) linear light.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageColor, ImageFilter

Field = np.ndarray  # (h, w) float32
Colour = np.ndarray  # (3, 1, 1) or (3, h, w) float32, sRGB in 0..1
Point = Sequence[float] | np.ndarray


def colour(name: str) -> Colour:
    """A colour (3, 1, 1) in CSS notation: "#e6a840"."""
    return np.asarray(ImageColor.getrgb(name), dtype=np.float32).reshape(3, 1, 1) / 255


def mix(a: Colour, b: Colour, share: Field) -> Colour:
    """Interpolate from colour a to colour b by a field in 0..1: (3, h, w)."""
    return a + (b - a) * share


def smoothstep(low: float | Field, high: float | Field, x: Field) -> Field:
    """0 below ``low``, 1 above ``high``, smooth in between; decreasing if low > high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def gaussian(x: Field, width: float) -> Field:
    return np.exp(-np.square(x / width))


def hypot(*sides: Field) -> Field:
    return np.sqrt(sum(side * side for side in sides))  # several times faster than np.hypot


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], per_pixel: float | tuple[float, float]) -> Field:
    """Smooth noise in about -1..1 with ``per_pixel`` periods per pixel (vertical, horizontal).

    It draws one number from ``rng`` whatever the shape, so that all later draws are the same for every picture size.
    """
    cells = np.maximum(2, np.rint(np.multiply(shape, per_pixel)).astype(int) + 2)
    own = np.random.Generator(np.random.SFC64(int(rng.integers(2**32))))
    coarse = Image.fromarray(own.random(cells, dtype=np.float32) * 2 - 1)
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Patch:
    """A rectangle of the picture in which a body is painted, and its pixels in the body's coordinates."""

    rows: slice
    columns: slice
    x: Field
    y: Field


class Scene:
    """One fruit without its background: ``paint`` (3, h, w) is its linear colour, premultiplied by ``cover`` (h, w).

    Args:
        width, height: of the picture, in pixels.
        place: (x, y, reach, turn): the center relative to width and height, the radius relative to the shorter side, and the
        clockwise rotation in radians.
    """

    def __init__(self, width: int, height: int, rng: np.random.Generator, place: Sequence[float]) -> None:
        x, y, reach, turn = place
        self.rng, self.middle = rng, (x * width, y * height)
        self.pixels = reach * min(width, height)  # pixels per unit
        self.turn = (math.cos(turn), math.sin(turn))
        self.paint, self.cover = np.zeros((3, height, width), dtype=np.float32), np.zeros((height, width), dtype=np.float32)
        side = rng.uniform(-math.pi * 0.85, -math.pi * 0.15)  # the light comes from above, left or right
        self.light = _unit(math.cos(side), math.sin(side), rng.uniform(0.67, 1.33))
        self.half = _unit(self.light[0], self.light[1], self.light[2] + 1)  # halfway between the light and the viewer
        warmth = rng.uniform(-0.07, 0.07)
        self.tint = np.array([1 + warmth, 1, 1 - warmth], dtype=np.float32).reshape(3, 1, 1) * rng.uniform(0.86, 1.1)
        self.ambient = rng.uniform(0.24, 0.4)

    def patch(self, x: float, y: float, reach: float) -> Patch:
        """The pixels within ``reach`` of (x, y), with coordinates relative to it."""
        (cos, sin), far = self.turn, reach * self.pixels
        middle = (self.middle[1] + (x * sin + y * cos) * self.pixels, self.middle[0] + (x * cos - y * sin) * self.pixels)
        edges = (np.clip([at - far - 2, at + far + 3], 0, side).astype(int) for at, side in zip(middle, self.cover.shape, strict=True))
        rows, columns = (slice(*edge.tolist()) for edge in edges)
        v, u = ((axis - float(at)).astype(np.float32) / self.pixels for axis, at in zip(np.ogrid[rows, columns], middle, strict=True))
        return Patch(rows, columns, u * cos + v * sin, v * cos - u * sin)

    def lay(
        self, at: Patch, rho: Field, skin: Colour, *, depth: float, gloss: float = 0.25, sharpness: float = 30, bump: Field | float = 0
    ) -> None:
        """Paint a body whose outline is ``rho == 1``.

        Args:
            depth: the height of the body, in units; r for a ball of radius r.
            gloss, sharpness: strength and exponent of the highlight (Blinn-Phong).
            bump: a small relief on the surface, in units.
        """
        if min(rho.shape) < 2:
            return
        gy, gx = (slope * self.pixels for slope in np.gradient(rho))
        cover = np.clip((1 - rho) * self.pixels / (hypot(gx, gy) + 1e-3) + 0.5, 0, 1)
        cover *= rho < 1.6  # a discontinuity of rho far outside is not an outline
        up = np.sqrt(np.clip(1 - rho * rho, 0, 1))
        by, bx = (slope * self.pixels for slope in np.gradient(bump)) if isinstance(bump, np.ndarray) else (0, 0)
        normal = np.stack([gx * depth * rho - up * bx, gy * depth * rho - up * by, up])
        normal /= hypot(*normal) + 1e-3
        soft = 0.4  # how far light wraps around the terminator, as in translucent material
        lit = 0.82 * np.clip((np.tensordot(self.light, normal, 1) + soft) / (1 + soft), 0, 1) + self.ambient * (0.8 - 0.25 * normal[1])
        haze = np.maximum(np.tensordot(self.half, normal, 1), 1e-6) ** (sharpness / 6)
        light = (np.square(skin) * lit + gloss * (0.12 * haze + haze**6)) * self.tint
        self.paint[:, at.rows, at.columns] += (light - self.paint[:, at.rows, at.columns]) * cover
        self.cover[at.rows, at.columns] += (1 - self.cover[at.rows, at.columns]) * cover

    def shade(self, at: Patch, rho: Field, strength: float) -> None:
        """Darken what is painted so far around ``rho == 1``: the shadow of a body on others."""
        self.paint[:, at.rows, at.columns] *= 1 - strength * smoothstep(1.4, 0.85, rho)

    def stroke(self, points: Sequence[Point] | np.ndarray, widths: Sequence[float] | np.ndarray, skin: Colour, depth: float = 1) -> None:
        """Paint a tapered tube along a curve through ``points``, for stems and leaves; ``widths``: its radii; depth 1 is round."""
        places, thick = np.asarray(points), float(max(widths))
        low, high = places.min(axis=0), places.max(axis=0)
        middle = (low + high) / 2
        at = self.patch(float(middle[0]), float(middle[1]), math.dist(low, high) / 2 + thick)
        rho = np.full(at.x.shape, 9, dtype=np.float32)
        knots = [(*place, float(width)) for place, width in zip((places - middle).tolist(), widths, strict=True)]
        for (ax, ay, start), (bx, by, end) in pairwise(knots):
            du, dv, x, y = bx - ax, by - ay, at.x - ax, at.y - ay
            t = np.clip((x * du + y * dv) / max(du * du + dv * dv, 1e-9), 0, 1)
            radius = np.maximum(start + t * (end - start), 0.25 / self.pixels)
            rho = np.minimum(rho, hypot(x - t * du, y - t * dv) / radius)
        self.lay(at, rho, skin, depth=thick * depth, gloss=0.09)

    def leaf(self, x: float, y: float, direction: float, length: float, width: float, skin: Colour, bend: float = 0.3) -> None:
        """Paint a pointed leaf from (x, y) towards ``direction`` (radians), bent sideways."""
        way = np.linspace(0, 1, 5 if length * self.pixels < 50 else 10)
        turns = direction + bend * way
        points = np.stack([x + length * way * np.cos(turns), y + length * way * np.sin(turns)], axis=1)
        self.stroke(points, width * np.sin(0.35 + (math.pi - 0.38) * way**0.85), skin, depth=0.6)

    def over(self, background: Colour | None) -> np.ndarray:
        """Composite the fruit and its shadow over a background (sRGB), or the fruit alone on white: (3, height, width)."""
        if background is None:
            return self.paint + (1 - self.cover)
        y, x = (2 * axis.astype(np.float32) / len(axis.flat) - 1 for axis in np.indices(self.cover.shape, sparse=True))
        fall = 1 + 0.16 * (self.light[0] * x + self.light[1] * y) - self.rng.uniform(0, 0.1) * (x * x + y * y)
        fall *= 1 - self.rng.uniform(0.45, 0.75) * self._shadow(0.20, 0.13)
        fall *= 1 - 0.45 * self._shadow(0.07, 0.04)
        return np.square(background) * (self.tint * self.rng.uniform(0.75, 1.0)) * fall * (1 - self.cover) + self.paint

    def _shadow(self, shift: float, blur: float) -> Field:
        """The fruit's silhouette, shifted by ``shift`` units away from the light and blurred."""
        small = Image.fromarray((self.cover * 255).astype(np.uint8)).reduce(2)
        away = (1, 0, self.light[0] * shift * self.pixels / 2, 0, 1, self.light[1] * shift * self.pixels / 2)
        cast = small.transform(small.size, Image.Transform.AFFINE, away).filter(ImageFilter.GaussianBlur(blur * self.pixels / 2))
        height, width = self.cover.shape
        return np.asarray(cast.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32) / 255


def _unit(*direction: float) -> np.ndarray:
    return np.array(direction, dtype=np.float32) / np.float32(math.hypot(*direction))
