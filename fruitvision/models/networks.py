"""The networks: torchvision's ResNet18 under any norm, and where its first weights come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fruitvision.compat import import_torchvision
from fruitvision.data.download import fetch
from fruitvision.errors import CheckpointError, ConfigError
from fruitvision.models.norms import get_norm, standardize_weights

torchvision = import_torchvision()

ARCHITECTURES = ("resnet18",)
# The published file; its name carries the first digits of its SHA-256.
IMAGENET_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
IMAGENET_SHA256_PREFIX = "f37072fd"


class NetworkOutput(NamedTuple):
    """What a network says of a batch of N pictures."""

    logits: Tensor
    """(N, classes)"""
    features: Tensor
    """(N, F): the last pooling, what the head sees."""
    maps: Tensor
    """(N, F, h, w): the same before pooling, for heatmaps."""


class ResNet18(torchvision.models.ResNet):
    """torchvision's ResNet18 (He et al. 2016) with a choice of norm and of width.

    With ``width=64`` and batch norm it is torchvision's network, parameter for parameter and name for name. A narrower
    one has ``width`` channels behind the stem and 8 × ``width`` before the head.
    """

    def __init__(self, num_classes: int, norm_layer: Callable[[int], nn.Module], width: int = 64) -> None:
        nn.Module.__init__(self)  # ResNet's own __init__ knows one width only
        block = torchvision.models.resnet.BasicBlock
        self._norm_layer = norm_layer
        self.inplanes, self.dilation, self.groups, self.base_width = width, 1, 1, 64
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, width, 2)
        self.layer2 = self._make_layer(block, width * 2, 2, stride=2)
        self.layer3 = self._make_layer(block, width * 4, 2, stride=2)
        self.layer4 = self._make_layer(block, width * 8, 2, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width * 8, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def head(self) -> nn.Linear:
        """The last layer: features to logits."""
        return self.fc

    def forward_maps(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 8 × width, H / 32, W / 32)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> NetworkOutput:
        maps = self.forward_maps(x)
        features = torch.flatten(self.avgpool(maps), 1)
        return NetworkOutput(self.fc(features), features, maps)


def build_network(
    architecture: str = "resnet18", *, num_classes: int, norm: str = "batch", width: int = 64, seed: int | None = None
) -> ResNet18:
    """Build a network with fresh weights.

    One ``seed`` gives the same convolution and head weights under every norm, since no norm draws random numbers.
    Raises ConfigError for an unknown architecture or norm.
    """
    if architecture not in ARCHITECTURES:
        names = ", ".join(ARCHITECTURES)
        raise ConfigError(
            "unknown-architecture", f"There is no architecture called '{architecture}'.", f"Choose one of: {names}.",
            name=architecture, names=names,
        )
    chosen = get_norm(norm)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        network = ResNet18(num_classes, chosen.build, width)
    if chosen.standardizes_weights:
        standardize_weights(network)
    return network


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def load_trunk(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load every weight but the head's, strictly: a name or shape that does not fit is an error.

    Raises CheckpointError. The head stays as it was initialised, since its classes are others.
    """
    own = network.state_dict()
    head = {name for name in own if name.startswith("fc.")}
    given = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    missing = sorted(set(own) - head - set(given))
    unexpected = sorted(set(given) - set(own))
    other_shape = sorted(n for n in set(given) & set(own) if given[n].shape != own[n].shape)
    if missing or unexpected or other_shape:
        wrong = (missing + unexpected + other_shape)[0]
        raise CheckpointError(
            "weights-do-not-fit",
            f"The weights do not fit this network: {len(missing)} missing, {len(unexpected)} unknown and "
            f"{len(other_shape)} of another shape (the first: {wrong}).",
            "Use the architecture, norm and width that the weights were trained with.",
            missing=len(missing), unexpected=len(unexpected), other_shape=len(other_shape), first=wrong,
        )
    network.load_state_dict(given, strict=False)  # strict but for the head: checked above


def imagenet_weights(progress: Callable[[int, int | None], None] | None = None) -> dict[str, Tensor]:
    """torchvision's ImageNet weights for the full-width ResNet18 with batch norm.

    They are looked for where torch keeps its downloads, and fetched there when absent (45 MB). Raises DownloadError
    where there is no network.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET_URL.rsplit("/", 1)[1]
    if not path.exists():
        fetch(IMAGENET_URL, path, sha256=IMAGENET_SHA256_PREFIX, progress=progress)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            "weights-unreadable", f"The downloaded weights {path} cannot be read ({type(error).__name__}).",
            "Delete the file, so that it is fetched again.", path=str(path),
        ) from error


def imagenet_applies(architecture: str, norm: str, width: int) -> bool:
    """Whether published ImageNet weights exist for this network. Batch-norm weights never go into another norm."""
    return architecture == "resnet18" and norm == "batch" and width == 64
