"""A small renderer in numpy: a few lit bodies on a background, with which ``sample.py`` draws fruit.

A body is a field ``rho`` over the plane, 1 at its outline and 0 on its ridge, inflated into a solid of
height ``depth * sqrt(1 - rho**2)``, from which the normals and so the light follow. The unit of length is a
fruit's reach: all of it lies within about 1 of its middle. Colours are given in sRGB, 0..1, and lit in
(nearly) linear light.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

SUPERSAMPLING = 2
Field = np.ndarray  # (h, w) float32
Colour = np.ndarray  # (3, 1, 1) or (3, h, w) float32, sRGB in 0..1
Point = Sequence[float] | np.ndarray


def colour(*rgb: float) -> Colour:
    return np.asarray(rgb, dtype=np.float32).reshape(3, 1, 1)


def mix(a: Colour, b: Colour, share: Field) -> Colour:
    """From colour a to colour b by a field in 0..1: (3, h, w)."""
    mixed = (b - a) * share
    mixed += a  # in place, here and below: fresh memory for every step would cost more than the sums
    return mixed


def step(low: float | Field, high: float | Field, x: Field) -> Field:
    """0 below ``low``, 1 above ``high``, smooth between (also downwards, where low > high)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def hypot(x: Field, y: Field) -> Field:
    return np.sqrt(x * x + y * y)  # several times faster than np.hypot


class Patch:
    """A rectangle of the picture in a fruit's own coordinates: where one body is painted."""

    def __init__(self, rows: slice, columns: slice, x: Field, y: Field, pixels: float) -> None:
        self.rows, self.columns, self.x, self.y, self.pixels = rows, columns, x, y, pixels

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    # Python floats, here and below: numpy's own would turn float32 fields into float64.
    length = math.hypot(x, y, z)
    return x / length, y / length, z / length


def _dot(field: np.ndarray, direction: tuple[float, float, float]) -> Field:
    return field[0] * direction[0] + field[1] * direction[1] + field[2] * direction[2]


