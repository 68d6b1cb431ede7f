"""The bodies of synthetic fruit: the description of a kind, and the functions that paint it into a scene.

A fruit lies within about 1 of the center, up is -y, and every random choice is drawn from ``scene.rng``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fruitvision.data.synthetic.painting import Colour, Scene, colour, gaussian, hypot, mix, smoothstep
from fruitvision.data.synthetic.surface import Surface, Where, blush

Amount = float | tuple[float, float]
"""A number, or the range from which one is drawn."""


@dataclass(frozen=True)
class Mark:
    """A mark on the skin where ``where`` is 1: another colour or a multiple of the skin's own, and a relief."""

    where: Where
    to: str | float = 1.0
    share: Amount = 1.0
    bump: float = 0.0


@dataclass(frozen=True)
class Stalk:
    """A stalk at the pole, with a leaf at probability ``leaf``, or with ``star`` leaves around it."""

    length: Amount
    colour: str
    chance: float = 1.0
    leaf: float = 0.0
    star: int = 0


@dataclass(frozen=True)
class Fruit:
    """A kind of fruit: an ellipsoid with half width ``wide`` and half height ``tall``, rotated by ``tilt`` (see ``Surface``).

    ``neck`` and ``foot``: the fraction by which the body is narrower above and below. ``top`` and ``bottom``: how far its ends
    protrude, inwards below 0. ``colours``: pairs, of which ``pattern`` mixes the second into the first.
    """

    colours: Sequence[tuple[str, str]]
    wide: Amount
    tall: Amount = 0.95
    tilt: Amount = (0.1, 1.3)
    neck: Amount = 0.0
    foot: Amount = 0.0
    top: Amount = 0.0
    bottom: Amount = 0.0
    pattern: Where = blush(-0.6, 0.9)
    marks: Sequence[Mark] = ()
    gloss: Amount = 0.3
    sharpness: float = 24
    stalk: Stalk | None = None
    arrange: Callable[[Scene, Fruit], None] | None = None
    """Paints a fruit that is not a single round body."""
    cut: Fruit | None = None
    """The flesh; its ``arrange`` cuts the fruit, with a probability of ``cut_chance``."""
    cut_chance: float = 0.0


def paint(scene: Scene, fruit: Fruit) -> None:
    """Paint a fruit: cut, arranged as it grows, or a single body with its stalk."""
    rng = scene.rng
    is_cut = fruit.cut is not None and rng.random() < fruit.cut_chance
    if arrange := fruit.cut.arrange if fruit.cut and is_cut else fruit.arrange:
        arrange(scene, fruit)
    else:
        x, y, tilt = _body(scene, fruit, _colours(rng, fruit))
        if fruit.stalk and rng.random() < fruit.stalk.chance:
            _stalk(scene, fruit.stalk, x, y, tilt)


def _drawn(rng: np.random.Generator, amount: Amount) -> float:
    return float(rng.uniform(*amount)) if isinstance(amount, tuple) else amount


def _vary(rng: np.random.Generator, name: str, amount: float = 0.03) -> Colour:
    return np.clip(colour(name) + rng.normal(0, amount, (3, 1, 1)).astype(np.float32), 0.02, 0.98)


def _colours(rng: np.random.Generator, fruit: Fruit) -> tuple[Colour, Colour]:
    first, second = fruit.colours[int(rng.integers(len(fruit.colours)))]
    return _vary(rng, first), _vary(rng, second)


def _body(
    scene: Scene, fruit: Fruit, colours: tuple[Colour, Colour], x: float = 0, y: float = 0, radius: float = 1
) -> tuple[float, float, float]:
    """Paint a round body; returns the position (x, y) of its pole and its tilt."""
    rng, at = scene.rng, scene.patch(x, y, radius * 1.15)
    wide, tall, tilt = _drawn(rng, fruit.wide) * radius, _drawn(rng, fruit.tall) * radius, _drawn(rng, fruit.tilt)
    top, bottom = _drawn(rng, fruit.top) * math.cos(tilt), _drawn(rng, fruit.bottom)
    v, middle = at.y / tall, rng.uniform(-0.2, 0.2)
    across = 1 - _drawn(rng, fruit.neck) * smoothstep(middle + 0.45, middle - 0.5, v) - _drawn(rng, fruit.foot) * smoothstep(-0.55, 1.15, v)
    u = at.x / (wide * across)
    angle = np.arctan2(u, -v)
    rho = hypot(u, v) / (1 + top * gaussian(angle, 0.33) + bottom * gaussian(np.abs(angle) - math.pi, 0.3))
    if radius < 0.6:
        scene.shade(at, rho, 0.45)
    _skin(fruit, Surface(scene, at, rho, angle, tilt), colours, min(tall, wide))
    return x, y - tall * (0.9 + top) * math.cos(tilt), tilt


