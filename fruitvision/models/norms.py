"""Normalization layers by name, and the axes that each normalizes over.

All of them take a tensor of shape (N, C, H, W), use the same eps (1e-5) and have the same affine parameters, one weight and one bias
per channel, so that networks with different norms differ in nothing else.

To add a norm, decorate a function in this file; it then appears in every list of the program, in the drawing, in its numbers
and in studies, under its title and described by its docstring:

    @norm("position", shares="C", title="Layer norm over C alone")
    def position_norm(channels: int) -> nn.Module:
        '''Per sample and position, over the channels, as in ConvNeXt.'''
        ...

The page names and explains the norms before torch is imported, so that each function imports it by itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fruitvision.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

EPS = 1e-5
MAX_GROUPS = 32


@dataclass(frozen=True)
class Norm:
    """One normalization layer.

    ``shares`` names the axes of (N, C, H, W) over which elements share one mean and variance: "NHW" for batch norm,
    an empty string if nothing is normalized. ``grouped``: C is first split into groups. ``running``: the layer keeps running averages
    of each channel's mean and variance for inference. ``paper`` names who proposed it and when, and its number at arXiv.
    """

    name: str
    title: str
    build: Callable[[int], nn.Module]
    shares: str
    grouped: bool = False
    standardizes_weights: bool = False
    running: bool = False
    paper: tuple[str, str] = ("", "")

    @property
    def summary(self) -> str:
        """The first paragraph of the building function's docstring."""
        return " ".join((inspect.getdoc(self.build) or "").split("\n\n")[0].split())

    @property
    def uses_batch(self) -> bool:
        """Whether, in training, a picture's output depends on the other pictures of the batch."""
        return "N" in self.shares


NORMS: dict[str, Norm] = {}


def norm(
    name: str,
    *,
    shares: str,
    title: str,
    grouped: bool = False,
    standardizes_weights: bool = False,
    running: bool = False,
    paper: tuple[str, str] = ("", ""),
) -> Callable[[Callable[[int], nn.Module]], Callable[[int], nn.Module]]:
    """Register ``build(channels) -> nn.Module`` under ``name``."""

    def register(build: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
        NORMS[name] = Norm(name, title, build, shares, grouped, standardizes_weights, running, paper)
        return build

    return register


def get_norm(name: str) -> Norm:
    """The norm of that name. Raises ConfigError, which lists the names."""
    if name not in NORMS:
        names = ", ".join(NORMS)
        raise ConfigError("unknown-norm", name=name, names=names)
    return NORMS[name]


@norm("batch", shares="NHW", title="Batch norm", running=True, paper=("Ioffe & Szegedy 2015", "1502.03167"))
def batch_norm(channels: int) -> nn.Module:
    """Per channel, over N, H and W (Ioffe & Szegedy 2015, arXiv:1502.03167). Inference uses running averages."""
    from torch import nn

    return nn.BatchNorm2d(channels, eps=EPS, momentum=0.1)


@norm("layer", shares="CHW", title="Layer norm", paper=("Ba, Kiros & Hinton 2016", "1607.06450"))
def layer_norm(channels: int) -> nn.Module:
    """Per sample, over C, H and W (Ba et al. 2016, arXiv:1607.06450; as Wu & He 2018 apply it to convolutions).

    Not the per-pixel layer norm of ConvNeXt, which normalizes over C alone. It is GroupNorm with one group, which has affine
    parameters per channel as the other norms.
    """
    from torch import nn

    return nn.GroupNorm(1, channels, eps=EPS)


@norm("instance", shares="HW", title="Instance norm", paper=("Ulyanov, Vedaldi & Lempitsky 2016", "1607.08022"))
def instance_norm(channels: int) -> nn.Module:
    """Per sample and channel, over H and W (Ulyanov et al. 2016, arXiv:1607.08022), with affine parameters."""
    from torch import nn

    return nn.InstanceNorm2d(channels, eps=EPS, affine=True)


@norm("group", shares="CHW", title="Group norm", grouped=True, paper=("Wu & He 2018", "1803.08494"))
def group_norm(channels: int) -> nn.Module:
    """Per sample and group of channels, over the group, H and W (Wu & He 2018, arXiv:1803.08494)."""
    from torch import nn

    return nn.GroupNorm(groups_for(channels), channels, eps=EPS)


@norm(
    "group-ws",
    shares="CHW",
    title="Group norm + weight standardization",
    grouped=True,
    standardizes_weights=True,
    paper=("Qiao et al. 2019", "1903.10520"),
)
def group_norm_ws(channels: int) -> nn.Module:
    """Group norm behind convolutions with standardized weights (Qiao et al. 2019, arXiv:1903.10520)."""
    return group_norm(channels)


@norm("none", shares="", title="No normalization")
def no_norm(channels: int) -> nn.Module:
    """The affine parameters alone, without normalization."""
    from fruitvision.models.networks import ChannelAffine

    return ChannelAffine(channels)


def groups_for(channels: int) -> int:
    """The largest number of groups up to 32 that divides ``channels`` and leaves at least two channels in each."""
    fitting = [g for g in range(1, MAX_GROUPS + 1) if channels % g == 0 and channels // g >= 2]
    return max(fitting, default=1)


def check_norm(name: str, *, batch_size: int, image_size: int) -> None:
    """Raise ConfigError if this norm cannot work with these sizes.

    ``image_size`` is the side of the training pictures in pixels; a ResNet's last maps have a 32nd of it, rounded up.
    """
    found = get_norm(name)
    if found.uses_batch and batch_size < 2:
        raise ConfigError("norm-needs-batch", norm=name, batch_size=batch_size)
    if found.shares == "HW" and image_size <= 32:
        raise ConfigError("norm-needs-area", norm=name, image_size=image_size)
