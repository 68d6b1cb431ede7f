"""The other fruit: banana, grape, strawberry, watermelon, kiwi, tomato and pineapple, each a function that paints one into a scene."""

from __future__ import annotations

import math

import numpy as np

from fruitvision.data.synthetic.painting import Field, Scene, colour, hypot, mix, step
from fruitvision.data.synthetic.shapes import around, bell, egg, from_pole, pick, tilted, vary

COLORS: dict[str, tuple] = {
    "banana": (
        (0.96, 0.80, 0.20),
        (0.93, 0.74, 0.16),
        (0.80, 0.80, 0.26),
        (0.90, 0.70, 0.22),
    ),
    "grape": (
        ((0.24, 0.10, 0.26), (0.46, 0.42, 0.60)),
        ((0.66, 0.74, 0.32), (0.82, 0.86, 0.60)),
        ((0.58, 0.14, 0.22), (0.72, 0.46, 0.54)),
        ((0.14, 0.12, 0.26), (0.40, 0.42, 0.62)),
    ),
    "strawberry": (
        (0.80, 0.07, 0.08),
        (0.70, 0.04, 0.08),
        (0.86, 0.18, 0.12),
    ),
    "watermelon rind": (
        ((0.62, 0.74, 0.42), (0.12, 0.32, 0.12)),
        ((0.46, 0.62, 0.30), (0.08, 0.24, 0.10)),
    ),
    "watermelon flesh": (
        (0.88, 0.18, 0.20),
        (0.92, 0.30, 0.28),
        (0.95, 0.76, 0.24),
    ),
    "kiwi": (
        (0.50, 0.38, 0.20),
        (0.42, 0.31, 0.16),
        (0.56, 0.46, 0.26),
    ),
    "tomato": (
        (0.82, 0.10, 0.06),
        (0.82, 0.10, 0.06),
        (0.88, 0.28, 0.07),
        (0.93, 0.66, 0.14),
        (0.46, 0.08, 0.08),
        (0.56, 0.66, 0.24),
    ),
    "pineapple": (
        ((0.86, 0.60, 0.18), (0.40, 0.28, 0.10)),
        ((0.72, 0.56, 0.22), (0.26, 0.28, 0.12)),
        ((0.56, 0.54, 0.24), (0.22, 0.26, 0.12)),
    ),
}


def banana(scene: Scene) -> None:
    rng = scene.rng
    ripe = pick(rng, *COLORS["banana"])
    count = pick(rng, 1, 1, 1, 2, 3)
    radius, reach = rng.uniform(0.95, 1.45), rng.uniform(0.85, 0.95)
    spread = math.asin(min(reach / radius, 0.97))
    thick = rng.uniform(0.17, 0.24)
    sag = radius * (1 - math.cos(spread)) / 2
    spots = rng.random() < 0.45
    for number in range(count):
        shift = (number - (count - 1) / 2) * thick * 1.1
        at = scene.patch(0, 0, 1.05)
        x, y = at.x, at.y + radius - sag - shift
        span, far = np.arctan2(x, y) / spread, hypot(x, y)
        width = thick * (1 - 0.45 * np.abs(span) ** 3)
        across = (far - radius) / width
        rho = hypot(across, np.clip(np.abs(span) - 0.8, 0, None) / 0.2)
        skin = mix(vary(rng, ripe, 0.02), colour(0.62, 0.66, 0.20), 0.7 * step(0.6, 1.0, np.abs(span)))
        ridge = bell(across - 0.3, 0.07) + bell(across + 0.42, 0.07)
        skin = mix(skin, skin * 0.72, 0.45 * ridge * step(1.0, 0.7, np.abs(span)))
        skin = mix(skin, colour(0.42, 0.27, 0.10), 0.10 * step(0.1, 0.8, scene.noise(at, 6)))
        if spots:
            skin = mix(skin, colour(0.36, 0.22, 0.08), 0.8 * step(0.55, 0.75, scene.noise(at, 9, 2)))
        skin = mix(skin, colour(0.20, 0.15, 0.08), step(0.94, 0.985, np.abs(span)))
        scene.shade(at, 0.4 * step(1.5, 0.9, rho))
        scene.lay(at, rho, skin, depth=thick, gloss=0.12, sharpness=14, bump=0.02 * np.abs(across - 0.3) - 0.015 * ridge)
        end = np.array([math.sin(spread * 0.97) * radius, math.cos(spread * 0.97) * radius - radius + sag + shift])
        along = np.array([math.cos(spread), -math.sin(spread)])
        scene.stroke([end - 0.06 * along, end + 0.11 * along], [thick * 0.42, thick * 0.3], vary(rng, (0.58, 0.52, 0.20)))


