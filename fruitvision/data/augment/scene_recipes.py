"""The training transforms for the robust preset: fruit composed into scenes, and photos with simulated cameras.

The pictures of Fruits-360 have a white background, which a network would learn along with the fruit. Here the fruit is cut out as a
sprite, and composed into a different random scene each time: with another background, size, position, rotation and light, alone or
among others of its class, partly covered by a hand, beside other objects; and seen by another simulated camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.augment.backgrounds import Backgrounds, random_part
from fruitvision.data.augment.camera import apply_camera, random_camera
from fruitvision.data.augment.recipes import draw_affine, resample
from fruitvision.data.augment.scenes import PlacedSprite, Scene, render
from fruitvision.data.augment.sprites import cut_out, hand, random_cutout
from fruitvision.data.augment.transforms import normalize

MAX_FRUITS = 9
TYPICAL_SPAN = 8.0
"""Centimetres: a fruit of this length typically takes ``TYPICAL_SHARE`` of the frame. Smaller ones are held closer to the camera and
larger ones farther away, so the size in the frame grows with the square root of the length."""
TYPICAL_SHARE, SHARE_SPREAD, SHARES = 0.42, 0.5, (0.15, 1.2)
"""The size of a fruit relative to the frame: median, standard deviation of the logarithm, bounds."""
AMONG_OTHERS = 0.75
"""The size of a fruit among others, relative to a single one."""
SMALL_SPAN = 4.5
"""Centimetres: shorter fruits lie in piles more often."""
MOVED = 0.25
"""The fraction of photos of which a crop is pasted onto another background."""
PLAIN_STRENGTH = 0.1
"""The strength of the simulated camera on a white background. White that stays white distinguishes the pictures of Fruits-360, in
which a cherry is as large as an apple, from a pale cloth."""

Others = Callable[[int, np.random.Generator], np.ndarray]
"""(position in the batch, generator) → another picture of the same class."""


class SceneRecipe:
    """The training transform that composes fruit into scenes: (pictures, seeds, size) → (B, 3, size, size).

    A picture without a white background is only cropped, rotated and passed through a simulated camera. A fraction ``plain`` of the
    others stays on white, with weaker changes of light, since the network is also evaluated on such pictures.
    """

    def __init__(self, backgrounds: Backgrounds, *, plain: float = 0.2, crop_scale_min: float = 0.35, flip: float = 0.5) -> None:
        self.backgrounds, self.plain = backgrounds, plain
        self.crop_scale_min, self.flip = crop_scale_min, flip

    def __call__(
        self,
        pictures: Sequence[np.ndarray],
        seeds: Sequence[tuple[int, ...]],
        size: int,
        others: Others | None = None,
        spans: Sequence[float] | None = None,
    ) -> Tensor:
        """One scene per picture, normalized.

        ``others`` gives further pictures of the class for the same scene; without it, copies are used. ``spans``: the longest sides
        of the fruits in centimetres, which determine their size in the frame.
        """
        return normalize(self.scenes(pictures, seeds, size, others, spans)[0])

    def scenes(
        self,
        pictures: Sequence[np.ndarray],
        seeds: Sequence[tuple[int, ...]],
        size: int,
        others: Others | None = None,
        spans: Sequence[float] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, 3, size, size) in 0..255, and the fruit's mask (B, size, size) in 0..1; all 1 if unknown."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        spans = [TYPICAL_SPAN] * len(pictures) if spans is None else spans
        counts = [0 if rng.random() < self.plain else _count(rng, span) for rng, span in zip(rngs, spans, strict=True)]
        beside = [
            [others(i, rng) for _ in range(min(count - 1, 2))] if others else []
            for i, (count, rng) in enumerate(zip(counts, rngs, strict=True))
        ]
        sprites, on_white = cut_out([*pictures, *(picture for group in beside for picture in group)])
        composed = [i for i, count in enumerate(counts) if count and on_white[i]]
        as_they_are = [i for i in range(len(pictures)) if i not in set(composed)]
        images, fruit = torch.zeros(len(pictures), 3, size, size), torch.ones(len(pictures), size, size)
        if composed:
            starts = len(pictures) + np.cumsum([0, *map(len, beside)])
            plans = []
            for i in composed:
                shown = [i, *(j for j in range(starts[i], starts[i + 1]) if on_white[j])]
                plans.append(_plan(rngs[i], counts[i], spans[i], [sprites[j] for j in shown], self.backgrounds, size))
            images[composed], fruit[composed] = render(plans, size)
        if as_they_are:
            draws = [
                draw_affine(rngs[i], *_size(pictures[i]), self.crop_scale_min, self.flip, 180 if on_white[i] else 20) for i in as_they_are
            ]
            fills = [255.0 if on_white[i] else 0.0 for i in as_they_are]
            images[as_they_are] = resample([pictures[i] for i in as_they_are], draws, size, fills)
        gentle = {i for i in as_they_are if on_white[i]}
        shots = [random_camera(rng, PLAIN_STRENGTH if i in gentle else 1.0) for i, rng in enumerate(rngs)]
        return apply_camera(images, shots, rngs), fruit

    def without_fruit(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        """(B, 3, size, size), normalized: scenes without fruit, of crops and cutouts of such pictures, hands and backgrounds."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        scenes = []
        for picture, rng in zip(pictures, rngs, strict=True):
            kind = rng.random()
            scene = Scene(random_part(picture, rng, size) if kind < 0.6 else self.backgrounds.draw(rng, size))
            for _ in range(int(rng.integers(1, 4)) if kind > 0.72 else 0):
                scene.placed.append(_place(rng, random_cutout(picture, rng), float(rng.uniform(0.2, 0.7)), is_fruit=False))
            if rng.random() < 0.25:
                scene.hand = hand(rng, size)
            scenes.append(scene)
        images, _ = render(scenes, size)
        return normalize(apply_camera(images, [random_camera(rng) for rng in rngs], rngs))


