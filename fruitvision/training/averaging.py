"""The mean of two networks' weights, where both began from the same ones (Wortsman et al. 2022, arXiv:2203.05482)."""

from __future__ import annotations

import torch
from torch import nn

from fruitvision.errors import ConfigError


def average_weights(network: nn.Module, other: nn.Module, name: str) -> None:
    """Give ``network`` the even mean of its and ``other``'s weights and running statistics; counters stay its own.

    Raises ConfigError where the two differ in shape; ``name`` is what the other one is called in it.
    """
    own, others = network.state_dict(), other.state_dict()
    if {key: value.shape for key, value in own.items()} != {key: value.shape for key, value in others.items()}:
        raise different(name)
    with torch.no_grad():
        for key, value in own.items():
            if value.is_floating_point():
                value.lerp_(others[key].to(value), 0.5)


def different(name: str) -> ConfigError:
    """What can have no mean with this run's network."""
    return ConfigError(
        "average-differs", f"The weights of {name} cannot be averaged with this run's: another network, norm, width or classes.",
        "Choose a run with the same architecture, norm, width, pictures, photos and pictures without fruit.", name=name,
    )  # fmt: skip
