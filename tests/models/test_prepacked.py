"""The network as it answers: the same outputs, in less time."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

import fruitvision
from fruitvision.models import prepacked as module
from fruitvision.models.networks import build_network
from fruitvision.models.prepacked import PrepackedConv2d, PrepackedNetwork, prepack


def lived(network: nn.Module) -> nn.Module:
    """With statistics and scales that training could have left."""
    torch.manual_seed(4)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
            nn.init.normal_(part.weight, 1, 0.2)
            nn.init.normal_(part.bias, 0, 0.2)
    return network.eval()


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "group", "none"])
def test_a_resnet_under_any_norm_answers_the_same_on_any_number_and_size(norm):
    _same(lived(build_network(num_classes=7, norm=norm, width=16, seed=1)))


def test_convolutions_that_compute_something_else_are_left_as_they_are():
    network = build_network(num_classes=7, norm="group-ws", width=16).eval()
    assert prepack(network, 64) is network


def test_another_trunk_answers_the_same():
    _same(lived(build_network("tf_efficientnet_lite0", num_classes=7, norm="own", seed=1)))


@torch.inference_mode()
def _same(network: nn.Module) -> None:
    ready = prepack(network, 64)
    assert isinstance(ready, PrepackedNetwork) and any(isinstance(part, PrepackedConv2d) for part in ready.modules())
    for x in (torch.randn(1, 3, 64, 64), torch.randn(5, 3, 64, 64), torch.randn(2, 3, 97, 130), torch.randn(2, 3, 128, 128)):
        for expected, found in zip(network(x), ready(x), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(part, PrepackedConv2d) for part in network.modules())


@pytest.mark.parametrize("shipped", ["fruits-360", "fruits-webcam"])
def test_the_shipped_networks_are_prepacked_and_faster(shipped):
    classifier = fruitvision.load(shipped)
    assert isinstance(classifier.inference_network, PrepackedNetwork)
    assert classifier.with_views("one").inference_network is classifier.inference_network
    side = classifier.config.transform.crop
    x, times = torch.randn(1, 3, side, side), {classifier.network: [], classifier.inference_network: []}
    with torch.inference_mode():
        torch.testing.assert_close(classifier.inference_network(x).logits, classifier.network(x).logits, atol=1e-4, rtol=1e-4)
        for _ in range(12):
            for network, taken in times.items():
                started = time.perf_counter()
                network(x)
                taken.append(time.perf_counter() - started)
    assert min(times[classifier.inference_network]) < 0.8 * min(times[classifier.network])


def test_a_network_that_would_answer_otherwise_is_left_as_it_is(monkeypatch):
    network = lived(build_network(num_classes=3, width=8, seed=1))
    monkeypatch.setattr(module, "fuse_conv_bn_eval", lambda conv, norm: nn.utils.fusion.fuse_conv_bn_eval(conv, lived(norm)))
    assert prepack(network, 32) is network


def test_without_onednn_or_convolutions_it_is_left_as_it_is(monkeypatch):
    no_convolutions = nn.Linear(3, 3).eval()
    assert prepack(no_convolutions, 32) is no_convolutions
    network = build_network(num_classes=3, width=8, seed=1).eval()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert prepack(network, 32) is network


def test_where_torch_has_these_operators_no_longer_it_is_left_as_it_is(monkeypatch):
    network = build_network(num_classes=3, width=8, seed=1).eval()
    monkeypatch.delattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    assert prepack(network, 32) is network
