"""Each norm shares its statistics as it says, and differs from the others in nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fruitvision.comparison.layers.anatomy import moments, normalize, sharing_sets
from fruitvision.errors import ConfigError
from fruitvision.models.networks import build_network, count_parameters
from fruitvision.models.norms import EPS, NORMS, check_norm, get_norm, groups_for
from fruitvision.training.config import TrainConfig

SHAPE = (4, 8, 5, 6)


def layer(name: str, channels: int = SHAPE[1]) -> nn.Module:
    return NORMS[name].build(channels).train()


@pytest.mark.parametrize("name", NORMS)
def test_the_real_layer_gives_zero_mean_and_unit_variance_in_exactly_the_sets_that_anatomy_names(name):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)) * 3 + torch.arange(8.0)[:, None, None]
    with torch.no_grad():
        y = layer(name)(x).numpy()
    np.testing.assert_allclose(y, normalize(x.numpy(), name), atol=2e-5)
    if name != "none":
        mean, variance = moments(y, sharing_sets(name, *SHAPE))
        np.testing.assert_allclose(mean, 0, atol=1e-5)
        np.testing.assert_allclose(variance, 1, atol=1e-3)


@pytest.mark.parametrize(("name", "sets"), [("batch", 8), ("layer", 4), ("instance", 32), ("group", 16), ("group-ws", 16)])
def test_as_many_sets_share_as_the_axes_say(name, sets):
    assert len(np.unique(sharing_sets(name, *SHAPE))) == sets


@pytest.mark.parametrize("name", NORMS)
def test_every_norm_has_the_same_affine_parameters_at_the_same_values_and_the_same_eps(name):
    found = layer(name)
    assert torch.equal(found.weight, torch.ones(8)) and torch.equal(found.bias, torch.zeros(8))
    assert getattr(found, "eps", EPS) == 1e-5


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_says_whether_its_layer_keeps_averages(name):
    """The page counts them before torch is imported."""
    layer = get_norm(name).build(64)
    kept = sum(buffer.numel() for buffer in layer.buffers() if buffer.ndim)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 128 and kept == 128 * get_norm(name).running


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (128, 32), (16, 8), (8, 4), (4, 2), (3, 1), (6, 3), (2, 1)])
def test_groups_are_the_most_up_to_32_that_leave_two_channels_in_each(channels, groups):
    assert groups_for(channels) == groups


def test_one_seed_gives_the_same_convolutions_and_head_under_every_norm():
    def shared(name):
        network = build_network(num_classes=5, norm=name, width=8, seed=7)
        return {k: v for k, v in network.state_dict().items() if v.ndim == 4 or k.startswith("fc.")}

    first = shared("batch")
    assert len(first) > 20
    for name in NORMS:
        other = shared(name)
        assert all(torch.equal(first[key], other[key]) for key in first), name


def test_all_norms_have_as_many_parameters():
    counts = {count_parameters(build_network(num_classes=5, norm=name, width=8)) for name in NORMS}
    assert len(counts) == 1


def test_weight_standardization_standardizes_each_filter():
    network = build_network(num_classes=5, norm="group-ws", width=8, seed=0)
    with torch.no_grad():
        network.conv1.weight.mul_(50).add_(3)
        x = torch.randn(2, 3, 32, 32)
        before = network.conv1(x)
        network.conv1.weight.mul_(4).add_(-9)
        torch.testing.assert_close(network.conv1(x), before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "invariant"), [("batch", True), ("layer", True), ("instance", True), ("group", True), ("none", False)])
def test_the_scale_of_a_normalized_convolution_does_not_matter_but_to_its_gradient(name, invariant):
    """Why weight decay does not limit such a network, but turns its steps (van Laarhoven 2017, arXiv:1706.05350)."""
    torch.manual_seed(0)
    x, answer = torch.randn(4, 3, 12, 12), torch.randn(4, 8, 10, 10)
    results = []
    for scale in (1.0, 0.1):
        torch.manual_seed(1)
        convolution = nn.Conv2d(3, 8, 3, bias=False)
        with torch.no_grad():
            convolution.weight.mul_(scale * 10)
        y = layer(name)(convolution(x))
        (y * answer).sum().backward()
        results.append((y.detach(), convolution.weight.grad.norm().item()))
    (first, large), (second, small) = results
    assert torch.allclose(first, second, atol=1e-2) == invariant
    assert small / large == pytest.approx(10 if invariant else 1, rel=0.01)  # a tenth of the weight, ten times the gradient


AXES = {"N,H,W": (0, 2, 3), "C,H,W": (1, 2, 3), "H,W": (2, 3), "C": (1,), "N": (0,), "N,C,H,W": (0, 1, 2, 3)}


@pytest.mark.parametrize(
    ("name", "normalized"),
    [
        ("batch", {"N,H,W", "N,C,H,W"}),
        ("layer", {"C,H,W", "N,C,H,W"}),
        ("instance", {"H,W", "N,H,W", "C,H,W", "N,C,H,W"}),
        ("group", {"C,H,W", "N,C,H,W"}),
        ("group-ws", {"C,H,W", "N,C,H,W"}),
        ("none", set()),
    ],
)
def test_over_which_axes_a_random_tensor_has_zero_mean_and_unit_variance_and_over_which_not(name, normalized):
    """Whole sets put together are normalized too: the union of (H, W) is (N, H, W). No set is smaller than the norm's own."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(6, 8, 7, 9, generator=generator) * torch.rand(6, 8, 1, 1, generator=generator).mul(3).add(0.5)
    x = x + 4 * torch.randn(6, 8, 1, 1, generator=generator)
    with torch.no_grad():
        y = layer(name)(x).double()
    for axes, dim in AXES.items():
        mean, variance = y.mean(dim), y.var(dim, correction=0)
        is_normalized = mean.abs().max() < 1e-5 and (variance - 1).abs().max() < 1e-3
        assert is_normalized == (axes in normalized), axes
        if axes not in normalized:
            assert mean.abs().max() > 0.05 or (variance - 1).abs().max() > 0.05, axes
    groups = y.reshape(6, groups_for(8), -1)
    in_groups = groups.mean(2).abs().max() < 1e-5 and (groups.var(2, correction=0) - 1).abs().max() < 1e-3
    assert in_groups == (name in ("group", "group-ws", "instance"))


@pytest.mark.parametrize(
    ("norm", "settings", "code"),
    [
        ("batch", {"batch_size": 1, "image_size": 64}, "norm-needs-batch"),
        ("instance", {"batch_size": 8, "image_size": 32}, "norm-needs-area"),
    ],
)
def test_what_cannot_work_is_refused_before_training_with_the_reason(norm, settings, code):
    with pytest.raises(ConfigError) as caught:
        check_norm(norm, **settings)
    assert caught.value.code == code
    with pytest.raises(ConfigError):
        TrainConfig.from_preset("fast", norm=norm, **settings)


@pytest.mark.parametrize("size", [40, 48, 64])
def test_instance_norm_is_allowed_exactly_where_its_last_maps_have_an_area(size):
    check_norm("instance", batch_size=1, image_size=size)
    network = build_network(num_classes=3, norm="instance", width=8)
    assert network(torch.zeros(1, 3, size, size)).maps.shape[2:] == (2, 2)


def test_an_unknown_norm_names_those_there_are():
    with pytest.raises(ConfigError, match="batch, layer, instance"):
        build_network(num_classes=2, norm="btach")
