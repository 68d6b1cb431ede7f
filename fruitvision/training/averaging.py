"""The mean of several networks' weights, where all began from the same ones (Wortsman et al. 2022, arXiv:2203.05482)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fruitvision.errors import ConfigError


def average_weights(network: nn.Module, others: Sequence[nn.Module], name: str) -> None:
    """Give ``network`` the even mean of its and the ``others``' weights and running statistics; counters stay its own.

    Raises ConfigError where they differ in shape; ``name`` is what the others are called in it.
    """
    own, theirs = network.state_dict(), [other.state_dict() for other in others]
    shapes = {key: value.shape for key, value in own.items()}
    if any({key: value.shape for key, value in one.items()} != shapes for one in theirs):
        raise different(name)
    with torch.no_grad():
        for key, value in own.items():
            if value.is_floating_point():
                value.copy_(torch.stack([value, *(one[key].to(value) for one in theirs)]).mean(dim=0))


def blend_trunk(network: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Give the trunk of ``network`` the mean of its weights and those of ``start``, which count by ``share`` (0..1).

    What was fine-tuned on few photographs and what it began from are better together on strangers' photographs than either
    (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903). The last layer stays as it is, and has to be fitted to the new trunk.
    """
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point() and not key.startswith(network.head_prefix):
                value.lerp_(start[key].to(value), share)


def different(name: str) -> ConfigError:
    """What can have no mean with this run's network."""
    return ConfigError("average-differs", name=name)
