"""The standard training transforms: random resized crop, flip and rotation, or none.

The textbook recipe exists twice: as torchvision's transforms for one picture at a time, and as one resampling of a whole batch, in
which crop, flip and rotation are combined into an affine map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from fruitvision.compat import import_torchvision
from fruitvision.data.augment.transforms import IMAGENET_MEAN, IMAGENET_STD, EvalTransform, TrainTransform, denormalize, normalize, to_batch

CROP_RATIO = (3 / 4, 4 / 3)
CROP_TRIES = 10
RANDOM_NUMBERS = 4 * CROP_TRIES + 2
"""The number of random numbers for the augmentation of one picture."""

Draw = tuple[float, float, float, float, float, float]
"""The parameters for one picture: crop (left, top, width, height) in pixels, flipped (1) or not (0), rotation in degrees."""


def torchvision_recipe(crop_scale_min: float, flip: float, rotation: float) -> TrainTransform:
    """torchvision's RandomResizedCrop, RandomHorizontalFlip and RandomRotation, one PIL picture at a time."""
    import_torchvision()
    from torchvision import transforms

    def apply(pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        recipe = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, scale=(crop_scale_min, 1.0)),
                transforms.RandomHorizontalFlip(flip),
                transforms.RandomRotation(rotation),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )
        images = []
        with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's global generator
            for pixels, seed in zip(pictures, seeds, strict=True):
                torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1)))
                images.append(recipe(Image.fromarray(pixels)))
        return torch.stack(images)

    return apply


