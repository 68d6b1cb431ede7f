"""Depthwise convolutions with a fast backward pass on a CPU in bfloat16.

oneDNN (3.12, in torch 2.13) has no fast kernel there for the weight gradient of a 5 × 5 depthwise convolution, nor for any gradient
of a strided one: they take 60 to 120 ms, against 2 ms for the forward pass, and two thirds of a training step of an
EfficientNet-Lite. Here the same gradients are computed by fast kernels: for a 5 × 5 window from the four 3 × 3 windows in its
corners, and for a strided convolution in float32.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fruitvision.models.efficientnet_lite import pad_same
from fruitvision.models.networks import conv2d_arguments
from fruitvision.models.prepacked import is_same_padded

_gradients = torch.ops.aten.convolution_backward


class _Depthwise(torch.autograd.Function):
    """conv2d(x, weight, stride, padding, groups=channels) with its two gradients; neither bias nor dilation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad[:2]
        where = [ctx.padding] * 2, [1, 1], False, [0, 0], len(weight)
        if ctx.stride != 1:
            found = _gradients(grad.float(), x.float(), weight.float(), None, [ctx.stride] * 2, *where, [for_x, for_weight, False])
            of_x, of_weight = (None if one is None else one.to(x.dtype) for one in found[:2])
            return of_x, of_weight, None, None
        of_x = _gradients(grad, x, weight, None, [1, 1], *where, [True, False, False])[0] if for_x else None
        return of_x, _of_window(grad, x, weight, ctx.padding) if for_weight else None, None, None


def _of_window(grad: Tensor, x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """The gradient of a 5 × 5 ``weight``, assembled from those of 3 × 3 windows on shifted parts of ``x``."""
    height, width = grad.shape[2:]
    padded, found = F.pad(x, (padding,) * 4), torch.empty_like(weight)
    corner = weight.new_zeros(len(weight), 1, 3, 3)
    for top in (0, 2):
        for left in (0, 2):
            part = padded[:, :, top : top + height + 2, left : left + width + 2].contiguous(memory_format=torch.channels_last)
            found[:, :, top : top + 3, left : left + 3] = _gradients(
                grad, part, corner, None, [1, 1], [0, 0], [1, 1], False, [0, 0], len(weight), [False, True, False]
            )[1]
    return found


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that takes over the weight of ``conv``, under the same name in ``state_dict``."""

    def __init__(self, conv: nn.Conv2d) -> None:
        with torch.device("meta"):
            super().__init__(**conv2d_arguments(conv), bias=False)
        self.weight = conv.weight
        self._same = is_same_padded(conv)

    def forward(self, x: Tensor) -> Tensor:
        if self._same:
            x = pad_same(x, self.kernel_size, self.stride, self.dilation)
        if torch.is_grad_enabled() and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            if dtype == torch.bfloat16:
                return _Depthwise.apply(x.to(dtype), self.weight.to(dtype), self.stride[0], self.padding[0])
        return F.conv2d(x, self.weight, stride=self.stride, padding=self.padding, groups=self.groups)


def speed_up_depthwise(network: nn.Module) -> int:
    """Replace the depthwise convolutions of ``network`` that are slow to train on a CPU in bfloat16; returns how many.

    Outputs, parameters and their names do not change; gradients change only by rounding.
    """
    count = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if (conv := _slow_depthwise(child)) is not None:
                setattr(parent, name, DepthwiseConv2d(conv))
                count += 1
    return count


def _slow_depthwise(module: nn.Module) -> nn.Conv2d | None:
    """The module if it is a depthwise convolution with a slow backward pass, else None."""
    if not (type(module) is nn.Conv2d and isinstance(module.padding, tuple) or is_same_padded(module)):
        return None
    conv = cast(nn.Conv2d, module)
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    plain = conv.bias is None and conv.padding_mode == "zeros" and set(conv.dilation) == {1}
    square = len({*conv.kernel_size}) == len({*conv.stride}) == len({*conv.padding}) == 1
    return conv if depthwise and plain and square and (conv.stride[0] > 1 or conv.kernel_size[0] == 5) else None