def grape(scene: Scene) -> None:
    rng = scene.rng
    skin, bloom = pick(rng, *COLORS["grape"])
    skin, bloom, stalk = vary(rng, skin, 0.03), vary(rng, bloom, 0.03), vary(rng, (0.45, 0.42, 0.18))
    radius, long = rng.uniform(0.185, 0.245), pick(rng, 1.0, 1.0, 1.25)
    scene.stroke([(0, -0.55), (0.03, -0.85), (rng.normal(0, 0.1), -1.05)], [0.05, 0.04, 0.055], stalk)
    scene.stroke([(-0.25, -0.93), (0.03, -0.87), (0.22, -0.96)], [0.03, 0.035, 0.03], stalk)
    berries = []
    rows = int(rng.integers(5, 7))
    for row in range(rows):
        y = -0.62 + 1.38 * row / (rows - 1)
        half = 0.68 * (1 - (row / rows) ** 1.3) + 0.05
        for x in np.arange(-half, half + 0.01, radius * 1.45):
            height = math.sqrt(max(0.0, 1 - (x / (half + 0.2)) ** 2))
            berries.append((height + rng.uniform(-0.25, 0.25), x + rng.normal(0, 0.045), y + rng.normal(0, 0.05)))
    for depth, x, y in sorted(berries):
        at = scene.patch(x, y, radius * 1.5)
        rho = hypot(at.x, at.y / long) / (radius * rng.uniform(0.92, 1.06))
        scene.shade(at, 0.5 * step(1.35, 0.8, rho))
        dust = step(-0.6, 0.9, scene.noise(at, 4)) * rng.uniform(0.2, 0.6)
        own = np.clip(skin * rng.uniform(0.8, 1.2) * (0.75 + 0.25 * min(max(depth, 0), 1)), 0, 1)
        scene.lay(at, rho, mix(own, bloom, dust), depth=radius, gloss=0.35, sharpness=26, soft=0.5)


def strawberry(scene: Scene) -> None:
    rng, at = scene.rng, scene.patch(0, 0.08, 1)
    blunt = rng.uniform(0.40, 0.62)
    across = rng.uniform(0.78, 0.9) * (1 - (1 - blunt) * step(-0.55, 1.05, at.y))
    rho, angle = egg(at, across, 0.9)
    ripe = vary(rng, pick(rng, *COLORS["strawberry"]), 0.03)
    skin = mix(ripe, ripe * colour(0.8, 0.7, 0.8), step(-0.5, 1, scene.noise(at, 2)))
    skin = mix(skin, colour(0.93, 0.80, 0.62), rng.uniform(0.2, 0.85) * step(-0.55, -0.95, at.y))
    longitude = np.arcsin(np.clip(at.x / across / np.sqrt(np.clip(1 - np.square(at.y / 0.9), 0.02, 1)), -1, 1))
    v = (at.y + 0.04 * scene.noise(at, 4)) * rng.uniform(5.2, 6.4)
    u = longitude * 2.5 + 0.5 * (np.floor(v) % 2) + rng.random()
    du, dv = (u % 1 - 0.5) / 2.5, (v % 1 - 0.5) / 5.8
    pit = bell(hypot(du, dv), 0.05) * step(0.085, 0.06, np.abs(dv))
    seed = step(1.0, 0.45, hypot(du / 0.034, dv / 0.052))
    skin = mix(mix(skin, skin * 0.72, 0.7 * pit), vary(rng, (0.92, 0.76, 0.34)), seed)
    scene.lay(at, rho, skin, depth=0.8, gloss=0.45, sharpness=34, bump=-0.024 * pit + 0.015 * seed)
    green = vary(rng, (0.34, 0.58, 0.18))
    for direction in np.linspace(-0.25, math.pi + 0.25, 8) + rng.normal(0, 0.1, 8):
        scene.leaf(
            0,
            -0.76,
            direction,
            rng.uniform(0.36, 0.54) * (1.1 - 0.35 * math.sin(direction)),
            0.1,
            green * rng.uniform(0.8, 1.1),
            rng.normal(0, 0.4),
        )
    scene.stroke([(0, -0.74), (rng.normal(0, 0.05), -0.92), (rng.normal(0, 0.1), -1.04)], [0.05, 0.035, 0.04], green)


