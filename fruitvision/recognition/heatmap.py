"""Where the network looked: class activation maps, laid over the picture.

A network that ends in global average pooling and one linear layer needs no gradients for this: the logit of a class
is the mean, over places, of that class's weights times the last maps. The map before the mean says how much each
place gave to the answer, exactly. What all classes' weights have in common is taken off first: softmax does not see
it, and it would only show where there is anything at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Box = tuple[float, float, float, float]

# Nine stops of matplotlib's "inferno" (Smith & van der Walt 2015): lightness grows evenly from black to pale yellow,
# so that the order of heat can be seen without telling colours apart, and survives a grey print.
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
# How far the colours cover the picture where the network looked least and most.
COVER = (0.35, 0.65)


def class_activation(maps: Tensor, weight: Tensor, shares: Tensor) -> Tensor:
    """How much each place speaks for an answer (Zhou et al. 2016, arXiv:1512.04150).

    Args:
        maps: (N, F, h, w), the last maps before the pooling.
        weight: (C, F), the last layer's.
        shares: (N, C), of the sum 1, how much each class counts in the answer. One 1 gives that class's own map, whose
            mean is how far its logit is above the mean logit, biases apart; for a fruit type they are its varieties'
            probabilities, scaled.

    Returns:
        (N, h, w), of any sign and scale.
    """
    return torch.einsum("nfhw,nf->nhw", maps, shares @ (weight - weight.mean(dim=0)))


@dataclass(frozen=True)
class Gaze:
    """What is kept of one answer to draw its heatmap later: some dozens of numbers."""

    activation: np.ndarray
    """(h, w) float32, as :func:`class_activation` gives it."""
    seen: Box
    """The part that the network saw: (left, top, right, bottom) in pixels of the reduced picture."""
    height: int
    """Of the reduced picture, as :func:`fruitvision.data.read.picture.load_pixels` gives it."""
    width: int

    def over(self, picture: Image.Image) -> Image.Image:
        """The heatmap over the whole ``picture``, in its size. What the network did not see stays cold."""
        heat = Image.new("L", picture.size, 0)
        left, top, right, bottom = (round(edge) for edge in self.box_in(*picture.size))
        size = max(right - left, 1), max(bottom - top, 1)
        heat.paste(Image.fromarray(_warmth(self.activation)).resize(size, Image.Resampling.BICUBIC), (left, top))
        return overlay(picture, heat)

    def box_in(self, width: int, height: int) -> Box:
        """The part that the network saw, in pixels of the picture before it was reduced.

        Reducing scales both sides alike, and cuts a very long picture to its middle.
        """
        scale = min(height, width) / min(self.height, self.width)
        beside = max((width - self.width * scale) / 2, 0.0), max((height - self.height * scale) / 2, 0.0)
        left, top, right, bottom = self.seen
        return (
            max(beside[0] + left * scale, 0.0),
            max(beside[1] + top * scale, 0.0),
            min(beside[0] + right * scale, width),
            min(beside[1] + bottom * scale, height),
        )


def overlay(picture: Image.Image, heat: Image.Image) -> Image.Image:
    """Lay ``heat`` ("L", 0 cold .. 255 hot, the picture's size) over an RGB ``picture``, stronger where it is hotter."""
    colours = heat.copy()
    colours.putpalette(_PALETTE)
    low, high = (round(255 * cover) for cover in COVER)
    mask = heat.point([low + (high - low) * level // 255 for level in range(256)])
    return Image.composite(colours.convert("RGB"), picture, mask)


def _warmth(activation: np.ndarray) -> np.ndarray:
    """Any numbers → uint8 from the least, 0, to the most, 255; all the same are all hot."""
    activation = activation.astype(np.float64)
    low, spread = activation.min(), np.ptp(activation)
    warmth = (activation - low) / spread if spread > 1e-9 * max(abs(low), 1.0) else np.ones_like(activation)
    return np.round(warmth * 255).astype(np.uint8)


def _palette(stops: tuple[tuple[int, int, int], ...]) -> list[int]:
    """256 colours (768 numbers) along the stops."""
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(np.linspace(0, 1, 256), places, [stop[c] for stop in stops]) for c in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(int).ravel().tolist()


_PALETTE = _palette(INFERNO)
