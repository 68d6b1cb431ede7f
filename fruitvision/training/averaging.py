"""Weight averaging of networks that were fine-tuned from the same weights: model soups, and WiSE-FT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fruitvision.errors import ConfigError
from fruitvision.models.networks import Network


def average_weights(network: nn.Module, others: Sequence[nn.Module], name: str) -> None:
    """Set ``network`` to the mean of its and the ``others``' weights and running statistics; counters stay.

    A uniform model soup (Wortsman et al. 2022, arXiv:2203.05482). Raises ConfigError "average-differs" where shapes differ;
    ``name`` is what the error calls the others.
    """
    own, theirs = network.state_dict(), [other.state_dict() for other in others]
    shapes = {key: value.shape for key, value in own.items()}
    if any({key: value.shape for key, value in one.items()} != shapes for one in theirs):
        raise average_error(name)
    with torch.no_grad():
        for key, value in own.items():
            if value.is_floating_point():
                value.copy_(torch.stack([value, *(one[key].to(value) for one in theirs)]).mean(dim=0))


def interpolate_trunk(network: Network, start: Mapping[str, Tensor], share: float) -> None:
    """Interpolate the trunk of ``network`` with the weights ``start``, which count by ``share`` (0..1).

    The fine-tuned weights and those they started from do better together on photos of unseen sources than either alone
    (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903). The last layer is left; it has to be fitted to the new trunk.
    """
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point() and not key.startswith(network.head_prefix):
                value.lerp_(start[key].to(value), share)


def average_error(name: str) -> ConfigError:
    """The weights of ``name`` do not fit this run's network."""
    return ConfigError("average-differs", name=name)
