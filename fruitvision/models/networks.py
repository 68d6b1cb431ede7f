"""The networks: ResNet18 with any norm, and other architectures by their timm names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fruitvision.compat import import_timm
from fruitvision.errors import ConfigError
from fruitvision.models import ARCHITECTURES, OWN, RESNET18
from fruitvision.models.efficientnet_lite import SCALES, EfficientNetLite
from fruitvision.models.norms import EPS, get_norm

TRUNK_PARAMETERS = {RESNET18: 11_176_512, "tf_efficientnet_lite0": 3_371_008, "tf_efficientnet_lite2": 4_811_072}
"""Not counted on torch's "meta" device: initializing weights there imports torch._dynamo and SymPy, a second for each start."""


class NetworkOutput(NamedTuple):
    """A network's output for a batch of N pictures."""

    logits: Tensor
    """(N, classes)"""
    features: Tensor
    """(N, F): the output of the last pooling, the head's input."""
    maps: Tensor
    """(N, F, h, w): the feature maps before pooling, for class activation maps."""


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut, which is a 1×1 convolution if the shape changes (He et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm_layer: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = norm_layer(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = norm_layer(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), norm_layer(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)).add_(shortcut))


class ResNet18(nn.Module):
    """ResNet18 (He et al. 2016) with a choice of norm and of width.

    With ``width=64`` and batch norm it has the parameters of torchvision's, under the same names; importing torchvision would delay
    the start of the app by a second. There are ``width`` channels after the stem and 8 × ``width`` before the head.
    """

    def __init__(self, num_classes: int, norm_layer: Callable[[int], nn.Module], width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._layer(width, width, 1, norm_layer)
        self.layer2 = self._layer(width, width * 2, 2, norm_layer)
        self.layer3 = self._layer(width * 2, width * 4, 2, norm_layer)
        self.layer4 = self._layer(width * 4, width * 8, 2, norm_layer)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width * 8, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _layer(in_channels: int, out_channels: int, stride: int, norm_layer: Callable[[int], nn.Module]) -> nn.Sequential:
        return nn.Sequential(
            BasicBlock(in_channels, out_channels, stride, norm_layer), BasicBlock(out_channels, out_channels, 1, norm_layer)
        )

    head_prefix = "fc."

    @property
    def head(self) -> nn.Linear:
        """The last layer: features to logits."""
        return self.fc

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The modules of each stage of the trunk, the stem first."""
        return ((self.conv1, self.bn1), (self.layer1,), (self.layer2,), (self.layer3,), (self.layer4,))

    def forward_maps(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 8 × width, H / 32, W / 32)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> NetworkOutput:
        maps = self.forward_maps(x)
        features = torch.flatten(self.avgpool(maps), 1)
        return NetworkOutput(self.fc(features), features, maps)


class ChannelAffine(nn.Module):
    """``x * weight + bias``, one pair per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class WeightStandardizedConv2d(nn.Conv2d):
    """A convolution whose weight has zero mean and unit variance over each output channel's fan-in."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) * torch.rsqrt(variance + EPS)
        # Divided by the square root of the fan-in, so that the output keeps the input's variance (Brock et al. 2021, arXiv:2101.08692).
        weight = weight * self.weight[0].numel() ** -0.5
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def standardize_weights(network: nn.Module) -> None:
    """Replace every convolution of ``network`` by a weight-standardized one with the same weights, in place."""
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.Conv2d:
                standardized = WeightStandardizedConv2d(**conv2d_arguments(child), bias=child.bias is not None, device="meta")
                standardized.weight, standardized.bias = child.weight, child.bias
                setattr(module, name, standardized)


def conv2d_arguments(conv: nn.Conv2d) -> dict[str, Any]:
    """The constructor arguments of a convolution, except the bias."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    return {name: getattr(conv, name) for name in names}


class TimmNetwork(nn.Module):
    """A network of timm (https://github.com/huggingface/pytorch-image-models), with its own norm.

    EfficientNet-Lite is this package's own implementation; for any other network, timm is imported. Raises ConfigError if timm has no
    such network, or if its head is not average pooling and one linear layer, as class activation maps and teaching require.
    """

    def __init__(self, name: str, num_classes: int) -> None:
        super().__init__()
        if name in SCALES:
            self.trunk: Any = EfficientNetLite(name, num_classes)
        else:
            timm = import_timm()
            if not timm.is_model(name):
                raise unknown_architecture(name)
            self.trunk = timm.create_model(name, num_classes=num_classes)
            if not self._has_linear_head():
                raise ConfigError("unsupported-architecture", name=name, other=ARCHITECTURES[1])
        self.head_prefix = next(f"trunk.{n}." for n, module in self.trunk.named_modules() if module is self.head)

    @property
    def head(self) -> nn.Linear:
        """The last layer: features to logits."""
        return self.trunk.get_classifier()

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The modules of each stage of the trunk, the stem first; empty if timm does not name the network's stages."""
        blocks = getattr(self.trunk, "blocks", None) or getattr(self.trunk, "stages", None)
        if not isinstance(blocks, nn.Sequential):
            return ()
        stem = tuple(module for name, module in self.trunk.named_children() if name in ("conv_stem", "stem", "bn1"))
        return (stem, *((block,) for block in blocks))

    def forward(self, x: Tensor) -> NetworkOutput:
        maps = self.trunk.forward_features(x)
        features = self.trunk.global_pool(maps)
        return NetworkOutput(self.head(features), features, maps)

    @torch.no_grad()
    def _has_linear_head(self) -> bool:
        if not isinstance(self.head, nn.Linear) or not hasattr(self.trunk, "global_pool"):
            return False
        picture = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
        self.eval()
        try:
            output, whole = self(picture), self.trunk(picture)
        except (RuntimeError, AssertionError, ValueError, TypeError):
            return False
        finally:
            self.train()
        pooled = output.maps.ndim == 4 and output.maps.shape[1] == self.head.in_features
        return (
            pooled
            and torch.allclose(output.maps.mean(dim=(2, 3)), output.features, atol=1e-5)
            and torch.allclose(output.logits, whole, atol=1e-5)
        )


def unknown_architecture(name: str) -> ConfigError:
    """The error for an architecture that neither this package nor timm has."""
    names = ", ".join(ARCHITECTURES)
    return ConfigError("unknown-architecture", name=name, names=names)


Network = ResNet18 | TimmNetwork


def build_network(
    architecture: str = RESNET18, *, num_classes: int, norm: str = "batch", width: int = 64, seed: int | None = None
) -> Network:
    """Build a network with random weights.

    The same ``seed`` gives the same convolution and head weights with every norm, since no norm draws random numbers. Raises
    ConfigError for an unknown architecture or norm, or a norm that the architecture does not support.
    """
    if architecture != RESNET18 and norm != OWN:
        raise ConfigError("norm-not-offered", architecture=architecture, norm=norm)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        if architecture != RESNET18:
            return TimmNetwork(architecture, num_classes)
        chosen = get_norm(norm)
        network = ResNet18(num_classes, chosen.build, width)
    if chosen.standardizes_weights:
        standardize_weights(network)
    return network


def parameter_count(architecture: str, *, num_classes: int, width: int = 64) -> int:
    """The approximate number of parameters of such a network, without building it. Raises ConfigError for an unknown architecture."""
    if architecture == RESNET18:
        return TRUNK_PARAMETERS[RESNET18] * width**2 // 64**2 + 8 * width * num_classes
    if architecture in TRUNK_PARAMETERS:
        return TRUNK_PARAMETERS[architecture] + 1281 * num_classes
    timm = import_timm()
    if not timm.is_model(architecture):
        raise unknown_architecture(architecture)
    with torch.device("meta"):  # shapes alone
        return count_parameters(timm.create_model(architecture, num_classes=num_classes))


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
