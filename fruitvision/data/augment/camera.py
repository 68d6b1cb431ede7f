"""Camera simulation on a whole batch: exposure, colour cast, blur, noise and compression.

The ranges include webcams indoors, whose pictures are dim, with a colour cast and low saturation.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class CameraParams:
    """The parameters for one picture; a gain or gamma of 1 changes nothing."""

    gain: float
    gamma: float
    contrast: float
    saturation: float
    white_balance: tuple[float, float, float]
    gradient: tuple[float, float]
    """The horizontal and vertical falloff of light: the gain at the edges is 1 ± this."""
    blur: float
    """The size of the camera's pixels in pixels of the picture; 1 is sharp."""
    noise: float
    """Standard deviation, in 0..255."""
    jpeg: int
    """The JPEG quality; 0 for no compression."""


def random_camera(rng: np.random.Generator, strength: float = 1.0) -> CameraParams:
    """Draw random parameters; ``strength`` (0..1) scales every deviation from an ideal camera."""
    s = strength
    cast = np.exp(rng.normal(0, 0.08 * s, 3))
    dim, pale = rng.random() < 0.25, rng.random() < 0.3
    return CameraParams(
        gain=float(np.exp(s * (rng.uniform(-0.9, -0.2) if dim else rng.normal(0.03, 0.2)))),
        gamma=float(np.exp(rng.normal(0, 0.15 * s))),
        contrast=float(np.exp(s * rng.uniform(-0.4, 0.3))),
        saturation=float(np.exp(s * (rng.uniform(-0.8, -0.2) if pale else rng.normal(0.03, 0.15)))),
        white_balance=tuple((cast / cast.mean()).tolist()),
        gradient=tuple((s * rng.normal(0, 0.15, 2)).tolist()),
        blur=float(1 + s * rng.exponential(0.8)) if rng.random() < 0.4 else 1.0,
        noise=float(s * rng.exponential(5)) if rng.random() < 0.5 else 0.0,
        jpeg=int(rng.integers(25, 90)) if rng.random() < 0.3 * s else 0,
    )


def apply_camera(images: Tensor, shots: Sequence[CameraParams], rngs: Sequence[np.random.Generator]) -> Tensor:
    """Apply one camera to each picture: (B, 3, S, S) in 0..255 → the same; ``rngs`` draw the noise."""
    images = _defocus(images, [shot.blur for shot in shots])
    images = _light(images / 255, shots).mul_(255)
    for i, (shot, rng) in enumerate(zip(shots, rngs, strict=True)):
        if shot.noise:
            grain = torch.from_numpy(rng.standard_normal(images.shape[1:], dtype=np.float32))
            images[i].add_(grain, alpha=shot.noise).clamp_(0, 255)
    for i, shot in enumerate(shots):
        if shot.jpeg:
            images[i] = _compressed(images[i], shot.jpeg)
    return images


def _light(images: Tensor, shots: Sequence[CameraParams]) -> Tensor:
    size = images.shape[2]

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32)[:, None, None, None]

    centres = (torch.arange(size) + 0.5) * (2 / size) - 1
    across, down = column([s.gradient[0] for s in shots]), column([s.gradient[1] for s in shots])
    fall = 1 + across * centres[None, None, None, :] + down * centres[None, None, :, None]
    balance = torch.tensor([s.white_balance for s in shots], dtype=torch.float32)[:, :, None, None]
    images = images * (fall.clamp_(min=0.2) * balance * column([s.gain for s in shots]))
    grey = torch.einsum("bchw,c->bhw", images, torch.tensor(LUMA))[:, None]
    images = torch.lerp(grey.expand_as(images), images, column([s.saturation for s in shots]))
    middle = grey.mean(dim=(2, 3), keepdim=True)
    images = torch.lerp(middle.expand_as(images), images, column([s.contrast for s in shots]))
    return images.clamp_(0, 1).pow(column([s.gamma for s in shots]))


def _defocus(images: Tensor, blurs: Sequence[float]) -> Tensor:
    """Blur by reducing the resolution and enlarging again."""
    blurred = [i for i, blur in enumerate(blurs) if blur > 1.05]
    if not blurred:
        return images
    images, size = images.clone(), images.shape[2]
    for i in blurred:
        coarse = max(round(size / blurs[i]), 12)
        small = F.interpolate(images[i : i + 1], size=(coarse, coarse), mode="bilinear", antialias=True)
        images[i] = F.interpolate(small, size=(size, size), mode="bilinear")[0]
    return images


def _compressed(image: Tensor, quality: int) -> Tensor:
    buffer = io.BytesIO()
    pixels = image.round().byte().permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float()
