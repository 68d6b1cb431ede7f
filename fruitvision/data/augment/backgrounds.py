"""Cuts a fruit from its white ground and sets it on another: one, several, in piles, partly hidden, near or far.

Fruits-360 is filmed before white, and a network that learns from it as it comes learns the white. Here its pictures
become sprites (colour and a soft mask), and every time one is asked for it lies in another scene: on another ground,
in another size, place, turn and light, alone or among its like, under a hand, beside some other thing; and another
camera takes it. A batch is rendered layer by layer, each layer one resampling of all scenes that have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fruitvision.data.augment.camera import draw_shot, photograph
from fruitvision.data.augment.grounds import Grounds, part_of
from fruitvision.data.augment.transforms import WHITE, draw_affine, filmed_on_white, resample, standardize

FRUIT_SHARES = (0.04, 0.995)
"""Of the picture that a mask must cover to be believed."""
SPRITE_SIDE = 100
MOST_FRUITS = 9
HAND_LONG = 8.0
"""Centimetres: a fruit of this length takes ``TYPICAL_SHARE`` of the frame, typically. What is small is held nearer, and
what is large farther: the share grows with the square root of the length."""
TYPICAL_SHARE, SHARE_SPREAD, SHARES = 0.42, 0.5, (0.15, 1.2)
"""Side of a fruit as a share of the frame's: median, standard deviation of the logarithm, bounds."""
AMONG_OTHERS = 0.75
"""How large a fruit is among others, against one alone."""
SMALL = 4.5
"""Centimetres: shorter fruits lie in piles more often."""
MOVED = 0.25
"""Of the photos: a part of it lies as a thing in another place."""
PLAIN_STRENGTH = 0.1
"""Of the camera, where the white ground stays: white that stays white tells the lab, where a cherry is as large as an
apple, from a pale cloth, where it is not."""

Others = Callable[[int, np.random.Generator], np.ndarray]
"""(position in the batch, generator) → another picture of the same class."""


# The mask ----------------------------------------------------------------------------------------------------------


def white_ground(pictures: np.ndarray) -> np.ndarray:
    """Where N pictures show the white ground: near-white and connected to the border.

    (N, H, W, 3) uint8 → (N, H, W) bool. Highlights inside a fruit are not connected, and stay fruit.
    """
    white = (pictures >= WHITE).all(axis=3)
    border = np.zeros_like(white)
    border[:, [0, -1], :] = border[:, :, [0, -1]] = True
    return flood(white & border, white)


def flood(seeds: np.ndarray, free: np.ndarray) -> np.ndarray:
    """What N floods reach from their seeds, moving up, down, left and right through what is free: (N, H, W) bool each."""
    reached, count = seeds & free, -1
    while count != (count := int(reached.sum())):  # until a whole sweep adds nothing
        for axis in (1, 2):
            lines, open_lines = np.moveaxis(reached, axis, 0), np.moveaxis(free, axis, 0)
            for order in (range(1, len(lines)), range(len(lines) - 2, -1, -1)):
                for i in order:
                    lines[i] |= lines[i - order.step] & open_lines[i]
    return reached


def soft_mask(ground: np.ndarray) -> Tensor:
    """(N, H, W) bool, true on the ground → (N, 1, H, W) float, 0 on the ground .. 1 on the fruit.

    The fruit loses one pixel all round, so that no white rim gives a composite away, and the edge is blurred by a
    deviation of about 0.7 pixels.
    """
    outside = F.pad(torch.from_numpy(ground), (1, 1, 1, 1))
    mask = (~_across(torch.logical_or, _across(torch.logical_or, outside, 1), 2)).float()
    for axis in (1, 2):
        padded = torch.cat([mask.narrow(axis, 0, 1), mask, mask.narrow(axis, mask.shape[axis] - 1, 1)], dim=axis)
        mask = 0.58 * mask + 0.21 * (padded.narrow(axis, 0, mask.shape[axis]) + padded.narrow(axis, 2, mask.shape[axis]))
    return mask[:, None]


def _across(join: Callable[[Tensor, Tensor], Tensor], values: Tensor, axis: int) -> Tensor:
    """Each value joined with its two neighbours along ``axis``, which loses its first and last place."""
    inner = values.shape[axis] - 2
    return join(join(values.narrow(axis, 0, inner), values.narrow(axis, 1, inner)), values.narrow(axis, 2, inner))


