"""From pixels to what the network sees: the one evaluation transform, and the training recipes.

Pictures come as uint8 arrays (H, W, 3), as the store keeps them, and leave as a float batch (B, 3, S, S),
standardized by ImageNet's mean and deviation. The plain recipe exists twice: as torchvision's transforms, picture by
picture, and as one resampling of a whole batch, in which crop, flip and rotation are a single affine map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from fruitvision.compat import import_torchvision

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CROP_RATIO = (3 / 4, 4 / 3)
CROP_TRIES = 10
NUMBERS = 4 * CROP_TRIES + 2
"""Random numbers that the augmentation of one picture takes."""

TrainTransform = Callable[[Sequence[np.ndarray], Sequence[tuple[int, ...]], int], Tensor]
"""(pictures, one seed a picture, side S) → (B, 3, S, S)."""


Views = Literal["one", "mirror", "middle"]
MIDDLE_SCALES = (1.0, 0.8)
WHITE = 232
"""From here on, in all three channels, a pixel may be ground that was filmed white."""
BORDER_SHARE = 0.5
"""Of the border that must be white before a picture counts as filmed on white."""


class EvalTransform(BaseModel):
    """Resize the short side, cut out the middle square, standardize: the same for validation, evaluation and answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: int = Field(256, ge=8, le=2048)
    crop: int = Field(224, ge=8, le=2048)
    interpolation: Literal["bilinear"] = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    views: int = Field(1, ge=1, le=2, description="1: the picture; 2: the picture and its mirror image, averaged.")
    scales: tuple[float, ...] = Field(
        (1.0,),
        min_length=1,
        max_length=8,
        description="Middle squares that are looked at and averaged, as shares of the first one's side.",
    )

    white_mirrored: bool = Field(
        False,
        validation_alias=AliasChoices("white_mirrored", "white_once"),  # its earlier name
        description="Whether a picture filmed on white, which is cut to its fruit already, is looked at mirrored in place of nearer.",
    )

    @field_validator("scales")
    @classmethod
    def _from_whole_to_part(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value[0] != 1 or any(not 0.1 <= scale <= 1 for scale in value):
            raise ValueError("the first scale is 1, the others lie between 0.1 and 1")
        return value

    @property
    def looks(self) -> int:
        """How many inputs of the network one picture makes."""
        return self.views * len(self.scales)

    def looking(self, views: Views) -> EvalTransform:
        """The same, with other looks: the picture; it and its mirror image; it and its middle, nearer."""
        middle = views == "middle"
        return self.model_copy(
            update={"views": 2 if views == "mirror" else 1, "scales": MIDDLE_SCALES if middle else (1.0,), "white_mirrored": middle}
        )

    def enlarged(self, zoom: int) -> EvalTransform:
        """One look at the same part of a picture, ``zoom`` times as large."""
        return self.looking("one").model_copy(update={"resize": self.resize * zoom, "crop": self.crop * zoom})

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 → (3, crop, crop) float32."""
        return self._standardize(self._cut(_to_tensor([pixels])))[0]

    def batch(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """B pictures of any sizes → (B × looks, 3, crop, crop); those of one picture lie side by side, the whole first."""
        if len({p.shape for p in pictures}) == 1:
            looks = self._looks(_to_tensor(pictures))
        else:
            looks = torch.cat([self._looks(_to_tensor([p])) for p in pictures])
        images = self._standardize(looks.flatten(0, 1))
        if self.views == 2:
            images = torch.stack((images, images.flip(3)), dim=1).flatten(0, 1)
        return images

    def _looks(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 → (B, scales, 3, crop, crop) uint8."""
        looks = [self._cut(images)]
        for scale in self.scales[1:]:
            left, top, right, bottom = self.crop_box(*images.shape[2:])
            across, down = (right - left) * (1 - scale) / 2, (bottom - top) * (1 - scale) / 2
            x0, y0, x1, y1 = round(left + across), round(top + down), round(right - across), round(bottom - down)
            part = images[:, :, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
            looks.append(F.interpolate(part, size=(self.crop, self.crop), mode="bilinear", antialias=True))
        looks = torch.stack(looks, dim=1)
        if self.white_mirrored and looks.shape[1] > 1 and (white := filmed_on_white(images)).any():
            whole = looks[white][:, :1]
            both = torch.cat((whole, whole.flip(4)), dim=1)
            looks[white] = both[:, torch.arange(looks.shape[1]) % 2]
        return looks

    def crop_box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The part of a height × width picture that the network sees: (left, top, right, bottom) in its pixels."""
        (new_h, new_w), top, left = self._geometry(height, width)
        across, down = width / new_w, height / new_h
        return left * across, top * down, (left + self.crop) * across, (top + self.crop) * down

    def _geometry(self, height: int, width: int) -> tuple[tuple[int, int], int, int]:
        # As torchvision's Resize and CenterCrop round.
        if height <= width:
            size = (self.resize, max(int(self.resize * width / height), self.resize))
        else:
            size = (max(int(self.resize * height / width), self.resize), self.resize)
        return size, round((size[0] - self.crop) / 2), round((size[1] - self.crop) / 2)

    def _cut(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 → (B, 3, crop, crop) uint8."""
        size, top, left = self._geometry(*images.shape[2:])
        if tuple(images.shape[2:]) != size:
            images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        return images[:, :, top : top + self.crop, left : left + self.crop]

    def _standardize(self, images: Tensor) -> Tensor:
        return standardize(images, self.mean, self.std)


def filmed_on_white(images: Tensor) -> Tensor:
    """Which of B pictures, (B, 3, H, W) in 0..255, were filmed on white, as Fruits-360 is: (B,) bool, by their borders."""
    white = (images >= WHITE).all(dim=1)
    border = torch.cat([white[:, 0], white[:, -1], white[:, :, 0], white[:, :, -1]], dim=1)
    return border.float().mean(dim=1) >= BORDER_SHARE


def standardize(images: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> Tensor:
    """(B, 3, H, W) in 0..255 → zero mean and unit deviation by channel, over ImageNet's pictures."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=images.device)[:, None, None]
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images.device)[:, None, None]
    return torch.addcmul(shift, images.float(), scale)


def unstandardize(images: Tensor) -> np.ndarray:
    """The inverse of :func:`standardize`: (B, 3, H, W) → (B, H, W, 3) uint8, to be looked at."""
    std, mean = torch.tensor(IMAGENET_STD)[:, None, None], torch.tensor(IMAGENET_MEAN)[:, None, None]
    return ((images * std + mean) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def torchvision_recipe(crop_scale_min: float, flip: float, rotation: float) -> TrainTransform:
    """The plain recipe in torchvision's own transforms, one PIL picture at a time."""
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
    """The same recipe with crop, flip and rotation composed into one resampling of the whole batch."""

    crop_scale_min: float
    flip: float
    rotation: float

    def __call__(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        numbers = np.stack([np.random.default_rng(seed).random(NUMBERS) for seed in seeds])
        heights, widths = np.array([pixels.shape[:2] for pixels in pictures]).T
        return standardize(resample(pictures, self.draws(numbers, heights, widths), size))

    def draws(self, numbers: np.ndarray, height: float | np.ndarray, width: float | np.ndarray) -> np.ndarray:
        """As :func:`affine_draws`."""
        return affine_draws(numbers, height, width, self.crop_scale_min, self.flip, self.rotation)


def no_augmentation(eval_resize: int, image_size: int) -> TrainTransform:
    """Training on exactly what evaluation sees, scaled where the side grows over the epochs."""

    def apply(pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        return EvalTransform(resize=round(eval_resize * size / image_size), crop=size).batch(pictures)

    return apply


def augmented_grid(pictures: Sequence[np.ndarray], transform: TrainTransform, *, size: int, columns: int, seed: int = 0) -> np.ndarray:
    """Pictures as training will see them, side by side: (rows × size, columns × size, 3) uint8, what is left over white.

    The same seed draws the same grid.
    """
    seeds = [(seed, number) for number in range(len(pictures))]
    cells = unstandardize(transform(pictures, seeds, size))
    rows = -(-len(cells) // columns)
    grid = np.full((rows * columns, size, size, 3), 255, np.uint8)
    grid[: len(cells)] = cells
    return grid.reshape(rows, columns, size, size, 3).swapaxes(1, 2).reshape(rows * size, columns * size, 3)


Draw = tuple[float, float, float, float, float, float]
"""One picture's augmentation: crop (left, top, width, height) in pixels, flipped (1) or not (0), rotation in degrees."""


def draw_affine(rng: np.random.Generator, height: int, width: int, crop_scale_min: float, flip: float, rotation: float) -> Draw:
    """Draw as torchvision's RandomResizedCrop, RandomHorizontalFlip and RandomRotation do."""
    return tuple(affine_draws(rng.random((1, NUMBERS)), height, width, crop_scale_min, flip, rotation)[0].tolist())


def affine_draws(
    numbers: np.ndarray, height: float | np.ndarray, width: float | np.ndarray, crop_scale_min: float, flip: float, rotation: float
) -> np.ndarray:
    """The draws (B, 6) that random ``numbers`` (B, NUMBERS) in 0..1 come to, for pictures of this height and width, (B,) or one."""
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
    if not (some := fits.any(axis=1)).all():  # a very long picture: the middle, as near to the allowed ratios as it goes
        ratio = np.clip(width / height, *CROP_RATIO)
        w, h = np.where(some, w, np.minimum(width, np.rint(height * ratio))), np.where(some, h, np.minimum(height, np.rint(width / ratio)))
        left, top = np.where(some, left, (width - w) // 2), np.where(some, top, (height - h) // 2)
    flips, angle = numbers[:, -2] < flip, rotation * (2 * numbers[:, -1] - 1)
    return np.stack((left, top, w, h, flips, angle), axis=1)


def resample(pictures: Sequence[np.ndarray], draws: Sequence[Draw] | np.ndarray, size: int, fills: Sequence[float] | None = None) -> Tensor:
    """Apply one draw a picture in a single bilinear resampling → (B, 3, size, size) float in 0..255.

    What a rotation turns in from outside the crop is black, as torchvision fills it, or the grey of ``fills``.
    """
    draws = np.asarray(draws, np.float32)
    tints = torch.tensor(fills) if fills is not None and any(fills) else None
    if len({p.shape for p in pictures}) == 1:
        return resample_alike(_to_tensor(pictures), torch.from_numpy(draws), reductions(draws, size), size, tints)
    return torch.cat(
        [
            resample_alike(
                _to_tensor([pixels]),
                torch.from_numpy(draws[i : i + 1]),
                reductions(draws[i : i + 1], size),
                size,
                None if tints is None else tints[i : i + 1],
            )
            for i, pixels in enumerate(pictures)
        ]
    )


def reductions(draws: np.ndarray, size: int) -> np.ndarray:
    """(B,) by how much each picture is averaged first: a bilinear sample sees four pixels only and would alias."""
    return np.maximum(draws[:, 2:4].min(axis=1) // size, 1).astype(np.int64)


def resample_alike(images: Tensor, draws: Tensor, factors: np.ndarray, size: int, fills: Tensor | None = None) -> Tensor:
    """As :func:`resample`, for images (B, 3, H, W) and draws (B, 6) on one device; ``factors`` are their reductions."""
    kinds = np.unique(factors).tolist()
    if len(kinds) == 1:
        return _resample(images, draws, kinds[0], size, fills)
    resampled = torch.empty(len(images), 3, size, size, device=images.device)
    for factor in kinds:
        mine = torch.from_numpy(np.flatnonzero(factors == factor)).to(images.device)
        resampled[mine] = _resample(images[mine], draws[mine], factor, size, None if fills is None else fills[mine])
    return resampled


def _resample(images: Tensor, draws: Tensor, factor: int, size: int, fills: Tensor | None) -> Tensor:
    """(B, 3, H, W) → (B, 3, size, size): output place → unrotated → unflipped → place in the crop → source."""
    images = images.float()
    if factor > 1:
        height, width = (n // factor * factor for n in images.shape[2:])
        images = F.avg_pool2d(images[:, :, :height, :width], factor)
    height, width = images.shape[2:]
    left, top, across, down = (draws[:, :4].T / factor)[:, :, None, None]
    flip, angle = draws[:, 4, None, None] > 0, torch.deg2rad(draws[:, 5, None, None])
    centres = (torch.arange(size, device=images.device) + 0.5) * (2 / size) - 1
    y, x = centres[None, :, None], centres[None, None, :]
    cos, sin = torch.cos(angle), torch.sin(angle)
    crop_x, crop_y = cos * x - sin * y, sin * x + cos * y
    inside = (crop_x.abs() <= 1) & (crop_y.abs() <= 1)
    crop_x = torch.where(flip, -crop_x, crop_x)
    grid = torch.stack(
        (
            (2 * left + across * (crop_x + 1)) / width - 1,
            (2 * top + down * (crop_y + 1)) / height - 1,
        ),
        dim=3,
    )
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    sampled = sampled * inside[:, None]
    return sampled if fills is None else sampled + fills[:, None, None, None] * ~inside[:, None]


def _to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """Equal-sized (H, W, 3) arrays → (B, 3, H, W) uint8, without copying the channels about."""
    stacked = pictures if isinstance(pictures, np.ndarray) else np.stack(pictures)
    return torch.from_numpy(np.ascontiguousarray(stacked)).permute(0, 3, 1, 2)
