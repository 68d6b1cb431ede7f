"""The surface of a body, and patterns on it (fields in 0..1) from which ``fruit.py`` composes a skin: spots, stripes, seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fruitvision.data.synthetic.painting import Field, Patch, Scene, gaussian, hypot, smooth_noise, smoothstep


@dataclass(frozen=True)
class Surface:
    """A body in a scene: ``rho`` is 1 at its outline, ``angle`` 0 points up.

    With ``tilt`` 0 the pole, where the stalk is, is on the upper edge; with pi/2 it is in the middle of the view.
    """

    scene: Scene
    at: Patch
    rho: Field
    angle: Field
    tilt: float = 0.0

    @cached_property
    def _ball(self) -> tuple[Field, Field]:
        up, x, y = np.sqrt(np.clip(1 - self.rho**2, 0, 1)), self.rho * np.sin(self.angle), self.rho * np.cos(self.angle)
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        return np.arccos(np.clip(y * cos + up * sin, -1, 1)), np.arctan2(x, up * cos - y * sin)

    @property
    def polar(self) -> Field:
        """The distance from the pole, in radians."""
        return self._ball[0]

    @property
    def longitude(self) -> Field:
        return self._ball[1]

    def noise(self, cells: float) -> Field:
        """Smooth noise in about -1..1 with ``cells`` periods per unit of length."""
        return smooth_noise(self.scene.rng, self.at.x.shape, cells / self.scene.pixels)


Where = Callable[[Surface], Field]


def spots(cells: float, low: float, high: float) -> Where:
    return lambda on: smoothstep(low, high, on.noise(cells))


def pole(width: float) -> Where:
    return lambda on: gaussian(on.polar, width)


def beyond(low: float, high: float) -> Where:
    """Both ends of a long body, or the outer part of a cut one; the inner part if low > high."""
    return lambda on: smoothstep(low, high, np.abs(on.at.y))


def meridians(rng: np.random.Generator, longitude: Field, count: int) -> Field:
    """Random streaks, -1..1."""
    table = rng.uniform(-1, 1, count)
    return np.interp(longitude, np.linspace(-math.pi, math.pi, count + 1), [*table, table[0]]).astype(np.float32)


def blush(low: float, high: float, streaks: float = 0) -> Where:
    """One side, as if exposed to the sun, with noise and streaks."""

    def where(on: Surface) -> Field:
        rng = on.scene.rng
        side = np.cos(on.angle - rng.uniform(-3, 3)) * on.rho + 0.5 * on.noise(2.2) + rng.uniform(-0.2, 0.4)
        return smoothstep(
            low, high, side + streaks * meridians(rng, on.longitude, 70) * smoothstep(0.1, 0.7, on.polar) if streaks else side
        )

    return where


def stripes(on: Surface) -> Field:
    """Irregular stripes from pole to pole, as on a watermelon."""
    ragged = on.longitude + (0.16 * on.noise(5) + 0.1 * on.noise(11)) * np.sin(on.polar)
    count, phase = int(on.scene.rng.integers(6, 10)), on.scene.rng.uniform(0, 6)
    return smoothstep(-0.25, 0.3, np.sin(ragged * count + phase) + 0.25 * on.noise(8))


def star(on: Surface) -> Field:
    """The scar at the stalk of an orange."""
    return smoothstep(0.13, 0.07, on.polar - 0.03 * np.cos(5 * on.longitude))


def ribs(on: Surface) -> Field:
    """Waves around the pole, as on a tomato: -1..1."""
    count, phase, height = int(on.scene.rng.integers(4, 8)), on.scene.rng.uniform(0, 6), on.scene.rng.uniform(0, 1)
    return height * np.cos(count * on.longitude + phase) * np.sin(on.polar) * gaussian(on.polar, 1.0)


def seeds(size: float) -> Where:
    """Seeds in staggered rows around the pole, as on a strawberry; ``size``: 1 for a seed, 1.8 for its pit."""

    def where(on: Surface) -> Field:
        row = on.polar * 5.2
        column = on.longitude * 2.5 + 0.5 * (np.floor(row) % 2)
        narrow = np.maximum(np.sin(on.polar), 0.35)  # columns converge at the poles
        return smoothstep(1.0, 0.4, hypot((column % 1 - 0.5) * narrow / 0.085, (row % 1 - 0.5) / 0.27) / size)

    return where


def scales(on: Surface) -> Field:
    """Diamonds between two sets of spirals, as on a pineapple: 0 in the grooves, 1 in the middle of a scale."""
    one, two = 4.5 * on.longitude, 7.5 * on.polar
    return np.sqrt(np.abs(np.cos(one + two) * np.cos(one - two)))


def flesh(on: Surface) -> Field:
    """Radial fibres of a cut fruit."""
    return 0.5 + 0.4 * on.noise(10) + 0.45 * meridians(on.scene.rng, on.angle, 90) * smoothstep(0.1, 0.4, on.at.y)


def walls(on: Surface) -> Field:
    """The membranes between the segments of citrus fruit."""
    count = int(on.scene.rng.integers(9, 12))
    aside = 0.5 - np.abs((on.angle / (2 * math.pi) * count + on.scene.rng.random()) % 1 - 0.5)
    return 1 - smoothstep(0.008, 0.035, aside * on.at.y * 2 * math.pi / count) * smoothstep(0.06, 0.12, on.at.y)


def pips(count: int, far: float, turns: float, width: float, length: float) -> Where:
    """A ring of seeds in a cut fruit, alternately nearer to the center and farther by ``turns``; ``width``: relative to their distance."""

    def where(on: Surface) -> Field:
        cell = on.angle / (2 * math.pi) * count
        ring = on.at.y - far - turns * (2 * (np.floor(cell) % 2) - 1)
        return smoothstep(1.1, 0.7, hypot((cell % 1 - 0.5) / width, ring / length))

    return where
