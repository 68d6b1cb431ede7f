"""What the panel says of a person's own picture is computed by real layers, and holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fruitvision.comparison.layers import norm_effect as touched
from fruitvision.comparison.layers.norm_effect import (
    compose_batch,
    composition_effects,
    moments_by_axes,
    norm_effect,
    norm_inputs,
    single_picture_difference,
)
from fruitvision.comparison.layers.shown import LAYERS
from fruitvision.errors import ConfigError
from fruitvision.models.norms import NORMS, get_norm

OWN_AXES = {"batch": "N,H,W", "layer": "C,H,W", "instance": "H,W", "group": "C/G,H,W", "group-ws": "C/G,H,W"}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("norm", OWN_AXES)
def test_a_norm_brings_the_numbers_of_its_own_sets_to_0_and_1(norm, layer):
    seen = norm_effect(norm, layer, compose_batch(None, 3, 0))
    mean, deviation = seen.moments(seen.after)
    varied = seen.moments(seen.before)[1] ** 2 > 1e-2  # ε leaves no trace in these
    assert varied.sum() > len(varied) / 2
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(deviation[varied], 1, atol=2e-3)


@pytest.mark.parametrize("norm", OWN_AXES)
def test_over_which_axes_the_result_is_normalized_and_over_which_it_is_not(norm):
    rows = {row.axes: row for row in moments_by_axes(norm_effect(norm, "fourth", compose_batch(None, 4, 0)).after)}
    whole = {axes for axes, row in rows.items() if row.normalized == row.count}
    # Sets put together of whole normalized ones are normalized too: of (H, W) everything but C alone is made.
    unions = {
        "batch": {"N,H,W", "N,C,H,W"},
        "layer": {"C,H,W", "N,C,H,W"},
        "group": {"C/G,H,W", "C,H,W", "N,C,H,W"},
        "group-ws": {"C/G,H,W", "C,H,W", "N,C,H,W"},
        "instance": {"H,W", "N,H,W", "C/G,H,W", "C,H,W", "N,C,H,W"},
    }
    assert whole == unions[norm]
    for axes in set(rows) - whole:
        assert rows[axes].normalized < rows[axes].count / 2


def test_other_pictures_beside_mine_change_what_batch_norm_makes_of_it_and_nothing_else():
    effects = composition_effects("stem", compose_batch(None, 4, 1), compose_batch(None, 4, 2))
    assert effects.pop("batch") > 0.05
    assert set(effects) == set(NORMS) - {"batch"} and max(effects.values()) < 1e-5


def test_in_use_the_pictures_beside_mine_do_not_matter_to_batch_norm_either():
    assert composition_effects("fourth", compose_batch(None, 4, 1), compose_batch(None, 4, 2), training=False)["batch"] < 1e-5


@pytest.mark.parametrize("layer", LAYERS)
def test_batch_norm_on_one_picture_is_instance_norm(layer):
    assert single_picture_difference(layer, compose_batch(None, 1, 0)[0]) < 1e-5


def test_batch_norm_moves_its_running_statistics_by_a_tenth_and_looking_leaves_no_trace():
    pictures = compose_batch(None, 4, 0)
    seen = norm_effect("batch", "stem", pictures)
    values = seen.before.transpose(1, 0, 2, 3).reshape(64, -1).astype(np.float64)
    expected = 0.9 * seen.running.mean + 0.1 * values.mean(1)
    np.testing.assert_allclose(seen.running.next_mean, expected, rtol=1e-3, atol=1e-5)
    # torch keeps the unbiased variance, and normalizes with the biased one
    expected = 0.9 * seen.running.variance + 0.1 * values.var(1, ddof=1)
    np.testing.assert_allclose(seen.running.next_variance, expected, rtol=1e-3)
    for training in (True, False):
        again = norm_effect("batch", "stem", pictures, training=training)
        np.testing.assert_array_equal(again.running.mean, seen.running.mean)
        np.testing.assert_allclose(again.running.next_mean, seen.running.next_mean, rtol=1e-6)
    assert norm_effect("group", "stem", pictures).running is None


def test_batch_norm_in_use_divides_by_the_statistics_that_it_keeps():
    seen = norm_effect("batch", "stem", compose_batch(None, 2, 0), training=False)
    kept = seen.running
    by_hand = (seen.before - kept.mean[:, None, None]) / np.sqrt(kept.variance[:, None, None] + 1e-5)
    np.testing.assert_allclose(seen.after, by_hand, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_what_comes_to_each_layer_is_what_comes_to_it_in_the_network_itself(norm):
    network, _ = touched._network(norm, True)
    arrived = {}
    for path in LAYERS.values():

        def note(module: nn.Module, given: tuple, path: str = path) -> None:
            arrived[path] = given[0].clone()

        network.get_submodule(path).register_forward_pre_hook(note)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        walked = dict(norm_inputs(network, images))
        network.forward_maps(images)
    touched._network.cache_clear()
    assert all(torch.equal(walked[path], arrived[path]) for path in LAYERS.values())


def test_the_convolutions_are_the_shipped_models_under_every_norm_and_first_weights_without_it(monkeypatch, shipped_checkpoint):
    pictures = compose_batch(None, 2, 0)
    seen = {norm: norm_effect(norm, "stem", pictures) for norm in ("batch", "layer")}
    assert seen["batch"].learned and np.array_equal(seen["batch"].before, seen["layer"].before)
    assert np.ptp(seen["batch"].scale) > 0 and np.ptp(seen["layer"].scale) == 0
    monkeypatch.setattr(touched, "shipped", lambda: [])
    for cached in (touched._network, touched._shipped_weights):
        cached.cache_clear()
    assert not norm_effect("batch", "stem", pictures).learned
    for cached in (touched._network, touched._shipped_weights):
        cached.cache_clear()


def test_mine_is_the_first_and_another_composition_changes_only_the_others():
    mine = np.full((80, 60, 3), 200, np.uint8)
    one, other = compose_batch(mine, 3, 1), compose_batch(mine, 3, 2)
    assert one[0] is mine and not np.array_equal(one[1], other[1])
    assert norm_effect("batch", "stem", one).pictures.shape == (3, 96, 96, 3)


def test_an_unknown_norm_is_said():
    with pytest.raises(ConfigError):
        norm_effect("bach", "stem", compose_batch(None, 1, 0))


def test_every_norm_that_there_is_can_be_looked_at():
    for norm in NORMS:
        assert np.isfinite(norm_effect(norm, "fourth", compose_batch(None, 2, 0)).after).all(), get_norm(norm).title