def _skin(fruit: Fruit, on: Surface, colours: tuple[Colour, Colour], depth: float) -> None:
    skin, bump, rng = mix(*colours, fruit.pattern(on)), 0, on.scene.rng
    for mark in fruit.marks:
        where = mark.where(on)
        if mark.to != 1:
            skin = mix(skin, colour(mark.to) if isinstance(mark.to, str) else skin * mark.to, _drawn(rng, mark.share) * where)
        if mark.bump:
            bump = bump + mark.bump * where
    on.scene.lay(on.at, on.rho, skin, depth=depth, gloss=_drawn(rng, fruit.gloss), sharpness=fruit.sharpness, bump=bump)


def _stalk(scene: Scene, stalk: Stalk, x: float, y: float, tilt: float) -> None:
    rng, count = scene.rng, stalk.star
    brown, green, flat = _vary(rng, stalk.colour), _vary(rng, stalk.colour if count else "#478029"), max(math.sin(tilt), 0.35)
    for turn in np.linspace(0, 2 * math.pi, count, endpoint=False) + rng.uniform(0, 1.2) + rng.normal(0, 0.12, count):
        across, down = math.cos(turn), math.sin(turn) * flat + 0.12
        length = rng.uniform(0.4, 0.58) * math.hypot(across, down) + 0.08
        scene.leaf(x, y, math.atan2(down, across), length, 0.08, green * rng.uniform(0.82, 1.15), rng.normal(0, 0.5))
    lean, rise = rng.normal(0, 0.1), _drawn(rng, stalk.length) * max(math.cos(tilt), 0.35)
    middle = (x + 0.3 * lean, y - rise / 2)
    scene.stroke([(x, y), middle, (x + lean, y - rise)], (0.04, 0.035, 0.05), brown)
    if rng.random() < stalk.leaf:
        scene.leaf(*middle, rng.uniform(-0.9, 0.2), 0.5, 0.14, green)


def cherries(scene: Scene, fruit: Fruit) -> None:
    """One to three cherries on joined stalks."""
    rng, colours = scene.rng, _colours(scene.rng, fruit)
    places, radius = (((0,), 0.58), ((-0.43, 0.43), 0.40), ((-0.55, 0.55, 0), 0.35))[rng.choice(3, p=(0.2, 0.6, 0.2))]
    joint = (rng.normal(0, 0.12), -0.98)
    for place in places:
        x, y, _ = _body(scene, fruit, colours, place + rng.normal(0, 0.05), rng.normal(0.42, 0.06) + 0.14 * (place == 0), radius)
        bow = ((x * 1.15 + joint[0]) / 2, (y + joint[1]) / 2 + 0.06)
        scene.stroke([(x, y), (x * 1.02, (y * 3 + bow[1]) / 4), bow, joint], (0.035, 0.024, 0.024, 0.04), _vary(rng, "#6b802e"))
    if rng.random() < 0.4:
        scene.leaf(*joint, rng.uniform(-0.2, 0.8), 0.75, 0.2, _vary(rng, "#428029"))


def grapes(scene: Scene, fruit: Fruit) -> None:
    """Rows of berries, the nearest last."""
    rng, (skin, bloom), stalk = scene.rng, _colours(scene.rng, fruit), _vary(scene.rng, "#736b2e")
    scene.stroke([(0, -0.55), (0.03, -0.85), (rng.normal(0, 0.1), -1.05)], (0.05, 0.04, 0.055), stalk)
    scene.stroke([(-0.25, -0.93), (0.03, -0.87), (0.22, -0.96)], (0.03, 0.035, 0.03), stalk)
    radius, rows, berries = rng.uniform(0.19, 0.24), int(rng.integers(5, 7)), []
    fruit = replace(fruit, tall=float(rng.choice((0.95, 0.95, 1.2))))
    for row in range(rows):
        half = 0.73 - 0.68 * (row / rows) ** 1.3
        for x in np.arange(-half, half + 0.01, radius * 1.45):
            height = math.sqrt(1 - (x / (half + 0.2)) ** 2) + rng.uniform(-0.25, 0.25)
            berries.append((height, x + rng.normal(0, 0.045), 1.38 * row / (rows - 1) - 0.62 + rng.normal(0, 0.05)))
    for height, x, y in sorted(berries):
        tone = rng.uniform(0.8, 1.2) * (0.75 + 0.25 * float(min(max(height, 0), 1)))
        _body(scene, fruit, (skin * tone, bloom), x, y, radius)


