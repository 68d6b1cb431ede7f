"""Depthwise convolutions that train quickly in bfloat16: the same outputs, names and gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fruitvision.models.depthwise import DepthwiseConv2d, speed_up_depthwise
from fruitvision.models.networks import build_network


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(5, 1, 2), (5, 2, 2), (3, 2, 1), (5, 1, 0), (3, 2, 0)])
def test_output_and_gradients_are_torchs_own(kernel, stride, padding):
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 16, kernel, stride, padding, groups=16, bias=False)
    network, quick = nn.Sequential(conv), nn.Sequential(copy.deepcopy(conv))
    assert speed_up_depthwise(quick) == 1 and isinstance(quick[0], DepthwiseConv2d)
    found = []
    for each in (network, quick):
        x = torch.linspace(-1, 1, 2 * 16 * 13 * 11).sin().view(2, 16, 13, 11).to(memory_format=torch.channels_last).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            output = each(x)
        output.float().square().sum().backward()
        found.append((output.float(), x.grad, next(each.parameters()).grad))
    for expected, other in zip(*found, strict=True):
        torch.testing.assert_close(other, expected, rtol=0.02, atol=0.02 * expected.abs().max().item())


def test_a_whole_network_keeps_its_names_and_its_answers():
    network = build_network("tf_efficientnet_lite0", num_classes=3, norm="own", seed=1).eval()
    quick = copy.deepcopy(network)
    assert speed_up_depthwise(quick) > 5
    assert list(quick.state_dict()) == list(network.state_dict())
    picture = torch.linspace(-1, 1, 3 * 96 * 96).view(1, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(quick(picture).logits, network(picture).logits)
    gradients = []
    for each in (network, quick):
        with torch.autocast("cpu", torch.bfloat16):
            logits = each(picture).logits
        logits.float().logsumexp(1).sum().backward()
        gradients.append(dict(each.named_parameters()))
    for name, expected in gradients[0].items():
        other = gradients[1][name].grad
        assert (other - expected.grad).norm() <= 0.03 * expected.grad.norm() + 1e-6, name


def test_what_is_quick_already_or_something_else_is_left_alone():
    network = nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.Conv2d(8, 16, 5, 2, 2, bias=False),
        nn.Conv2d(8, 8, 5, groups=8),
        nn.Conv2d(8, 8, 5, padding="same", groups=8, bias=False),
    )
    assert speed_up_depthwise(network) == 0
