"""Class activation maps (Zhou et al. 2016, arXiv:1512.04150), as heatmaps over the picture.

A network that ends in global average pooling and one linear layer needs no gradients for this: the logit of a class is the mean,
over positions, of its weights times the last feature maps. The values before the mean are what each position contributes. The
mean of all classes' weights is subtracted first: softmax does not depend on it, and it would only show where there is an object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Box = tuple[float, float, float, float]

# Nine stops of matplotlib's "inferno" (Smith & van der Walt 2015): lightness increases uniformly from black to pale
# yellow, so that it is readable with colour blindness and in greyscale.
INFERNO = (
    (0, 0, 4),
    (33, 12, 74),
    (86, 16, 110),
    (137, 34, 106),
    (187, 55, 84),
    (227, 89, 50),
    (249, 140, 10),
    (249, 201, 50),
    (252, 255, 164),
)
# Opacity of the colours at the lowest and highest activation.
OPACITY = (0.35, 0.65)


def class_activation(maps: Tensor, weight: Tensor, shares: Tensor) -> Tensor:
    """The contribution of each position to an answer.

    Args:
        maps: (N, F, h, w), the feature maps before the pooling.
        weight: (C, F), of the last layer.
        shares: (N, C), with sum 1, the weight of each class. A single 1 gives that class's map, whose mean is its logit minus
            the mean logit, without biases; for a fruit type they are the probabilities of its varieties, scaled.

    Returns:
        (N, h, w), of any sign and scale.
    """
    return torch.einsum("nfhw,nf->nhw", maps, shares @ (weight - weight.mean(dim=0)))


@dataclass(frozen=True)
class ActivationMap:
    """A class activation map, and the part of the picture that it covers."""

    activation: np.ndarray
    """(h, w) float32, from :func:`class_activation`."""
    box: Box
    """The part that was the network's input: (left, top, right, bottom) in pixels of the reduced picture."""
    height: int
    """The size of the picture as reduced by :func:`fruitvision.data.read.picture.load_pixels`."""
    width: int

    def overlay(self, picture: Image.Image) -> Image.Image:
        """The heatmap over the whole ``picture``, at its size; 0 outside the network's input."""
        heat = Image.new("L", picture.size, 0)
        left, top, right, bottom = (round(edge) for edge in self.box_in(*picture.size))
        size = max(right - left, 1), max(bottom - top, 1)
        heat.paste(Image.fromarray(_scaled(self.activation)).resize(size, Image.Resampling.BICUBIC), (left, top))
        return blend(picture, heat)

    def box_in(self, width: int, height: int) -> Box:
        """The part that was the network's input, in pixels of the picture before it was reduced.

        Reducing scales both sides equally, and crops a very long picture to its center.
        """
        scale = min(height, width) / min(self.height, self.width)
        margin = max((width - self.width * scale) / 2, 0.0), max((height - self.height * scale) / 2, 0.0)
        left, top, right, bottom = self.box
        return (
            max(margin[0] + left * scale, 0.0),
            max(margin[1] + top * scale, 0.0),
            min(margin[0] + right * scale, width),
            min(margin[1] + bottom * scale, height),
        )


def blend(picture: Image.Image, heat: Image.Image) -> Image.Image:
    """Blend ``heat`` ("L", 0 .. 255, the picture's size) over an RGB ``picture``, with higher opacity where it is higher."""
    colours = heat.copy()
    colours.putpalette(_PALETTE)
    low, high = (round(255 * opacity) for opacity in OPACITY)
    mask = heat.point([low + (high - low) * level // 255 for level in range(256)])
    return Image.composite(colours.convert("RGB"), picture, mask)


def _scaled(activation: np.ndarray) -> np.ndarray:
    """Any numbers → uint8 from the minimum, 0, to the maximum, 255; a constant is 255."""
    activation = activation.astype(np.float64)
    low, spread = activation.min(), np.ptp(activation)
    scaled = (activation - low) / spread if spread > 1e-9 * max(abs(low), 1.0) else np.ones_like(activation)
    return np.round(scaled * 255).astype(np.uint8)


def _palette(stops: tuple[tuple[int, int, int], ...]) -> list[int]:
    """A palette of 256 colours (768 numbers), interpolated between the stops."""
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(np.linspace(0, 1, 256), places, [stop[c] for stop in stops]) for c in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(int).ravel().tolist()


_PALETTE = _palette(INFERNO)
