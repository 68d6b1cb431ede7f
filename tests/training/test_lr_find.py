"""The range test finds a rate that teaches, between those that do nothing and those that break."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fruitvision.data.load.loader import TrainLoader
from fruitvision.data.read.store import open_dataset
from fruitvision.errors import TrainingError
from fruitvision.models.networks import build_network
from fruitvision.runs.prepare.transforms import training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.training.lr_find import HIGHEST, LOWEST, range_test, suggestion
from fruitvision.training.state import TrainState


def setting_out(sample_set, **settings) -> tuple[TrainState, TrainLoader]:
    base = {"start": "scratch", "width": 8, "image_size": 32, "first_image_size": 32, "batch_size": 8, "device": "cpu"}
    config = TrainConfig.from_preset("fast", **{**base, **settings})
    dataset, store = open_dataset(sample_set)
    network = build_network(num_classes=4, norm=config.norm, width=8, seed=0)
    loader = TrainLoader(store, dataset.splits["train"], training_transform(config), config.batch_size)
    return TrainState(network, config, torch.device("cpu")), loader


def test_the_rates_rise_evenly_and_the_suggestion_lies_among_them(sample_set):
    told = []
    found = range_test(*setting_out(sample_set), steps=40, progress=lambda done, total: told.append(done))
    assert len(found.rates) == len(found.losses) >= 20 and told[:3] == [1, 2, 3]
    assert found.rates[0] == pytest.approx(LOWEST) and found.rates[-1] <= HIGHEST * 1.0001
    ratios = np.diff(np.log(found.rates))
    assert np.allclose(ratios, ratios[0])
    assert LOWEST <= found.suggested < 0.5 and all(math.isfinite(loss) for loss in found.losses)


def test_the_suggestion_is_where_the_loss_falls_most_steeply():
    rates = list(np.geomspace(1e-5, 1, 101))
    losses = [3 - 2 / (1 + math.exp(-4 * (math.log10(rate) + 3))) + (10 * (rate - 0.1) if rate > 0.1 else 0) for rate in rates]
    assert suggestion(rates, losses) == pytest.approx(1e-3, rel=0.3)


def test_a_network_that_breaks_at_once_is_said(sample_set):
    state, loader = setting_out(sample_set)
    with torch.no_grad():
        state.network.fc.bias.fill_(float("nan"))
    with pytest.raises(TrainingError) as caught:
        range_test(state, loader, steps=20)
    assert caught.value.code == "range-too-short"


def test_what_a_run_keeps_frozen_or_adds_to_the_loss_the_range_test_does_too(sample_set):
    state, loader = setting_out(sample_set)
    state.frozen_statistics = True
    before, asked = state.network.bn1.running_mean.clone(), []

    def regularizer(images, features):
        asked.append(len(features))
        return features.square().mean()

    range_test(state, loader, None, regularizer, steps=12)
    assert torch.equal(state.network.bn1.running_mean, before)
    assert len(asked) == 12
