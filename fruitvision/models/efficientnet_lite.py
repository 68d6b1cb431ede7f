"""EfficientNet-Lite: EfficientNet (Tan & Le 2019, arXiv:1905.11946) with ReLU6 and without squeeze-and-excitation.

These are timm's ``tf_efficientnet_lite0`` to ``lite4`` with the same parameter names, so that weights are interchangeable. Classify's
default network is one of them, and importing timm, which imports torchvision, takes longer than importing torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

SCALES = {
    "tf_efficientnet_lite0": (1.0, 1.0),
    "tf_efficientnet_lite1": (1.0, 1.1),
    "tf_efficientnet_lite2": (1.1, 1.2),
    "tf_efficientnet_lite3": (1.2, 1.4),
    "tf_efficientnet_lite4": (1.4, 1.8),
}
"""Name → the factors by which its stages are wider and deeper than those of Lite0."""
_STAGES = (
    # blocks, kernel size, stride of the first block, expansion, output channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, FEATURES = 32, 1280
"""The channels of the first and the last convolution, which are not scaled."""
EPS = 1e-3
"""The eps of batch norm in TensorFlow."""


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Tensor:
    """Zero-pad (N, C, H, W) as TensorFlow's "SAME": the larger half is below and on the right."""
    pads = []
    for length, size, step, spread in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], dilation[::-1], strict=True):
        missing = max((-(-length // step) - 1) * step + (size - 1) * spread + 1 - length, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads) if any(pads) else x


class Conv2dSame(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, see :func:`pad_same`; (N, C, H, W) → (N, O, ⌈H / stride⌉, ⌈W / stride⌉)."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(pad_same(x, self.kernel_size, self.stride, self.dilation), self.weight, self.bias)


class BatchNormAct2d(nn.BatchNorm2d):
    """Batch norm followed by an activation ``act``."""

    def __init__(self, channels: int, *, act: bool = True) -> None:
        super().__init__(channels, eps=EPS)
        self.act: nn.Module = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False)
    return Conv2dSame(in_channels, out_channels, kernel, stride, groups=groups, bias=False)


class DepthwiseSeparableConv(nn.Module):
    """A depthwise and a 1×1 convolution, with a skip connection if the shape does not change."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _conv(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.bn1 = BatchNormAct2d(in_channels)
        self.conv_pw = _conv(in_channels, out_channels, 1)
        self.bn2 = BatchNormAct2d(out_channels, act=False)
        self.has_skip = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H / stride, W / stride)."""
        found = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return found + x if self.has_skip else found


class InvertedResidual(nn.Module):
    """A 1×1 expansion, a depthwise convolution and a 1×1 projection (Sandler et al. 2018, arXiv:1801.04381), with a skip connection
    if the shape does not change."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = in_channels * expansion
        self.conv_pw = _conv(in_channels, middle, 1)
        self.bn1 = BatchNormAct2d(middle)
        self.conv_dw = _conv(middle, middle, kernel, stride, groups=middle)
        self.bn2 = BatchNormAct2d(middle)
        self.conv_pwl = _conv(middle, out_channels, 1)
        self.bn3 = BatchNormAct2d(out_channels, act=False)
        self.has_skip = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H / stride, W / stride)."""
        found = self.bn3(self.conv_pwl(self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))))
        return found + x if self.has_skip else found


class EfficientNetLite(nn.Module):
    """An EfficientNet-Lite with random weights; ``name``: a key of ``SCALES``."""

    def __init__(self, name: str, num_classes: int) -> None:
        super().__init__()
        wider, deeper = SCALES[name]
        self.conv_stem = _conv(3, STEM, 3, 2)
        self.bn1 = BatchNormAct2d(STEM)
        stages, in_channels = [], STEM
        for number, (blocks, kernel, first_stride, expansion, channels) in enumerate(_STAGES):
            out_channels, members = _rounded(channels * wider), []
            scaled = blocks if number in (0, len(_STAGES) - 1) else math.ceil(blocks * deeper)
            for at in range(scaled):
                stride = first_stride if at == 0 else 1
                if expansion == 1:
                    members.append(DepthwiseSeparableConv(in_channels, out_channels, kernel, stride))
                else:
                    members.append(InvertedResidual(in_channels, out_channels, kernel, stride, expansion))
                in_channels = out_channels
            stages.append(nn.Sequential(*members))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = _conv(in_channels, FEATURES, 1)
        self.bn2 = BatchNormAct2d(FEATURES)
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.classifier = nn.Linear(FEATURES, num_classes)
        self.apply(_initialize)

    def get_classifier(self) -> nn.Linear:
        """The last layer: features to logits."""
        return self.classifier

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 1280, H / 32, W / 32)."""
        return self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(x)))))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, classes), the logits."""
        return self.classifier(self.global_pool(self.forward_features(x)))


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, or the next one if that is less than 90% of ``channels``."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _initialize(module: nn.Module) -> None:
    """Initialize as in TensorFlow's implementation: normal by fan-out for convolutions, uniform for the last layer."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))
    elif isinstance(module, nn.Linear):
        bound = 1 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)