class PhotoRecipe:
    """The training transform for photos: crop, rotation, and a simulated camera.

    With ``backgrounds``, a crop of some photos is pasted onto another background, so that a shelf of apples is not recognised by the shelf.
    """

    def __init__(
        self,
        backgrounds: Backgrounds | None = None,
        *,
        crop_scale_min: float = 0.2,
        flip: float = 0.5,
        rotation: float = 25,
        strength: float = 0.8,
    ) -> None:
        self.backgrounds, self.strength = backgrounds, strength
        self.crop_scale_min, self.flip, self.rotation = crop_scale_min, flip, rotation

    def __call__(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        """(B, 3, size, size), normalized."""
        return normalize(self.shots(pictures, seeds, size))

    def shots(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        """(B, 3, size, size) in 0..255."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        draws = [
            draw_affine(rng, *_size(picture), self.crop_scale_min, self.flip, self.rotation)
            for picture, rng in zip(pictures, rngs, strict=True)
        ]
        images = resample(pictures, draws, size)
        if self.backgrounds is not None:
            moved = [i for i, rng in enumerate(rngs) if rng.random() < MOVED]
            scenes = [Scene(self.backgrounds.draw(rngs[i], size), [self._part(rngs[i], pictures[i])]) for i in moved]
            if moved:
                images[moved] = render(scenes, size)[0]
        return apply_camera(images, [random_camera(rng, self.strength) for rng in rngs], rngs)

    @staticmethod
    def _part(rng: np.random.Generator, picture: np.ndarray) -> PlacedSprite:
        return _place(rng, random_cutout(picture, rng), float(rng.uniform(0.35, 0.9)), is_fruit=True)


def _count(rng: np.random.Generator, span: float) -> int:
    """The number of fruits: one, a few, or a pile."""
    kind = rng.random() * (1.0 if span >= SMALL_SPAN else 1.3)
    return 1 if kind < 0.6 else int(rng.integers(2, 5)) if kind < 0.85 else int(rng.integers(5, MAX_FRUITS + 1))


def _half(rng: np.random.Generator, span: float, alone: bool) -> float:
    """Half the size in the frame of a fruit of this length, in half frames."""
    share = TYPICAL_SHARE * math.sqrt(span / TYPICAL_SPAN) * (1.0 if alone else AMONG_OTHERS)
    return min(max(share * math.exp(rng.normal(0, SHARE_SPREAD)), SHARES[0]), SHARES[1])


def _plan(rng: np.random.Generator, count: int, span: float, shown: Sequence[Tensor], backgrounds: Backgrounds, size: int) -> Scene:
    """Draw the contents of a scene and their positions."""
    scene = Scene(backgrounds.draw(rng, size))
    if rng.random() < 0.2:
        given = backgrounds.pictures
        source = given[int(rng.integers(len(given)))] if len(given) else backgrounds.draw(rng, 64)
        scene.placed.append(_place(rng, random_cutout(source, rng), float(rng.uniform(0.2, 0.6)), is_fruit=False))
    half = _half(rng, span, count == 1)
    for n in range(count):
        own = half * math.exp(rng.normal(0, 0.12))
        scene.placed.append(_place(rng, shown[n % len(shown)], own, is_fruit=True))
    if rng.random() < 0.15:
        scene.hand = hand(rng, size)
    return scene


def _place(rng: np.random.Generator, sprite: Tensor, half: float, *, is_fruit: bool) -> PlacedSprite:
    """Place a sprite at random; a fruit larger than half the frame may extend beyond its edge by a third of its side."""
    reach = max(1 - half, half / 1.5)
    x, y = rng.uniform(-reach, reach, 2) if half < 1 else rng.uniform(-0.4, 0.4, 2)
    return PlacedSprite(
        sprite,
        float(x),
        float(y),
        half,
        float(np.exp(rng.normal(0, 0.06))),
        float(rng.uniform(0, 2 * np.pi)),
        bool(rng.random() < 0.5),
        float(np.exp(rng.normal(0, 0.12))),
        float(rng.uniform(0.1, 0.65)) if rng.random() < 0.7 else 0.0,
        (float(rng.normal(0, 0.12)), float(rng.uniform(0, 0.25))),
        is_fruit,
    )


def _size(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]