def sprites(pictures: Sequence[np.ndarray], side: int = SPRITE_SIDE) -> tuple[Tensor, np.ndarray]:
    """Cut the fruit out of each picture.

    Returns:
        (N, 4, side, side) float32: red, green and blue times the mask, 0..255, and the mask, 0..1; a long picture is
        set into a white square first. And (N,) bool: whether the picture was filmed on white and holds a fruit that
        could be cut out; where not, its mask is 1 throughout.
    """
    squares = np.stack([_square(picture, side) for picture in pictures])
    ground = white_ground(squares)
    filmed = filmed_on_white(torch.from_numpy(squares).permute(0, 3, 1, 2)).numpy()
    fruit = 1 - ground.mean(axis=(1, 2))
    cut = filmed & (fruit >= FRUIT_SHARES[0]) & (fruit <= FRUIT_SHARES[1])
    mask = soft_mask(ground & cut[:, None, None])
    colours = torch.from_numpy(squares).permute(0, 3, 1, 2).float()
    return torch.cat([colours * mask, mask], dim=1), cut


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


# The scene ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """A sprite in a scene. Lengths in half frames: the frame reaches from -1 to 1 each way."""

    sprite: Tensor
    """(4, side, side), as :func:`sprites` gives it."""
    x: float
    y: float
    half: float
    """Half the sprite's side; 1 fills the frame."""
    aspect: float
    turn: float
    """Radians."""
    mirrored: bool
    gain: float
    shadow: float
    """How dark: 0 none .. 1 black."""
    shadow_at: tuple[float, float]
    """From the sprite, in its own half sides."""
    fruit: bool


@dataclass
class Scene:
    """What one picture will show, before it is rendered: from back to front."""

    ground: np.ndarray
    """(S, S, 3) uint8"""
    placed: list[Placed] = field(default_factory=list)
    hand: Tensor | None = None
    """(4, S, S), as a sprite."""


class SceneRecipe:
    """The training transform that sets fruits on other grounds: (pictures, seeds, size) → (B, 3, size, size).

    A picture that was not filmed on white is cropped, turned and photographed as it is. A share ``plain`` of the
    others stays on white, in a gentler light: that is where the network will be tested too.
    """

    def __init__(self, grounds: Grounds, *, plain: float = 0.2, crop_scale_min: float = 0.35, flip: float = 0.5) -> None:
        self.grounds, self.plain = grounds, plain
        self.crop_scale_min, self.flip = crop_scale_min, flip

    def __call__(
        self,
        pictures: Sequence[np.ndarray],
        seeds: Sequence[tuple[int, ...]],
        size: int,
        others: Others | None = None,
        spans: Sequence[float] | None = None,
    ) -> Tensor:
        """One scene a picture, standardized. ``others`` gives the fruits that lie beside it; without it, copies do.

        ``spans``: the fruits' longest sides in centimetres, for their size in the frame.
        """
        return standardize(self.scenes(pictures, seeds, size, others, spans)[0])

    def scenes(
        self,
        pictures: Sequence[np.ndarray],
        seeds: Sequence[tuple[int, ...]],
        size: int,
        others: Others | None = None,
        spans: Sequence[float] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, 3, size, size) in 0..255, and (B, size, size) in 0..1: where the fruit is; 1 throughout if not known."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        spans = [HAND_LONG] * len(pictures) if spans is None else spans
        counts = [0 if rng.random() < self.plain else _count(rng, span) for rng, span in zip(rngs, spans, strict=True)]
        beside = [
            [others(i, rng) for _ in range(min(count - 1, 2))] if others else []
            for i, (count, rng) in enumerate(zip(counts, rngs, strict=True))
        ]
        cut_out, on_white = sprites([*pictures, *(picture for group in beside for picture in group)])
        composed = [i for i, count in enumerate(counts) if count and on_white[i]]
        as_they_are = [i for i in range(len(pictures)) if i not in set(composed)]
        images, fruit = torch.zeros(len(pictures), 3, size, size), torch.ones(len(pictures), size, size)
        if composed:
            starts = len(pictures) + np.cumsum([0, *map(len, beside)])
            plans = []
            for i in composed:
                shown = [i, *(j for j in range(starts[i], starts[i + 1]) if on_white[j])]
                plans.append(_plan(rngs[i], counts[i], spans[i], [cut_out[j] for j in shown], self.grounds, size))
            images[composed], fruit[composed] = render(plans, size)
        if as_they_are:
            draws = [
                draw_affine(rngs[i], *pictures[i].shape[:2], self.crop_scale_min, self.flip, 180 if on_white[i] else 20)
                for i in as_they_are
            ]
            fills = [255.0 if on_white[i] else 0.0 for i in as_they_are]
            images[as_they_are] = resample([pictures[i] for i in as_they_are], draws, size, fills)
        gentle = {i for i in as_they_are if on_white[i]}
        shots = [draw_shot(rng, PLAIN_STRENGTH if i in gentle else 1.0) for i, rng in enumerate(rngs)]
        return photograph(images, shots, rngs), fruit

    def without_fruit(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        """(B, 3, size, size), standardized: parts of pictures that hold no fruit, things cut out of them, hands, grounds."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        scenes = []
        for picture, rng in zip(pictures, rngs, strict=True):
            kind = rng.random()
            scene = Scene(part_of(picture, rng, size) if kind < 0.6 else self.grounds.draw(rng, size))
            for _ in range(int(rng.integers(1, 4)) if kind > 0.72 else 0):
                scene.placed.append(_place(rng, thing(picture, rng), float(rng.uniform(0.2, 0.7)), fruit=False))
            if rng.random() < 0.25:
                scene.hand = hand(rng, size)
            scenes.append(scene)
        images, _ = render(scenes, size)
        return standardize(photograph(images, [draw_shot(rng) for rng in rngs], rngs))


class PhotoRecipe:
    """The training transform for photographs: a crop, a turn, and another camera's light.

    With ``grounds``, a part of some photos lies as a thing on another ground, since a shelf of apples must not be known by
    its shelf.
    """

    def __init__(
        self,
        grounds: Grounds | None = None,
        *,
        crop_scale_min: float = 0.2,
        flip: float = 0.5,
        rotation: float = 25,
        strength: float = 0.8,
    ) -> None:
        self.grounds, self.strength = grounds, strength
        self.crop_scale_min, self.flip, self.rotation = crop_scale_min, flip, rotation

    def __call__(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        """(B, 3, size, size), standardized."""
        return standardize(self.shots(pictures, seeds, size))

    def shots(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        """(B, 3, size, size) in 0..255."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        draws = [
            draw_affine(rng, *picture.shape[:2], self.crop_scale_min, self.flip, self.rotation)
            for picture, rng in zip(pictures, rngs, strict=True)
        ]
        images = resample(pictures, draws, size)
        moved = [i for i, rng in enumerate(rngs) if self.grounds is not None and rng.random() < MOVED]
        if moved:
            scenes = [Scene(self.grounds.draw(rngs[i], size), [self._part(rngs[i], pictures[i])]) for i in moved]
            images[moved] = render(scenes, size)[0]
        return photograph(images, [draw_shot(rng, self.strength) for rng in rngs], rngs)

    @staticmethod
    def _part(rng: np.random.Generator, picture: np.ndarray) -> Placed:
        return _place(rng, thing(picture, rng), float(rng.uniform(0.35, 0.9)), fruit=True)