class Scene:
    """One fruit, at twice its final size, before it is put on its background.

    ``paint`` (3, h, w) is its colour, linear and multiplied by ``cover`` (h, w).

    Args:
        width, height: of the finished picture, in pixels.
        place: (x, y, reach, turn): middle as shares of width and height, radius as a share of the shorter
            side, turn in radians clockwise.
    """

    def __init__(self, width: int, height: int, rng: np.random.Generator, place: Sequence[float]) -> None:
        width, height = width * SUPERSAMPLING, height * SUPERSAMPLING
        x, y, reach, turn = place
        self.rng = rng
        self.middle = (x * width, y * height)
        self.pixels = reach * min(width, height)  # pixels to one unit
        self.turn = (math.cos(turn), math.sin(turn))
        self.paint = np.zeros((3, height, width), dtype=np.float32)
        self.cover = np.zeros((height, width), dtype=np.float32)
        side = rng.uniform(-math.pi * 0.85, -math.pi * 0.15)  # from above, left or right
        lift = rng.uniform(0.5, 1.0)
        self.light = _unit(math.cos(side), math.sin(side), lift / 0.75)
        self.half = _unit(self.light[0], self.light[1], self.light[2] + 1)  # between the light and the eye
        warmth = rng.uniform(-0.07, 0.07)
        self.tint = colour(1 + warmth, 1, 1 - warmth) * rng.uniform(0.86, 1.1)
        self.ambient = rng.uniform(0.24, 0.4)

    def patch(self, x: float, y: float, reach: float) -> Patch:
        """The pixels within ``reach`` of (x, y), and their coordinates from there."""
        column, row = self._pixel(x, y)
        return self._window(column, row, reach * self.pixels, reach * self.pixels)

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        cos, sin = self.turn
        column = self.middle[0] + (x * cos - y * sin) * self.pixels
        return column, self.middle[1] + (x * sin + y * cos) * self.pixels

    def _window(self, column: float, row: float, across: float, down: float) -> Patch:
        height, width = self.cover.shape
        rows = slice(*(min(max(int(edge), 0), height) for edge in (row - down - 2, row + down + 3)))
        edges = (column - across - 2, column + across + 3)
        columns = slice(*(min(max(int(edge), 0), width) for edge in edges))
        u = (np.arange(columns.start, columns.stop, dtype=np.float32) - float(column)) / self.pixels
        v = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - float(row)) / self.pixels
        cos, sin = self.turn
        return Patch(rows, columns, u * cos + v * sin, v * cos - u * sin, self.pixels)

    def lay(
        self,
        at: Patch,
        rho: Field,
        skin: np.ndarray,
        *,
        depth: float = 1.0,
        gloss: float = 0.25,
        sharpness: float = 30.0,
        bump: Field | None = None,
        soft: float = 0.35,
    ) -> None:
        """Paint a body whose outline is ``rho == 1``.

        Args:
            skin: (3, 1, 1) or (3, h, w).
            depth: how far the body bulges, in units; a ball of radius r bulges r.
            gloss, sharpness: strength and exponent of the highlight (Blinn-Phong).
            bump: small relief on the surface, in units.
            soft: how far light wraps round the terminator, as it does in flesh.
        """
        if min(rho.shape) < 2:
            return
        gy, gx = (g * at.pixels for g in np.gradient(rho))
        cover = np.clip((1 - rho) * at.pixels / np.sqrt(gx * gx + gy * gy + 1e-6) + 0.5, 0, 1)
        cover *= rho < 1.6  # a seam of rho far outside is no outline
        up = np.sqrt(np.clip(1 - rho * rho, 0, 1))
        gx *= depth * rho
        gy *= depth * rho
        if bump is not None:
            by, bx = np.gradient(bump)
            gx -= up * bx * at.pixels
            gy -= up * by * at.pixels
        normal = np.stack([gx, gy, up])
        normal /= np.sqrt(gx * gx + gy * gy + up * up + 1e-6)
        lit = np.clip((_dot(normal, self.light) + soft) / (1 + soft), 0, 1) * 0.82
        lit += self.ambient * (0.8 - 0.25 * normal[1])
        haze = np.maximum(_dot(normal, self.half), 1e-6)
        haze = np.exp(np.log(haze) * (sharpness / 6))  # several times faster than a power
        shine = gloss * (0.12 * haze + (haze * haze * haze) ** 2)
        paint, under = self.paint[:, at.rows, at.columns], self.cover[at.rows, at.columns]
        rgb = np.square(skin) * lit
        rgb += shine
        rgb *= self.tint
        rgb -= paint
        rgb *= cover
        paint += rgb
        under += (1 - under) * cover

    def shade(self, at: Patch, strength: Field) -> None:
        """Darken what has been painted so far: the shadow of a body on its neighbours."""
        self.paint[:, at.rows, at.columns] *= 1 - strength

    def noise(self, at: Patch, cells: float, octaves: int = 1) -> Field:
        """Smooth noise in about -1..1 with ``cells`` bumps to a unit."""
        total = np.zeros(at.shape, dtype=np.float32)
        for octave in range(octaves):
            total += smooth_noise(self.rng, at.shape, cells * 2**octave / self.pixels) / 2**octave
        return total

    def ball(self, x: float, y: float, radius: float, skin: Colour, **light: Any) -> None:
        at = self.patch(x, y, radius)
        self.lay(at, hypot(at.x, at.y) / radius, skin, depth=radius, **light)

    def stroke(self, points: Sequence[Point] | np.ndarray, widths: Sequence[float] | np.ndarray, skin: Colour, **light: Any) -> None:
        """A tapered tube along a curve through ``points``, as stems and leaves are; widths are its radii."""
        places = [self._pixel(float(x), float(y)) for x, y in points]
        columns, rows = zip(*places, strict=True)
        thick = max(widths) * self.pixels
        column, row = (min(columns) + max(columns)) / 2, (min(rows) + max(rows)) / 2
        at = self._window(column, row, (max(columns) - min(columns)) / 2 + thick, (max(rows) - min(rows)) / 2 + thick)
        u = np.arange(at.columns.start, at.columns.stop, dtype=np.float32)
        v = np.arange(at.rows.start, at.rows.stop, dtype=np.float32)[:, None]
        rho = np.full(at.shape, 9, dtype=np.float32)
        for (ax, ay), (bx, by), start, end in zip(places, places[1:], widths, widths[1:], strict=False):
            du, dv, x, y = bx - ax, by - ay, u - ax, v - ay
            t = np.clip((x * du + y * dv) / max(du * du + dv * dv, 1e-6), 0, 1)
            radius = np.maximum((float(start) + t * float(end - start)) * self.pixels, 0.25)
            np.minimum(rho, hypot(x - t * du, y - t * dv) / radius, out=rho)
        light = {"depth": float(max(widths)), "gloss": 0.08} | light
        self.lay(at, rho, skin, **light)

    def leaf(
        self,
        x: float,
        y: float,
        direction: float,
        length: float,
        width: float,
        skin: Colour,
        bend: float = 0.3,
    ) -> None:
        """A pointed leaf from (x, y) towards ``direction`` (radians), bending sideways."""
        way = np.linspace(0, 1, 5 if length * self.pixels < 70 else 10)
        turns = direction + bend * way
        points = np.stack([x + length * way * np.cos(turns), y + length * way * np.sin(turns)], axis=1)
        widths = width * np.sin(0.35 + (math.pi - 0.38) * way**0.85)
        self.stroke(points, widths, skin, depth=width * 0.6, gloss=0.1)

    def on_white(self) -> np.ndarray:
        """The fruit cut out, as in Fruits-360, at its final size: linear light, (3, height, width)."""
        return _halve(self.paint) + (1 - _halve(self.cover))

    def on_background(self, background: Colour) -> np.ndarray:
        """The fruit over a background (sRGB, final size) and its shadow: linear light, (3, height, width)."""
        paint, cover = _halve(self.paint), _halve(self.cover)
        height, width = cover.shape
        x = np.linspace(-1, 1, width, dtype=np.float32)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        unit = self.pixels / SUPERSAMPLING
        fall = 1 + 0.16 * (self.light[0] * x + self.light[1] * y) - self.rng.uniform(0, 0.1) * (x * x + y * y)
        fall *= 1 - self.rng.uniform(0.45, 0.75) * self._shadow(cover, 0.20 * unit, 0.13 * unit)
        fall *= 1 - 0.45 * self._shadow(cover, 0.07 * unit, 0.04 * unit)
        fall *= 1 - cover
        return np.square(background) * (self.tint * self.rng.uniform(0.75, 1.0)) * fall + paint

    def _shadow(self, cover: Field, shift: float, blur: float) -> Field:
        """The fruit's silhouette, ``shift`` pixels away from the light and blurred."""
        small = Image.fromarray((cover * 255).astype(np.uint8)).reduce(2)
        away = (1, 0, self.light[0] * shift / 2, 0, 1, self.light[1] * shift / 2)
        cast = small.transform(small.size, Image.Transform.AFFINE, away)
        cast = cast.filter(ImageFilter.GaussianBlur(blur / 2))
        return np.asarray(cast.resize(cover.shape[::-1], Image.Resampling.BILINEAR), dtype=np.float32) / 255


def _halve(fine: np.ndarray) -> np.ndarray:
    return (fine[..., ::2, ::2] + fine[..., 1::2, ::2] + fine[..., ::2, 1::2] + fine[..., 1::2, 1::2]) * 0.25


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], per_pixel: float | tuple[float, float]) -> Field:
    """Noise in about -1..1 with so many bumps to a pixel (down, across).

    It takes one number from ``rng`` whatever the shape, so that all that follows is the same in every size.
    """
    down, across = per_pixel if isinstance(per_pixel, tuple) else (per_pixel, per_pixel)
    cells = (max(2, round(shape[0] * down) + 2), max(2, round(shape[1] * across) + 2))
    own = np.random.Generator(np.random.SFC64(int(rng.integers(2**32))))
    coarse = Image.fromarray(own.random(cells, dtype=np.float32) * 2 - 1)
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
