"""What shares a mean; that the real layers agree is held in tests/models/test_norms.py."""

from __future__ import annotations

import numpy as np
import pytest

from fruitvision.comparison.layers.anatomy import count_sets, moments, normalize, sharing_sets
from fruitvision.errors import ConfigError


def test_batch_norm_normalizes_each_channel_on_its_own_over_n_h_and_w():
    sets = sharing_sets("batch", 3, 4, 2, 5)
    for channel in range(4):
        assert (sets[:, channel] == channel).all()


@pytest.mark.parametrize(
    ("norm", "same", "apart"),
    [
        ("layer", ((0, 0, 0, 0), (0, 3, 1, 4)), ((0, 0, 0, 0), (1, 0, 0, 0))),
        ("instance", ((0, 1, 0, 0), (0, 1, 1, 4)), ((0, 1, 0, 0), (0, 2, 0, 0))),
        ("group", ((0, 0, 0, 0), (0, 1, 1, 4)), ((0, 1, 0, 0), (0, 2, 0, 0))),
    ],
)
def test_who_shares_and_who_does_not(norm, same, apart):
    sets = sharing_sets(norm, 3, 4, 2, 5)
    assert sets[same[0]] == sets[same[1]] and sets[apart[0]] != sets[apart[1]]


def test_nothing_is_shared_without_a_norm():
    assert (sharing_sets("none", 2, 3, 2, 2) == -1).all()
    values = np.arange(24.0).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(normalize(values, "none"), values)


def test_moments_are_those_of_each_set():
    values = np.random.default_rng(0).normal(3, 2, (3, 4, 2, 5))
    mean, variance = moments(values, sharing_sets("batch", *values.shape))
    np.testing.assert_allclose(mean, values.mean((0, 2, 3)))
    np.testing.assert_allclose(variance, values.var((0, 2, 3)))


def test_an_unknown_norm_is_said():
    with pytest.raises(ConfigError):
        sharing_sets("bach", 1, 1, 1, 1)


@pytest.mark.parametrize(("norm", "means"), [("batch", 64), ("layer", 32), ("instance", 2048), ("group", 1024), ("none", 0)])
def test_the_means_of_a_real_layer_are_counted(norm, means):
    assert count_sets(norm, 32, 64, 24, 24) == means
    sets = np.unique(sharing_sets(norm, 4, 8, 3, 3))
    assert count_sets(norm, 4, 8, 3, 3) == len(sets[sets >= 0])
