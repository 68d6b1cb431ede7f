"""Shapes and random choices of which drawn fruit is composed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fruitvision.data.synthetic.painting import Colour, Field, Patch, colour, hypot


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    """One of the choices."""
    return choices[rng.integers(len(choices))]


def vary(rng: np.random.Generator, rgb: Sequence[float], amount: float = 0.04) -> Colour:
    """The color with a little noise."""
    return np.clip(colour(*rgb) + colour(*rng.normal(0, amount, 3)), 0.02, 0.98)


def around(rng: np.random.Generator, longitude: Field, count: int) -> Field:
    """Random streaks along the meridians, -1..1."""
    table = rng.uniform(-1, 1, count)
    meridians = np.linspace(-math.pi, math.pi, count + 1)
    return np.interp(longitude, meridians, [*table, table[0]]).astype(np.float32)


def egg(at: Patch, across: Field | float, along: float) -> tuple[Field, Field]:
    """(rho, angle) of an ellipse whose half width may change along its height."""
    x, y = at.x / across, at.y / along
    return hypot(x, y), np.arctan2(x, -y)


def tilted(rng: np.random.Generator, low: float = 0.1, high: float = 1.3) -> float:
    """A tilt of the pole towards the viewer, seldom straight at them."""
    return float(rng.uniform(low, high))


def outline(at: Patch, radius: Callable[[Field], Field]) -> tuple[Field, Field]:
    """(rho, angle) of a body whose edge lies ``radius(angle)`` from the middle; angle 0 points up."""
    angle = np.arctan2(at.x, -at.y)
    return hypot(at.x, at.y) / radius(angle), angle


def from_pole(rho: Field, angle: Field, tilt: float) -> tuple[Field, Field]:
    """(distance from the pole, longitude) in radians on a ball whose pole is tilted towards the viewer.

    ``tilt`` 0 puts the pole on the upper edge, pi/2 in the middle of the view; ``angle`` 0 is up.
    """
    up = np.sqrt(np.clip(1 - rho * rho, 0, 1))
    x, y = rho * np.sin(angle), rho * np.cos(angle)
    polar = y * math.cos(tilt) + up * math.sin(tilt)
    deep = up * math.cos(tilt) - y * math.sin(tilt)
    return np.arccos(np.clip(polar, -1, 1)), np.arctan2(x, deep)


def bell(x: Field, width: float) -> Field:
    return np.exp(-np.square(x / width))