def _count(rng: np.random.Generator, span: float) -> int:
    """One fruit, a few, or a pile."""
    kind = rng.random() * (1.0 if span >= SMALL else 1.3)
    return 1 if kind < 0.6 else int(rng.integers(2, 5)) if kind < 0.85 else int(rng.integers(5, MOST_FRUITS + 1))


def _half(rng: np.random.Generator, span: float, alone: bool) -> float:
    """Half the side of a fruit of this length in the frame, whose own half is 1."""
    share = TYPICAL_SHARE * math.sqrt(span / HAND_LONG) * (1.0 if alone else AMONG_OTHERS)
    return min(max(share * math.exp(rng.normal(0, SHARE_SPREAD)), SHARES[0]), SHARES[1])


def _plan(rng: np.random.Generator, count: int, span: float, shown: Sequence[Tensor], grounds: Grounds, size: int) -> Scene:
    """Draw what lies where."""
    scene = Scene(grounds.draw(rng, size))
    if rng.random() < 0.2:
        source = grounds.pictures[int(rng.integers(len(grounds.pictures)))] if len(grounds.pictures) else grounds.draw(rng, 64)
        scene.placed.append(_place(rng, thing(source, rng), float(rng.uniform(0.2, 0.6)), fruit=False))
    half = _half(rng, span, count == 1)
    for n in range(count):
        own = half * math.exp(rng.normal(0, 0.12))
        scene.placed.append(_place(rng, shown[n % len(shown)], own, fruit=True))
    if rng.random() < 0.15:
        scene.hand = hand(rng, size)
    return scene


def _place(rng: np.random.Generator, sprite: Tensor, half: float, *, fruit: bool) -> Placed:
    """Anywhere in the frame; a fruit larger than half of it may reach over the edge by a third of its side."""
    reach = max(1 - half, half / 1.5)
    x, y = rng.uniform(-reach, reach, 2) if half < 1 else rng.uniform(-0.4, 0.4, 2)
    return Placed(
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
        fruit,
    )


def thing(picture: np.ndarray, rng: np.random.Generator) -> Tensor:
    """A thing of some round or ragged shape, cut out of any picture: a sprite (4, side, side)."""
    side = SPRITE_SIDE
    colours = torch.from_numpy(part_of(picture, rng, side).transpose(2, 0, 1).copy()).float()
    turns = np.arctan2(*(np.mgrid[:side, :side] - (side - 1) / 2))
    reach = 0.7 + sum(rng.normal(0, 0.25 / k) * np.cos(k * turns + rng.uniform(0, 6.3)) for k in range(1, 6))
    distance = np.hypot(*(np.mgrid[:side, :side] - (side - 1) / 2)) / (side / 2)
    mask = torch.from_numpy(np.clip((np.clip(reach, 0.25, 0.98) - distance) * side / 4, 0, 1).astype(np.float32))
    return torch.cat([colours * mask, mask[None]])