def watermelon(scene: Scene) -> None:
    if scene.rng.random() < 0.5:
        return _watermelon_wedge(scene)
    rng, at = scene.rng, scene.patch(0, 0, 1)
    rho, angle = egg(at, rng.uniform(0.8, 0.96), 0.95)
    polar, longitude = from_pole(rho, angle, tilted(rng, -0.2, 1.2))
    pale, dark = pick(rng, *COLORS["watermelon rind"])
    ragged = longitude + (0.16 * scene.noise(at, 5) + 0.1 * scene.noise(at, 11)) * np.sin(polar)
    stripes = np.sin(ragged * int(rng.integers(6, 10)) + rng.uniform(0, 6))
    skin = mix(vary(rng, pale, 0.03), vary(rng, dark, 0.02), step(-0.25, 0.3, stripes + 0.25 * scene.noise(at, 8)))
    skin = mix(skin, skin * 0.8, 0.6 * step(0, 1, scene.noise(at, 22)))
    skin = mix(skin, colour(0.56, 0.50, 0.28), bell(polar, 0.08))
    scene.lay(at, rho, skin, depth=0.92, gloss=0.3, sharpness=30, bump=-0.05 * bell(polar, 0.2))


def _watermelon_wedge(scene: Scene) -> None:
    rng = scene.rng
    half = rng.uniform(0.5, math.pi / 2)
    radius = min(1.72, 0.95 / math.sin(half))
    at = scene.patch(0, 0, 1.05)
    green, flesh = (vary(rng, (0.16, 0.40, 0.14), 0.02), vary(rng, pick(rng, *COLORS["watermelon flesh"]), 0.02))
    thick = rng.uniform(0.05, 0.14)

    def sector(down: float) -> tuple[Field, Field, Field]:
        x, y = at.x, at.y + radius * 0.53 - down
        far, angle = hypot(x, y), np.arctan2(x, y)
        inside = far * np.sin(np.clip(half - np.abs(angle), -math.pi / 2, math.pi / 2))
        return np.maximum(far / radius, 1 - inside / 0.45), far / radius, angle

    rho, far, angle = sector(thick)
    scene.lay(at, rho, mix(flesh * 0.8, green, step(0.86, 0.9, far)), depth=0.1, gloss=0.15)
    rho, far, angle = sector(0)
    face = flesh * (1 + 0.07 * scene.noise(at, 12) + 0.05 * scene.noise(at, 3))
    face = mix(face, np.clip(flesh * 1.2 + 0.06, 0, 1), 0.5 * step(0.45, 0.1, far))
    ring = np.abs(far - 0.62) < 0.16
    cells = angle * radius * 4.2 + 0.5 * step(0.615, 0.625, far) + rng.random()
    seed = hypot((cells % 1 - 0.5) / 4.2 / 0.045, (np.abs(far - 0.62) - 0.08) * radius / 0.075)
    face = mix(face, colour(0.10, 0.06, 0.05), step(1.05, 0.75, seed) * ring)
    face = mix(face, colour(0.93, 0.92, 0.72), step(0.83, 0.9, far))
    face = mix(face, green, step(0.93, 0.95, far))
    scene.lay(at, rho, np.clip(face, 0, 1), depth=0.06, gloss=0.22, sharpness=20, bump=0.008 * scene.noise(at, 14))


def kiwi(scene: Scene) -> None:
    rng, at = scene.rng, scene.patch(0, 0, 1)
    long, fuzz = rng.uniform(1.05, 1.3), scene.noise(at, 24, 2)
    brown = vary(rng, pick(rng, *COLORS["kiwi"]), 0.025)
    rho, angle = egg(at, 0.96 / long, 0.95)
    coat = mix(brown, brown * 0.62, step(-0.3, 1.0, fuzz))
    coat = mix(coat, colour(0.30, 0.24, 0.14), bell(hypot(at.x, at.y + 0.82), 0.12))
    scene.lay(at, rho, coat, depth=0.85, gloss=0.05, sharpness=8, bump=0.012 * fuzz)
    if rng.random() < 0.45:
        return
    gold = rng.random() < 0.2
    flesh = vary(rng, (0.88, 0.78, 0.26) if gold else (0.52, 0.72, 0.20), 0.03)
    rho = rho + 0.02
    rays = around(rng, angle, 80) * step(0.25, 0.5, rho)
    face = mix(flesh, np.clip(flesh * 1.25 + 0.1, 0, 1), np.clip(0.25 + 0.45 * rays, 0, 1) * step(1.0, 0.4, rho))
    face = mix(face, colour(0.92, 0.92, 0.74), step(0.34, 0.2, rho + 0.04 * rays))
    cells = (angle / (2 * math.pi) * 26) % 1 - 0.5
    ring = rho - 0.43 - 0.05 * around(rng, angle, 26)
    seed = hypot(cells / 0.26, ring / 0.055)
    face = mix(face, colour(0.08, 0.07, 0.05), step(1.1, 0.7, seed))
    face = mix(face, flesh * 0.75, step(0.85, 0.97, rho))
    scene.lay(at, rho / 0.97, face, depth=0.10, gloss=0.3, sharpness=24, bump=0.006 * scene.noise(at, 14))


