"""The evaluation transform: from uint8 pictures of any size to the network's input.

Pictures are uint8 arrays (H, W, 3), as in the image store; the result is a float batch (B, 3, S, S), normalized with ImageNet's mean
and standard deviation. The training transforms are in ``recipes.py`` and ``scene_recipes.py``.

Configurations hold a transform without needing torch, so functions that compute import it locally.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    from torch import Tensor

from fruitvision.errors import Fault

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TrainTransform = Callable[[Sequence[np.ndarray], Sequence[tuple[int, ...]], int], "Tensor"]
"""(pictures, one seed per picture, size S) → (B, 3, S, S)."""

Views = Literal["one", "mirror", "middle"]
"""Test-time augmentation: the picture alone; with its mirror image; with enlarged center crops."""
MIDDLE_SCALES = (1.0, 0.8)
MAX_PIXELS = 2**22
"""Limit on the pixels of all views of a picture; a run has 2 × 512² at most."""
WHITE = 232
"""A pixel with at least this value in all channels may be part of a white background."""
BORDER_SHARE = 0.5
"""The fraction of the border that must be white for a picture with a white background."""


class EvalTransform(BaseModel):
    """Resize the short side, crop the center, normalize: the same for validation, evaluation and inference.

    It may produce several views of a picture, whose probabilities are averaged: the mirror image (``views`` 2), enlarged center crops
    (``scales``), or both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: Annotated[int, Field(ge=8, le=2048)] = 256
    crop: Annotated[int, Field(ge=8, le=2048)] = 224
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    views: Annotated[int, Field(ge=1, le=2, description="1: the picture; 2: the picture and its mirror image, averaged.")] = 1
    scales: Annotated[
        tuple[float, ...],
        Field(min_length=1, max_length=8, description="Sides of the center crops that are averaged, as shares of the first one's."),
    ] = (1.0,)
    white_mirrored: Annotated[
        bool,
        Field(
            validation_alias=AliasChoices("white_mirrored", "white_once"),  # the field's earlier name
            description="Whether a picture with a white background, cropped to its fruit already, is mirrored and not enlarged.",
        ),
    ] = False

    @field_validator("scales")
    @classmethod
    def _from_whole_to_part(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value[0] != 1 or any(not 0.1 <= scale <= 1 for scale in value):
            raise Fault("scales")
        return value

    @model_validator(mode="after")
    def _is_bounded(self) -> EvalTransform:
        if self.crop**2 * self.num_views > MAX_PIXELS:
            raise Fault("too-many-pixels", views=self.num_views, crop=self.crop, most=MAX_PIXELS)
        return self

    @property
    def num_views(self) -> int:
        """The number of network inputs per picture."""
        return self.views * len(self.scales)

    def with_views(self, views: Views) -> EvalTransform:
        """The same transform with other test-time augmentation."""
        middle = views == "middle"
        return self.model_copy(
            update={"views": 2 if views == "mirror" else 1, "scales": MIDDLE_SCALES if middle else (1.0,), "white_mirrored": middle}
        )

    def enlarged(self, zoom: int) -> EvalTransform:
        """A transform with a single view of the same part of the picture, at ``zoom`` times the resolution."""
        return self.with_views("one").model_copy(update={"resize": self.resize * zoom, "crop": self.crop * zoom})

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 → (3, crop, crop) float32."""
        return self._normalize(self._crop(to_batch([pixels])))[0]

    def batch(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """B pictures of any sizes → (B × num_views, 3, crop, crop); the views of a picture are consecutive, the whole picture first."""
        import torch

        if len({p.shape for p in pictures}) == 1:
            views = self._scaled_views(to_batch(pictures))
        else:
            views = torch.cat([self._scaled_views(to_batch([p])) for p in pictures])
        images = self._normalize(views.flatten(0, 1))
        if self.views == 2:
            images = torch.stack((images, images.flip(3)), dim=1).flatten(0, 1)
        return images

    def _scaled_views(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 → (B, scales, 3, crop, crop) uint8."""
        import torch
        from torch.nn import functional as F

        views = [self._crop(images)]
        for scale in self.scales[1:]:
            left, top, right, bottom = self.crop_box(*images.shape[2:])
            across, down = (right - left) * (1 - scale) / 2, (bottom - top) * (1 - scale) / 2
            x0, y0, x1, y1 = round(left + across), round(top + down), round(right - across), round(bottom - down)
            part = images[:, :, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
            views.append(F.interpolate(part, size=(self.crop, self.crop), mode=self.interpolation, antialias=True))
        stacked = torch.stack(views, dim=1)
        if self.white_mirrored and stacked.shape[1] > 1 and (white := has_white_background(images)).any():
            whole = stacked[white][:, :1]
            both = torch.cat((whole, whole.flip(4)), dim=1)
            stacked[white] = both[:, torch.arange(stacked.shape[1]) % 2]
        return stacked

    def crop_box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The part of a height × width picture that is the network's input: (left, top, right, bottom) in pixels."""
        (new_h, new_w), top, left = self._geometry(height, width)
        across, down = width / new_w, height / new_h
        return left * across, top * down, (left + self.crop) * across, (top + self.crop) * down

    def _geometry(self, height: int, width: int) -> tuple[tuple[int, int], int, int]:
        # Rounded as in torchvision's Resize and CenterCrop.
        if height <= width:
            size = (self.resize, max(int(self.resize * width / height), self.resize))
        else:
            size = (max(int(self.resize * height / width), self.resize), self.resize)
        return size, round((size[0] - self.crop) / 2), round((size[1] - self.crop) / 2)

    def _crop(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 → (B, 3, crop, crop) uint8."""
        from torch.nn import functional as F

        size, top, left = self._geometry(*images.shape[2:])
        if tuple(images.shape[2:]) != size:
            images = F.interpolate(images, size=size, mode=self.interpolation, antialias=True)
        return images[:, :, top : top + self.crop, left : left + self.crop]

    def _normalize(self, images: Tensor) -> Tensor:
        return normalize(images, self.mean, self.std)


def has_white_background(images: Tensor) -> Tensor:
    """(B,) bool: which of the pictures (B, 3, H, W) in 0..255 have a white background, judged by their borders."""
    import torch

    border = torch.cat([images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]], dim=2)
    return (border >= WHITE).all(dim=1).float().mean(dim=1) >= BORDER_SHARE


def normalize(images: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> Tensor:
    """(B, 3, H, W) in 0..255 → normalized per channel; by default with ImageNet's mean and standard deviation."""
    import torch

    scale = torch.tensor([1 / (255 * s) for s in std], device=images.device)[:, None, None]
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images.device)[:, None, None]
    return torch.addcmul(shift, images.float(), scale)


def denormalize(images: Tensor) -> np.ndarray:
    """The inverse of :func:`normalize`: (B, 3, H, W) → (B, H, W, 3) uint8."""
    import torch

    std, mean = torch.tensor(IMAGENET_STD)[:, None, None], torch.tensor(IMAGENET_MEAN)[:, None, None]
    return ((images * std + mean) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def to_batch(pictures: Sequence[np.ndarray] | np.ndarray) -> Tensor:
    """Equal-sized (H, W, 3) uint8 arrays → (B, 3, H, W), without a copy if they are one array already."""
    import torch

    stacked = pictures if isinstance(pictures, np.ndarray) else np.stack(pictures)
    return torch.from_numpy(np.ascontiguousarray(stacked)).permute(0, 3, 1, 2)
