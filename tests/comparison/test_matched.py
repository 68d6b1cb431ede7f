"""The trials of a study differ in their norm and in nothing else: weights, pictures, order, schedule, decay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fruitvision.comparison.study import StudyPlan, Trial
from fruitvision.models.networks import build_network
from fruitvision.models.norms import NORMS
from fruitvision.runs.config import RunConfig
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.training.engine import image_size
from fruitvision.training.optim import learning_rate
from fruitvision.training.state import TrainState

SIZES = (2, 8)


@pytest.fixture(scope="module")
def trials(sample_set) -> dict[tuple[str, int, int], Trial]:
    settings = {"width": 8, "image_size": 40, "epochs": 2}
    plan = StudyPlan.parse(
        {
            "data": str(sample_set),
            "norms": tuple(NORMS),
            "batch_sizes": SIZES,
            "seeds": (0, 1),
            "training": settings,
        }
    )
    return {(trial.norm, trial.batch_size, trial.seed): trial for trial in plan.trials()}


@pytest.fixture(scope="module")
def shown(trials, sample_set):
    """(norm, batch size, seed) → the batches of both epochs, as the run's own loader gives them."""

    def batches(trial: Trial) -> list:
        loader, _ = loaders(prepare(RunConfig(data=str(sample_set), training=trial.training)), trial.training)
        return [batch for epoch in (0, 1) for batch in loader.epoch(epoch, image_size(trial.training, epoch))]

    return {key: batches(trial) for key, trial in trials.items()}


def load_initial_weights(trial: Trial) -> dict[str, torch.Tensor]:
    """Convolutions and head; the norms have no random weights."""
    training = trial.training
    network = build_network(training.architecture, num_classes=4, norm=training.norm, width=training.width, seed=training.seed)
    return {name: value for name, value in network.state_dict().items() if value.ndim == 4 or name.startswith("fc.")}


def test_a_trial_differs_from_its_neighbours_in_the_norm_alone(trials):
    for (_, size, seed), trial in trials.items():
        differences = trial.training.differences(trials["batch", size, seed].training)
        assert set(differences) <= {"norm"}
    assert set(trials["batch", 2, 0].training.differences(trials["batch", 8, 1].training)) == {"batch_size", "seed"}


def test_trials_of_one_seed_begin_with_the_same_convolutions_and_head(trials):
    for seed in (0, 1):
        first = load_initial_weights(trials["batch", 2, seed])
        for (_, _, own), trial in trials.items():
            if own == seed:
                assert all(torch.equal(first[name], value) for name, value in load_initial_weights(trial).items()), trial.id
    assert not torch.equal(
        load_initial_weights(trials["batch", 2, 0])["conv1.weight"], load_initial_weights(trials["batch", 2, 1])["conv1.weight"]
    )


def test_trials_of_one_seed_see_the_same_augmented_pictures_in_the_same_order_whatever_the_norm(shown):
    for (norm, size, seed), batches in shown.items():
        for own, first in zip(batches, shown["batch", size, seed], strict=True):
            assert np.array_equal(own.rows, first.rows) and torch.equal(own.images, first.images), (norm, size, seed)


def test_the_order_is_the_same_for_every_batch_size_and_another_for_every_seed(shown):
    def order(size: int, seed: int) -> list[int]:
        return np.concatenate([batch.rows for batch in shown["batch", size, seed]]).tolist()

    assert order(2, 0) == order(8, 0) and order(2, 0) != order(2, 1)


def test_the_schedule_and_the_groups_that_decay_are_the_same(trials):
    def groups(trial: Trial) -> list[tuple[float, list[str]]]:
        training = trial.training
        network = build_network(training.architecture, num_classes=4, norm=training.norm, width=training.width, seed=training.seed)
        names = {parameter: name for name, parameter in network.named_parameters()}
        state = TrainState(network, training, torch.device("cpu"))
        return [(group["weight_decay"], [names[p] for p in group["params"]]) for group in state.optimizer.param_groups]

    first = trials["batch", 2, 0]
    for norm in NORMS:
        trial = trials[norm, 2, 0]
        assert groups(trial) == groups(first)
        for step in range(32):
            assert learning_rate(trial.training, step, 16) == learning_rate(first.training, step, 16)
    decayed = {name for decay, names in groups(first) if decay for name in names}
    assert decayed and not any(".bn" in name or name.startswith("bn") or name.endswith("bias") for name in decayed)
