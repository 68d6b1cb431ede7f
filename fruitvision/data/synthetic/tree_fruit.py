"""Fruit of trees: apple, pear, plum, cherry, orange, lemon and lime, each a function that paints one into a scene."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fruitvision.data.synthetic.painting import Field, Scene, colour, hypot, mix, step
from fruitvision.data.synthetic.shapes import around, bell, egg, from_pole, outline, pick, tilted, vary

COLORS: dict[str, tuple] = {
    "apple": (
        ((0.90, 0.66, 0.25), (0.70, 0.06, 0.10)),
        ((0.62, 0.08, 0.12), (0.48, 0.02, 0.08)),
        ((0.72, 0.82, 0.30), (0.50, 0.70, 0.18)),
        ((0.93, 0.84, 0.40), (0.90, 0.72, 0.26)),
        ((0.84, 0.84, 0.38), (0.84, 0.20, 0.22)),
    ),
    "pear": (
        ((0.74, 0.80, 0.32), (0.60, 0.70, 0.24)),
        ((0.92, 0.82, 0.36), (0.86, 0.68, 0.24)),
        ((0.78, 0.66, 0.34), (0.56, 0.38, 0.18)),
        ((0.82, 0.78, 0.34), (0.76, 0.22, 0.18)),
        ((0.56, 0.12, 0.14), (0.44, 0.06, 0.10)),
    ),
    "plum": (
        ((0.26, 0.10, 0.26), (0.40, 0.12, 0.26)),
        ((0.44, 0.06, 0.16), (0.62, 0.10, 0.16)),
        ((0.92, 0.72, 0.24), (0.86, 0.48, 0.20)),
        ((0.66, 0.72, 0.28), (0.80, 0.74, 0.32)),
        ((0.16, 0.12, 0.26), (0.26, 0.14, 0.30)),
    ),
    "cherry": (
        ((0.62, 0.03, 0.08), (0.74, 0.08, 0.10)),
        ((0.34, 0.02, 0.07), (0.46, 0.03, 0.09)),
        ((0.92, 0.66, 0.26), (0.84, 0.22, 0.16)),
        ((0.78, 0.10, 0.08), (0.86, 0.22, 0.12)),
    ),
}


def apple(scene: Scene) -> None:
    rng, at = scene.rng, scene.patch(0, 0, 1)
    tilt, wide, tall = tilted(rng), rng.uniform(0.9, 0.97), rng.uniform(0.82, 0.95)
    dip = 0.13 * math.cos(tilt)
    foot = rng.uniform(0.0, 0.1)

    def edge(a: Field) -> Field:
        ellipse = wide * tall / hypot(tall * np.sin(a), wide * np.cos(a))
        return ellipse * (1 - dip * bell(a, 0.4) + 0.05 * bell(np.abs(a) - 0.85, 0.4) - foot * bell(np.abs(a) - math.pi, 0.5))

    rho, angle = outline(at, edge)
    polar, longitude = from_pole(rho, angle, tilt)
    under, over = pick(rng, *COLORS["apple"])
    blush = np.sin(longitude + rng.uniform(-3, 3)) * np.sin(polar) + 0.5 * scene.noise(at, 2.5)
    streaks = around(rng, longitude, 70) * step(0.1, 0.7, polar)
    skin = mix(vary(rng, under), vary(rng, over), step(-0.9, 0.55, blush + 0.45 * streaks + rng.uniform(-0.1, 0.7)))
    skin = mix(skin, colour(0.93, 0.88, 0.66), 0.45 * step(0.55, 1.0, scene.noise(at, 24)))  # lenticels
    skin = mix(skin, colour(0.45, 0.42, 0.16), 0.75 * bell(polar, 0.2))
    scene.lay(at, rho, skin, depth=0.92, gloss=rng.uniform(0.2, 0.5), sharpness=40, bump=-0.2 * bell(polar, 0.27))
    lean, length = rng.normal(0, 0.12), rng.uniform(0.25, 0.42)
    root = -tall * 0.86 * math.cos(tilt)
    tip = root - length * max(math.cos(tilt), 0.35)
    scene.stroke([(0, root), (lean * 0.3, (root + tip) / 2), (lean, tip)], [0.035, 0.035, 0.05], vary(rng, (0.36, 0.25, 0.14)))
    if rng.random() < 0.3:
        scene.leaf(lean * 0.4, (root + tip) / 2, rng.uniform(-0.9, 0.1), 0.5, 0.14, vary(rng, (0.28, 0.50, 0.16)))


def pear(scene: Scene) -> None:
    rng, at = scene.rng, scene.patch(0, 0.04, 1)
    waist, neck = rng.uniform(-0.35, 0.05), rng.uniform(0.36, 0.5)
    across = neck + (rng.uniform(0.70, 0.82) - neck) * step(waist - 0.42, waist + 0.5, at.y + rng.normal(0, 0.12) * at.x)
    rho, angle = egg(at, across, 0.93)
    under, over = pick(rng, *COLORS["pear"])
    cheek = np.cos(angle - rng.uniform(-2.5, 2.5)) * rho + 0.5 * scene.noise(at, 3)
    skin = mix(vary(rng, under), vary(rng, over), step(-0.2, 1.0, cheek))
    skin = mix(skin, colour(0.42, 0.34, 0.16), 0.55 * step(0.45, 0.75, scene.noise(at, 16)))
    skin = mix(skin, colour(0.46, 0.36, 0.18), 0.6 * bell(hypot(at.x, at.y + 0.93), 0.22))
    scene.lay(at, rho, skin, depth=0.72, gloss=rng.uniform(0.1, 0.3), sharpness=22)
    lean = rng.normal(0, 0.14)
    scene.stroke([(0, -0.8), (lean * 0.3, -0.96), (lean, -1.13)], [0.045, 0.035, 0.05], vary(rng, (0.34, 0.24, 0.13)))
    if rng.random() < 0.25:
        scene.leaf(lean * 0.3, -0.96, rng.uniform(-0.6, 0.4), 0.5, 0.13, vary(rng, (0.30, 0.50, 0.18)))


def plum(scene: Scene) -> None:
    rng, at = scene.rng, scene.patch(0, 0, 1)
    rho, angle = egg(at, rng.uniform(0.74, 0.94), 0.95)
    tilt = tilted(rng, 0.0, 0.7)
    polar, longitude = from_pole(rho, angle, tilt)
    skin, cheek = pick(rng, *COLORS["plum"])
    body = mix(vary(rng, skin, 0.02), vary(rng, cheek, 0.02), step(-0.6, 0.9, scene.noise(at, 1.8) + np.cos(angle - 1) * rho))
    bloom = step(-0.35, 1.0, scene.noise(at, 2.5) + 0.4 * scene.noise(at, 9)) * rng.uniform(0.15, 0.6)
    body = mix(body, np.clip(0.5 * body + colour(0.34, 0.36, 0.44), 0, 1), bloom)
    seam = bell(longitude - rng.uniform(-0.7, 0.7), 0.08) * step(3.0, 2.4, polar)
    body = mix(mix(body, body * 0.6, 0.6 * seam), body * 0.4, 0.7 * bell(polar, 0.14))
    scene.lay(at, rho, body, depth=0.88, gloss=0.2, sharpness=20, bump=-0.035 * seam - 0.1 * bell(polar, 0.22))
    if rng.random() < 0.6:
        root = -0.88 * math.cos(tilt)
        scene.stroke([(0, root), (rng.normal(0, 0.08), root - 0.2)], [0.03, 0.035], vary(rng, (0.40, 0.32, 0.16)))


def cherry(scene: Scene) -> None:
    rng = scene.rng
    flesh, cheek = pick(rng, *COLORS["cherry"])
    count = pick(rng, 1, 2, 2, 2, 3)
    radius = (0.58, 0.40, 0.35)[count - 1]
    joint = (rng.normal(0, 0.12), -0.98)
    places = ([(0, 0.36)], [(-0.43, 0.40), (0.43, 0.47)], [(-0.55, 0.34), (0.55, 0.38), (0.02, 0.56)])[count - 1]
    for x, y in places:
        x, y = x + rng.normal(0, 0.05), y + rng.normal(0, 0.06)
        at = scene.patch(x, y, radius * 1.25)
        rho, angle = egg(at, radius * rng.uniform(0.98, 1.06), radius * rng.uniform(0.9, 0.98))
        rho = rho * (1 + 0.07 * bell(angle, 0.35))
        scene.shade(at, 0.45 * step(1.3, 0.9, rho))
        tilt = tilted(rng, 0.3, 0.9)
        polar, _ = from_pole(rho, angle, tilt)
        skin = mix(vary(rng, flesh, 0.02), vary(rng, cheek, 0.02), step(-0.7, 0.8, scene.noise(at, 2.2)))
        skin = mix(skin, skin * 0.4, 0.8 * bell(polar, 0.2))
        scene.lay(at, rho, skin, depth=radius, gloss=rng.uniform(0.5, 0.9), sharpness=70, bump=-0.1 * bell(polar, 0.25))
        root = (x, y - 0.93 * radius * math.cos(tilt))
        bow = ((root[0] * 1.15 + joint[0]) / 2, (root[1] + joint[1]) / 2 + 0.06)
        scene.stroke(
            [root, (root[0] * 1.02, (root[1] * 3 + bow[1]) / 4), bow, joint],
            [0.035, 0.024, 0.024, 0.035],
            vary(rng, (0.42, 0.50, 0.18), 0.02),
        )
    scene.ball(*joint, 0.055, vary(rng, (0.42, 0.32, 0.16)))
    if rng.random() < 0.4:
        scene.leaf(*joint, rng.uniform(-0.2, 0.8), 0.75, 0.2, vary(rng, (0.26, 0.50, 0.16)))


def orange(scene: Scene) -> None:
    rind = pick(scene.rng, (0.95, 0.55, 0.10), (0.93, 0.48, 0.08), (0.94, 0.64, 0.16))
    citrus(scene, rind, pick(scene.rng, (0.97, 0.62, 0.16), (0.97, 0.62, 0.16), (0.80, 0.16, 0.14)), 1, 0, 0.28)


def lemon(scene: Scene) -> None:
    rind = pick(scene.rng, (0.96, 0.84, 0.16), (0.95, 0.88, 0.30), (0.95, 0.76, 0.14), (0.76, 0.78, 0.22))
    citrus(scene, rind, (0.95, 0.90, 0.52), scene.rng.uniform(1.22, 1.42), scene.rng.uniform(0.1, 0.17), 0.25)


def lime(scene: Scene) -> None:
    rind = pick(scene.rng, (0.32, 0.56, 0.12), (0.20, 0.44, 0.10), (0.50, 0.66, 0.18), (0.70, 0.72, 0.22))
    citrus(scene, rind, (0.78, 0.88, 0.46), scene.rng.uniform(1.06, 1.2), scene.rng.uniform(0.03, 0.08), 0.28)


def citrus(scene: Scene, rind: Sequence[float], flesh: Sequence[float], long: float, nipple: float, halved: float) -> None:
    """An orange, a lemon or a lime, whole or cut across."""
    rng, at = scene.rng, scene.patch(0, 0, 1)
    skin_color = vary(rng, rind, 0.025)
    if rng.random() < halved:
        return _citrus_half(scene, skin_color, vary(rng, flesh, 0.02))
    wide = rng.uniform(0.9, 0.97) if long == 1 else rng.uniform(0.93, 1.0) / long

    def edge(a: Field) -> Field:
        tip = np.maximum(bell(a, 0.28), bell(np.abs(a) - math.pi, 0.22) * 0.6)
        return wide * 0.9 / hypot(0.9 * np.sin(a), wide * np.cos(a)) * (1 + nipple * tip)

    rho, angle = outline(at, edge)
    tilt = tilted(rng, 0.2, 1.4) if long == 1 else tilted(rng, -0.1, 0.35)
    polar, longitude = from_pole(rho, angle, tilt)
    pits = scene.noise(at, 17) + 0.5 * scene.noise(at, 26)
    skin = mix(skin_color, skin_color * colour(1.0, 0.9, 0.7), 0.35 * step(-0.2, 1, scene.noise(at, 2)))
    skin = mix(skin, skin * 0.78, 0.45 * step(0.2, 0.9, pits))
    skin = mix(skin, skin_color * colour(0.72, 0.86, 0.6), 0.5 * bell(polar, 0.35) * (nipple > 0))
    if long == 1:
        star = 0.10 + 0.03 * np.cos(5 * longitude)
        skin = mix(skin, colour(0.40, 0.46, 0.20), step(star + 0.03, star - 0.03, polar))
    bump = -0.007 * pits - 0.05 * bell(polar, 0.22) * (long == 1)
    scene.lay(at, rho, skin, depth=0.9 if long == 1 else wide, gloss=0.32, sharpness=22, bump=bump)


def _citrus_half(scene: Scene, rind: np.ndarray, flesh: np.ndarray) -> None:
    rng = scene.rng
    squash = rng.uniform(0.6, 1.0)
    at = scene.patch(0, 0, 0.98)
    below = np.where(at.y < 0, at.y / squash, at.y)
    pits = scene.noise(at, 20)
    scene.lay(at, hypot(at.x, below) / 0.95, mix(rind, rind * 0.8, 0.5 * step(0, 1, pits)), depth=0.9, bump=-0.006 * pits)
    x, y = at.x, at.y / squash
    far, angle = hypot(x, y) / 0.95, np.arctan2(x, y)
    segments = int(rng.integers(9, 12))
    within = np.abs((angle / (2 * math.pi) * segments + rng.random()) % 1 - 0.5)  # 0.5: on a wall
    wall = (0.5 - within) * far * 2 * math.pi / segments
    pulp = np.clip(flesh * (1 + 0.12 * scene.noise(at, 9) + 0.1 * around(rng, angle, 90)), 0, 1)
    pith = np.clip(0.55 * flesh + 0.45, 0, 1) * colour(1.0, 1.0, 0.92)
    juicy = step(0.008, 0.035, wall) * step(0.88, 0.84, far) * step(0.06, 0.12, far)
    face = mix(mix(colour(0.97, 0.94, 0.80), pith, step(0.9, 0.6, far)), pulp, juicy)
    face = mix(face, rind, step(0.95, 0.975, far))
    scene.lay(at, far, face, depth=0.12, gloss=0.3, sharpness=26, bump=0.02 * juicy + 0.006 * scene.noise(at, 12) * juicy)