def pineapple(scene: Scene, fruit: Fruit) -> None:
    """The crown, and the body in front of it."""
    rng, green = scene.rng, _vary(scene.rng, "#52803d")
    for layer in range(3):
        for side in np.linspace(-1, 1, 7 - layer) * (0.95 - 0.28 * layer) + rng.normal(0, 0.06, 7 - layer):
            length = (0.62 + 0.1 * layer) * rng.uniform(0.85, 1.1) * (1 - 0.18 * abs(side))
            scene.leaf(side * 0.16, -0.3, side * 0.85 - math.pi / 2, length, 0.085, green * rng.uniform(0.72, 1.2), side * 0.8)
    _body(scene, fruit, _colours(rng, fruit), 0, 0.32, 0.7)


def bananas(scene: Scene, fruit: Fruit) -> None:
    """One to three bananas, each bent along a circle: ``at.y`` is -1..1 along it, ``at.x`` across; ``wide`` is half the thickness."""
    rng, at, colours = scene.rng, scene.patch(0, 0, 1.05), _colours(scene.rng, fruit)
    count, radius, thick = (1, 1, 1, 2, 3)[rng.integers(5)], rng.uniform(0.95, 1.45), _drawn(rng, fruit.wide)
    spread = math.asin(min(rng.uniform(0.85, 0.95) / radius, 0.97))
    for number in range(count):
        shift = radius * (1 + math.cos(spread)) / 2 - (number - (count - 1) / 2) * thick * 1.1
        along, far = np.arctan2(at.x, at.y + shift) / spread, hypot(at.x, at.y + shift)
        across = (far - radius) / (thick * (1 - 0.45 * np.abs(along) ** 3))
        rho = hypot(across, np.clip(np.abs(along) - 0.8, 0, None) / 0.2)
        scene.shade(at, rho, 0.4)
        _skin(fruit, Surface(scene, replace(at, x=across, y=along), rho, along), colours, thick)
        tip = np.array([math.sin(spread * 0.97) * radius, math.cos(spread * 0.97) * radius - shift])
        way = np.array([math.cos(spread), -math.sin(spread)])
        scene.stroke([tip - 0.06 * way, tip + 0.11 * way], (thick * 0.42, thick * 0.3), _vary(rng, "#948533"))


def half(scene: Scene, fruit: Fruit) -> None:
    """Half a fruit with its cut face up, seen at an angle; ``fruit.cut.wide`` is the foreshortening of the cut."""
    assert fruit.cut is not None
    rng, at = scene.rng, scene.patch(0, 0, 1)
    y = at.y / _drawn(rng, fruit.cut.wide)
    for part, down, radius, depth in ((fruit, np.where(at.y < 0, y, at.y), 0.95, 0.9), (fruit.cut, y, 0.91, 0.1)):
        far, angle = hypot(at.x, down) / radius, np.arctan2(at.x, down)
        _skin(part, Surface(scene, replace(at, y=far), far, angle), _colours(rng, part), depth)


def wedge(scene: Scene, fruit: Fruit) -> None:
    """A slice with its corner at the center of the fruit, and the rind on its round side."""
    assert fruit.cut is not None
    rng, at, corner = scene.rng, scene.patch(0, 0, 1.05), scene.rng.uniform(0.5, math.pi / 2)
    radius = min(1.72, 0.95 / math.sin(corner))
    for part, down in ((fruit, rng.uniform(0.05, 0.14)), (fruit.cut, 0)):
        x, y = at.x / radius, (at.y - down) / radius + 0.53
        far, angle = hypot(x, y), np.arctan2(x, y)
        inside = far * np.sin(np.clip(corner - np.abs(angle), -math.pi / 2, math.pi / 2))
        rho = np.maximum(far, 1 - inside * radius / 0.45)
        _skin(part, Surface(scene, replace(at, y=far), rho, angle), _colours(rng, part), 0.1)