def tomato(scene: Scene) -> None:
    rng, at = scene.rng, scene.patch(0, 0, 1)
    tilt, lobes = tilted(rng, 0.25, 1.45), int(rng.integers(4, 8))
    tall = rng.uniform(0.74, 0.9) + 0.1 * math.sin(tilt)
    rho, angle = egg(at, 0.96, min(tall, 0.95))
    polar, longitude = from_pole(rho, angle, tilt)
    ribs = np.cos(lobes * longitude + rng.uniform(0, 6)) * np.sin(polar) * bell(polar, 1.0) * rng.uniform(0, 1)
    ripe = vary(rng, pick(rng, *COLORS["tomato"]), 0.025)
    skin = mix(ripe, np.clip(ripe * colour(1.1, 1.5, 1.2), 0, 1), 0.35 * step(-0.2, 1, scene.noise(at, 2)))
    skin = mix(skin, colour(0.62, 0.62, 0.22), 0.55 * bell(polar, 0.33))
    scene.lay(at, rho, skin, depth=0.92, gloss=rng.uniform(0.5, 0.8), sharpness=80, bump=0.06 * ribs - 0.14 * bell(polar, 0.3))
    if rng.random() < 0.12:
        return
    root = -min(tall, 0.95) * 0.9 * math.cos(tilt)
    green = vary(rng, (0.26, 0.46, 0.14))
    flat = max(math.sin(tilt), 0.3)
    for direction in np.linspace(0, 2 * math.pi, 6)[:5] + rng.uniform(0, 1.2) + rng.normal(0, 0.12, 5):
        length = rng.uniform(0.38, 0.55)
        x, y = math.cos(direction), math.sin(direction) * flat
        heading = math.atan2(y + 0.12, x)
        scene.leaf(0, root, heading, length * math.hypot(x, y) + 0.08, 0.065, green * rng.uniform(0.85, 1.15), rng.normal(0, 0.5))
    scene.stroke([(0, root), (rng.normal(0, 0.08), root - 0.08 - 0.16 * math.cos(tilt))], [0.055, 0.06], green * 0.9)


def pineapple(scene: Scene) -> None:
    rng = scene.rng
    green = vary(rng, (0.32, 0.50, 0.24), 0.03)
    for layer in range(3):
        for spread in np.linspace(-1, 1, 7 - layer) * (0.95 - 0.28 * layer) + rng.normal(0, 0.06, 7 - layer):
            length = (0.62 + 0.1 * layer) * rng.uniform(0.85, 1.1) * (1 - 0.18 * abs(spread))
            scene.leaf(spread * 0.16, -0.3, -math.pi / 2 + spread * 0.85, length, 0.085, green * rng.uniform(0.72, 1.2), spread * 0.8)
    at = scene.patch(0, 0.32, 0.75)
    across = rng.uniform(0.46, 0.55)
    rho, _ = egg(at, across * (1 - 0.1 * at.y), 0.68)
    longitude = np.arcsin(np.clip(at.x / across / np.sqrt(np.clip(1 - np.square(at.y / 0.7), 0.05, 1)), -1, 1))
    turns = rng.uniform(7.0, 9.5)
    one, two = longitude * turns * 0.55 + at.y * turns, longitude * turns * 0.55 - at.y * turns
    scale = np.abs(np.cos(one) * np.cos(two))
    skin, groove = pick(rng, *COLORS["pineapple"])
    body = mix(vary(rng, groove, 0.02), vary(rng, skin, 0.03), step(0.02, 0.5, np.sqrt(scale)))
    body = mix(body, colour(0.34, 0.24, 0.12), 0.75 * step(0.86, 0.97, scale))
    body = mix(body, body * colour(0.72, 0.9, 0.7), 0.6 * step(-0.2, -0.65, at.y + 0.2 * scene.noise(at, 5)))
    scene.lay(at, rho, body, depth=across, gloss=0.15, sharpness=14, bump=0.045 * np.sqrt(scale))