def hand(rng: np.random.Generator, size: int) -> Tensor:
    """Some fingers reaching in from an edge: (4, size, size), as a sprite of the whole frame."""
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
    colours = skin[:, None, None] * light * mask
    return torch.from_numpy(np.concatenate([colours, mask[None]]).astype(np.float32))


# Rendering ---------------------------------------------------------------------------------------------------------


def render(scenes: Sequence[Scene], size: int) -> tuple[Tensor, Tensor]:
    """(B, 3, size, size) in 0..255, and (B, size, size) in 0..1: what of the frame shows fruit."""
    grounds = np.stack([scene.ground for scene in scenes])
    images = torch.from_numpy(grounds).permute(0, 3, 1, 2).float().contiguous()
    fruit = torch.zeros(len(scenes), size, size)
    for depth in range(max((len(scene.placed) for scene in scenes), default=0)):
        rows = [i for i, scene in enumerate(scenes) if len(scene.placed) > depth]
        layer = [scenes[i].placed[depth] for i in rows]
        shade, drawn = _shadows(layer, size), _drawn(layer, size)
        colours, mask = drawn[:, :3], drawn[:, 3:]
        images[rows] = (images[rows] * (1 - shade) * (1 - mask)).add_(colours)
        is_fruit = torch.tensor([float(placed.fruit) for placed in layer])[:, None, None]
        fruit[rows] = fruit[rows] * (1 - mask[:, 0]) + mask[:, 0] * is_fruit
    for i, scene in enumerate(scenes):
        if scene.hand is not None:
            images[i] = images[i] * (1 - scene.hand[3]) + scene.hand[:3]
            fruit[i] *= 1 - scene.hand[3]
    return images.clamp_(0, 255), fruit


def _drawn(layer: Sequence[Placed], size: int) -> Tensor:
    """(n, 4, size, size): each sprite in its place, colours times gain."""
    drawn = torch.zeros(len(layer), 4, size, size)
    by_level: dict[int, list[int]] = {}
    for n, placed in enumerate(layer):  # averaged first where it will be small: a bilinear sample sees four pixels only
        by_level.setdefault(min(max(int(placed.sprite.shape[-1] / (placed.half * size)), 1), 8), []).append(n)
    for level, rows in by_level.items():
        stack = torch.stack([layer[n].sprite for n in rows])
        if level > 1:
            stack = F.avg_pool2d(stack, level, ceil_mode=True)
        drawn[rows] = _sample(stack, [layer[n] for n in rows], size)
    gains = torch.tensor([placed.gain for placed in layer])[:, None, None, None]
    drawn[:, :3] = torch.minimum(drawn[:, :3] * gains, 255 * drawn[:, 3:])
    return drawn


def _shadows(layer: Sequence[Placed], size: int) -> Tensor:
    """(n, 1, size, size), 0 in the light .. 1: each sprite's mask beside itself, soft, at a quarter of the resolution."""
    masks = torch.stack([placed.sprite[3:] for placed in layer])
    soft = F.avg_pool2d(F.pad(F.avg_pool2d(masks, 4), (3, 3, 3, 3)), 5, stride=1, padding=2)
    coarse = _sample(soft, layer, max(size // 4, 8), shadow=True, side=masks.shape[-1] / 4)
    dark = torch.tensor([placed.shadow for placed in layer])[:, None, None, None]
    return F.interpolate(coarse * dark, size=(size, size), mode="bilinear")


def _sample(stack: Tensor, layer: Sequence[Placed], size: int, *, shadow: bool = False, side: float | None = None) -> Tensor:
    """Resample sprites (n, C, h, w) into their places in frames of ``size``; ``side`` is the sprite's, less its margin."""
    margin = 1.0 if side is None else stack.shape[-1] / side
    maps = []
    for placed in layer:
        x, y = placed.x, placed.y
        if shadow:
            x, y = x + placed.shadow_at[0] * placed.half, y + placed.shadow_at[1] * placed.half
        cos, sin = math.cos(placed.turn), math.sin(placed.turn)
        half_x, half_y = placed.half * margin * placed.aspect, placed.half * margin / placed.aspect
        across = (cos / half_x, sin / half_x, -(cos * x + sin * y) / half_x)
        down = (-sin / half_y, cos / half_y, (sin * x - cos * y) / half_y)
        maps.append((tuple(-v for v in across) if placed.mirrored else across, down))
    grid = F.affine_grid(torch.tensor(maps), (len(layer), stack.shape[1], size, size), align_corners=False)
    return F.grid_sample(stack, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
