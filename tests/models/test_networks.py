"""torchvision's ResNet18, name for name; and other trunks by their names."""

from __future__ import annotations

import pytest
import torch

from fruitvision.compat import import_torchvision
from fruitvision.errors import ConfigError
from fruitvision.models.networks import build_network, count_parameters, parameter_count

torchvision = import_torchvision()


def test_full_width_with_batch_norm_is_torchvisions_resnet18():
    theirs, ours = torchvision.models.resnet18(num_classes=10).eval(), build_network(num_classes=10).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x).logits, theirs(x))


def test_a_network_gives_logits_features_and_maps_that_belong_together():
    network = build_network(num_classes=7, width=16).eval()
    with torch.inference_mode():
        logits, features, maps = network(torch.randn(3, 3, 96, 64))
        assert (logits.shape, features.shape, maps.shape) == ((3, 7), (3, 128), (3, 128, 3, 2))
        torch.testing.assert_close(maps.mean(dim=(2, 3)), features)
        torch.testing.assert_close(network.head(features), logits)


def test_another_trunk_gives_timms_outputs_and_maps_that_belong_together():
    network = build_network("tf_efficientnet_lite0", num_classes=7, norm="own", seed=3).eval()
    x = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        logits, features, maps = network(x)
        torch.testing.assert_close(logits, network.trunk(x))
        assert (features.shape, maps.shape) == ((2, 1280), (2, 1280, 3, 2))
        torch.testing.assert_close(maps.mean(dim=(2, 3)), features)
    assert network.head_prefix == "trunk.classifier."


def test_one_seed_gives_one_network():
    one, other = (build_network("tf_efficientnet_lite0", num_classes=3, norm="own", seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("architecture", "norm", "code"),
    [
        ("resnet99", "own", "unknown-architecture"),
        ("tf_efficientnet_lite0", "group", "norm-not-offered"),
        ("vit_tiny_patch16_224", "own", "unsupported-architecture"),
        ("mobilenetv3_small_050", "own", "unsupported-architecture"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(architecture, norm, code):
    with pytest.raises(ConfigError) as caught:
        build_network(architecture, num_classes=3, norm=norm)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("architecture", "width"),
    [("resnet18", 8), ("resnet18", 64), ("tf_efficientnet_lite0", 64), ("tf_efficientnet_lite2", 64), ("resnet26", 64)],
)
def test_how_large_a_network_is_can_be_told_without_making_it(architecture, width):
    norm = "batch" if architecture == "resnet18" else "own"
    made = count_parameters(build_network(architecture, num_classes=7, norm=norm, width=width))
    assert parameter_count(architecture, num_classes=7, width=width) == pytest.approx(made, rel=0.02)
