"""Weights halfway between two networks."""

from __future__ import annotations

import pytest
import torch

from fruitvision.errors import ConfigError
from fruitvision.models.networks import build_network
from fruitvision.training.optim import average_weights


def network(seed: int, **shape):
    return build_network("resnet18", **{"num_classes": 3, "norm": "batch", "width": 8, "seed": seed, **shape})


def test_every_weight_and_statistic_is_the_mean_and_counters_stay():
    one, other, third = network(0), network(1), network(2)
    one.bn1.num_batches_tracked.fill_(7)
    other.bn1.running_mean.fill_(6.0)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    average_weights(one, [other, third], "others")
    for name, value in one.state_dict().items():
        all_three = (before[name], other.state_dict()[name], third.state_dict()[name])
        wanted = sum(all_three) / 3 if value.is_floating_point() else before[name]
        torch.testing.assert_close(value, wanted, msg=name)
    assert one.bn1.running_mean.eq(2).all() and one.bn1.num_batches_tracked == 7


@pytest.mark.parametrize("shape", [{"num_classes": 4}, {"width": 16}, {"norm": "group"}])
def test_networks_that_differ_have_no_mean_and_nothing_is_changed(shape):
    one = network(0)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    with pytest.raises(ConfigError, match="cannot be averaged") as caught:
        average_weights(one, [network(1), network(1, **shape)], "others")
    assert caught.value.code == "average-differs"
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
