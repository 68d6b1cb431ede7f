"""The last layer's fit: its loss falls to the least, it can be held, and every picture is looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fruitvision.data.augment.recipes import no_augmentation
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.load.loader import EvalLoader, TrainLoader
from fruitvision.data.read.store import open_dataset
from fruitvision.models.networks import build_network
from fruitvision.runs.prepare.transforms import evaluation_transform, training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.training.distributed import World
from fruitvision.training.last_layer import EPOCHS, PLAIN_WEIGHT, Features, extract_features, refit


@pytest.fixture
def seen() -> Features:
    """Three kinds in eight features of very different sizes, as a trunk has them."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(300) % 3
    centres = torch.randn(3, 8, generator=draw)
    features = (centres[labels] + 0.3 * torch.randn(300, 8, generator=draw)) * torch.logspace(-3, 1, 8)
    return Features(features, labels, torch.full((300,), 1 / 300))


def accuracy(head: nn.Linear, seen: Features) -> float:
    return (head(seen.features).argmax(dim=1) == seen.labels).double().mean().item()


def fitted(seen: Features, penalty: float, membership=None) -> tuple[nn.Linear, list[float]]:
    torch.manual_seed(0)
    head = nn.Linear(8, 3)
    return head, list(refit(head, seen, membership, penalty))


def test_the_loss_falls_and_small_features_count_as_much_as_large_ones(seen):
    head, losses = fitted(seen, penalty=1e-4)
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.05
    assert accuracy(head, seen) > 0.99


def test_the_harder_it_is_held_the_less_it_moves(seen):
    torch.manual_seed(0)
    before = nn.Linear(8, 3).weight.detach()
    moved = [
        ((fitted(seen, penalty)[0].weight.detach() - before) * seen.features.std(dim=0)).norm().item() for penalty in (1e-4, 1e-2, 10.0)
    ]
    assert moved[0] > 1.5 * moved[1] > 15 * moved[2]


def test_a_label_that_means_several_classes_is_fitted_as_their_sum(seen):
    membership = torch.tensor([[True, False, False], [False, True, True]])
    types = Features(seen.features, (seen.labels > 0).long(), seen.weights)
    head, _ = fitted(types, 1e-4, membership)
    right = head(seen.features).softmax(dim=1) @ membership.float().T
    assert (right.argmax(dim=1) == types.labels).double().mean() > 0.99


def test_pictures_weigh_what_they_are_given(seen):
    wrong = Features(seen.features, (seen.labels + 1) % 3, torch.zeros(300))
    both = Features(*(torch.cat(pair) for pair in zip(seen, wrong, strict=True)))
    assert accuracy(fitted(both, 1e-4)[0], seen) > 0.99


def test_two_epochs_are_looked_at_and_the_pictures_as_evaluation_shows_them(sample_set):
    dataset, store = open_dataset(sample_set)
    config = TrainConfig.from_preset(
        "fast", start="scratch", width=8, image_size=32, first_image_size=32, batch_size=8, precision="float32"
    )
    network = build_network(num_classes=4, width=8, seed=0)
    split = dataset.splits["train"]
    train = TrainLoader(store, split, training_transform(config), 8)
    plain = EvalLoader(store, split, evaluation_transform(config))
    steps, counts = extract_features(network, train, plain, config, 32, torch.device("cpu")), []
    while True:
        try:
            counts.append(next(steps))
        except StopIteration as end:
            seen = end.value
            break
    count = len(split.labels)
    assert counts == list(range(1, EPOCHS * train.steps + len(plain) + 1))
    assert len(seen.labels) == (EPOCHS + 1) * count and seen.features.shape == (len(seen.labels), 64)
    assert seen.weights[:-count].sum() == pytest.approx(1) and seen.weights[-count:].sum() == pytest.approx(PLAIN_WEIGHT)
    expected = network.eval()(next(iter(plain)).images).features
    assert torch.allclose(seen.features[-count:][: len(expected)], expected, atol=1e-5)


@pytest.mark.parametrize("pictures", [32, 20])
def test_all_processes_yield_equally_often_however_many_batches_there_are(sample_set, monkeypatch, pictures):
    """Between two yields the processes ask each other whether to stop: one that yields once more would wait for ever."""
    config = TrainConfig.from_preset("fast", start="scratch", width=8, image_size=32, first_image_size=32, batch_size=16)
    dataset, store = open_dataset(sample_set)
    few = dataset.splits["train"].select(np.arange(32) < pictures)
    network = build_network(num_classes=4, width=8, seed=0)
    plain = EvalLoader(store, few, EvalTransform(resize=32, crop=32), batch_size=12)
    train = TrainLoader(store, few, no_augmentation(32, 32), 16)
    monkeypatch.setattr(World, "all_gather", lambda world, values: values)
    yields = []
    for rank in range(2):
        steps = extract_features(network, train, plain, config, 32, torch.device("cpu"), World(rank, 2))
        yields.append(len(list(steps)))
    assert yields[0] == yields[1]