@dataclass(frozen=True)
class BatchedRecipe:
    """The same transforms, with crop, flip and rotation combined into one resampling of the whole batch."""

    crop_scale_min: float
    flip: float
    rotation: float

    def __call__(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        numbers = np.stack([np.random.default_rng(seed).random(RANDOM_NUMBERS) for seed in seeds])
        heights, widths = np.array([pixels.shape[:2] for pixels in pictures]).T
        return normalize(resample(pictures, self.draws(numbers, heights, widths), size))

    def draws(self, numbers: np.ndarray, height: float | np.ndarray, width: float | np.ndarray) -> np.ndarray:
        """As :func:`affine_draws`."""
        return affine_draws(numbers, height, width, self.crop_scale_min, self.flip, self.rotation)


def no_augmentation(eval_resize: int, image_size: int) -> TrainTransform:
    """The evaluation transform for training, scaled if the picture size grows over the epochs."""

    def apply(pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        return EvalTransform(resize=round(eval_resize * size / image_size), crop=size).batch(pictures)

    return apply


def augmented_grid(pictures: Sequence[np.ndarray], transform: TrainTransform, *, size: int, columns: int, seed: int = 0) -> np.ndarray:
    """A grid of augmented pictures: (rows × size, columns × size, 3) uint8, with empty cells white.

    The same seed gives the same grid.
    """
    seeds = [(seed, number) for number in range(len(pictures))]
    cells = denormalize(transform(pictures, seeds, size))
    rows = -(-len(cells) // columns)
    grid = np.full((rows * columns, size, size, 3), 255, np.uint8)
    grid[: len(cells)] = cells
    return grid.reshape(rows, columns, size, size, 3).swapaxes(1, 2).reshape(rows * size, columns * size, 3)


def draw_affine(rng: np.random.Generator, height: int, width: int, crop_scale_min: float, flip: float, rotation: float) -> Draw:
    """Draw the parameters of torchvision's RandomResizedCrop, RandomHorizontalFlip and RandomRotation."""
    left, top, across, down, flipped, angle = affine_draws(
        rng.random((1, RANDOM_NUMBERS)), height, width, crop_scale_min, flip, rotation
    ).tolist()[0]
    return left, top, across, down, flipped, angle


def affine_draws(
    numbers: np.ndarray, height: float | np.ndarray, width: float | np.ndarray, crop_scale_min: float, flip: float, rotation: float
) -> np.ndarray:
    """The parameters (B, 6) determined by random ``numbers``, (B, RANDOM_NUMBERS) in 0..1.

    ``height`` and ``width`` of the pictures in pixels: (B,), or one for all. ``rotation``: the largest angle in degrees.
    """
    height, width = (np.broadcast_to(np.asarray(side, float), len(numbers)) for side in (height, width))
    scales, ratios, places = np.split(numbers[:, : 4 * CROP_TRIES], (CROP_TRIES, 2 * CROP_TRIES), axis=1)
    areas = (height * width)[:, None] * (crop_scale_min + (1 - crop_scale_min) * scales)
    low, high = np.log(CROP_RATIO)
    ratios = np.exp(low + (high - low) * ratios)
    across, down = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))
    fits = (across > 0) & (across <= width[:, None]) & (down > 0) & (down <= height[:, None])
    tried = np.arange(len(numbers)), fits.argmax(axis=1)  # the first that fits
    w, h, place = across[tried], down[tried], places.reshape(-1, CROP_TRIES, 2)[tried]
    left, top = np.floor(place[:, 0] * (width - w + 1)), np.floor(place[:, 1] * (height - h + 1))
    if not (some := fits.any(axis=1)).all():  # a very long picture: the center crop with the nearest allowed aspect ratio
        ratio = np.clip(width / height, *CROP_RATIO)
        w, h = np.where(some, w, np.minimum(width, np.rint(height * ratio))), np.where(some, h, np.minimum(height, np.rint(width / ratio)))
        left, top = np.where(some, left, (width - w) // 2), np.where(some, top, (height - h) // 2)
    flips, angle = numbers[:, -2] < flip, rotation * (2 * numbers[:, -1] - 1)
    return np.stack((left, top, w, h, flips, angle), axis=1)


def resample(pictures: Sequence[np.ndarray], draws: Sequence[Draw] | np.ndarray, size: int, fills: Sequence[float] | None = None) -> Tensor:
    """Apply the parameters of each picture in a single bilinear resampling → (B, 3, size, size) float in 0..255.

    The area that a rotation brings in from outside the crop is black, as in torchvision, or the grey of ``fills``.
    """
    draws = np.asarray(draws, np.float32)
    greys = torch.tensor(fills) if fills is not None and any(fills) else None
    if len({p.shape for p in pictures}) == 1:
        return resample_same_size(to_batch(pictures), torch.from_numpy(draws), reductions(draws, size), size, greys)
    images = []
    for i, pixels in enumerate(pictures):
        own = draws[i : i + 1]
        grey = None if greys is None else greys[i : i + 1]
        images.append(resample_same_size(to_batch([pixels]), torch.from_numpy(own), reductions(own, size), size, grey))
    return torch.cat(images)


def reductions(draws: np.ndarray, size: int) -> np.ndarray:
    """(B,) the factor by which each picture is first reduced by averaging, since bilinear sampling alone would alias."""
    return np.maximum(draws[:, 2:4].min(axis=1) // size, 1).astype(np.int64)


def resample_same_size(images: Tensor, draws: Tensor, factors: np.ndarray, size: int, fills: Tensor | None = None) -> Tensor:
    """As :func:`resample`, for images (B, 3, H, W) and parameters (B, 6) on one device; ``factors``: from :func:`reductions`."""
    kinds = np.unique(factors).tolist()
    if len(kinds) == 1:
        return _resample(images, draws, kinds[0], size, fills)
    resampled = torch.empty(len(images), 3, size, size, device=images.device)
    for factor in kinds:
        mine = torch.from_numpy(np.flatnonzero(factors == factor)).to(images.device)
        resampled[mine] = _resample(images[mine], draws[mine], factor, size, None if fills is None else fills[mine])
    return resampled


def _resample(images: Tensor, draws: Tensor, factor: int, size: int, fills: Tensor | None) -> Tensor:
    """(B, 3, H, W) → (B, 3, size, size): output position → unrotated → unflipped → position in the crop → source."""
    images = images.float()
    if factor > 1:
        height, width = (n // factor * factor for n in images.shape[2:])
        images = F.avg_pool2d(images[:, :, :height, :width], factor)
    height, width = images.shape[2:]
    left, top, across, down = (draws[:, :4].T / factor)[:, :, None, None]
    flip, angle = draws[:, 4, None, None] > 0, torch.deg2rad(draws[:, 5, None, None])
    centers = (torch.arange(size, device=images.device) + 0.5) * (2 / size) - 1
    y, x = centers[None, :, None], centers[None, None, :]
    cos, sin = torch.cos(angle), torch.sin(angle)
    crop_x, crop_y = cos * x - sin * y, sin * x + cos * y
    inside = (crop_x.abs() <= 1) & (crop_y.abs() <= 1)
    crop_x = torch.where(flip, -crop_x, crop_x)
    grid = torch.stack(((2 * left + across * (crop_x + 1)) / width - 1, (2 * top + down * (crop_y + 1)) / height - 1), dim=3)
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    sampled = sampled * inside[:, None]
    return sampled if fills is None else sampled + fills[:, None, None, None] * ~inside[:, None]
