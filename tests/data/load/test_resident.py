"""Pictures on a graphics card are augmented as they would be here. The card is the CPU where there is none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fruitvision.data.augment.recipes import RANDOM_NUMBERS, BatchedRecipe, resample
from fruitvision.data.augment.transforms import normalize
from fruitvision.data.load.loader import Shard, TrainLoader
from fruitvision.data.load.resident import MAX_MEMORY_SHARE, ResidentLoader
from fruitvision.data.read.store import open_dataset

RECIPE = BatchedRecipe(0.2, 0.5, 20)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="module")
def opened(sample_set):
    dataset, store = open_dataset(sample_set)
    return store, dataset.splits["train"]


def resident(opened, batch_size=5, **how) -> ResidentLoader:
    return ResidentLoader(*opened, RECIPE, batch_size, DEVICE, **how)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_batch_is_what_its_draws_make_of_the_pictures(opened, size):
    """Pictures of 16 are averaged first, each by as much as its own crop asks for."""
    store, split = opened
    numbers = np.random.default_rng([3, 1, 1]).random((len(split.rows), RANDOM_NUMBERS))
    for step, batch in enumerate(resident(opened, seed=3).epoch(1, size)):
        pictures = [store[row] for row in batch.rows]
        draws = RECIPE.draws(numbers[step * 5 : step * 5 + 5], *pictures[0].shape[:2])
        assert batch.images.device.type == DEVICE.type
        assert torch.allclose(batch.images.cpu(), normalize(resample(pictures, draws, size)), atol=1e-4)


def test_orders_and_labels_are_the_train_loaders(opened):
    for how in ({}, {"balanced": True}):
        theirs = TrainLoader(*opened, RECIPE, 5, seed=2, **how)
        for ours, other in zip(resident(opened, seed=2, **how).epoch(4, 32), theirs.epoch(4, 32), strict=True):
            assert ours.rows.tolist() == other.rows.tolist() and ours.labels.tolist() == other.labels.tolist()
            assert (ours.local_size, ours.global_size) == (other.local_size, other.global_size)


def test_an_augmentation_follows_from_seed_epoch_and_place_alone(opened):
    whole = torch.cat([batch.images for batch in resident(opened, batch_size=4).epoch(2, 32)])
    for size in (1, 7, 30):
        again = torch.cat([batch.images for batch in resident(opened, batch_size=size).epoch(2, 32)])
        assert torch.allclose(again, whole[: len(again)], atol=1e-5)
    assert torch.equal(next(resident(opened, batch_size=4).epoch(2, 32, 3)).images, whole[12:16])
    for other in (resident(opened, batch_size=4).epoch(3, 32), resident(opened, batch_size=4, seed=1).epoch(2, 32)):
        assert not torch.allclose(next(other).images, whole[:4], atol=0.1)


def test_processes_share_a_batch(opened):
    whole = list(resident(opened, batch_size=7).epoch(0, 32))
    shares = [list(resident(opened, batch_size=7).epoch(0, 32, shard=Shard(rank, 2))) for rank in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert torch.equal(first.images, batch.images[::2]) and torch.equal(second.images[: second.local_size], batch.images[1::2])
        assert first.local_size + second.local_size == first.global_size == len(batch.labels)


def test_only_pictures_of_one_size_with_room_for_them_are_kept_on_a_card(opened, monkeypatch):
    store, split = opened
    card, room = torch.device("cuda"), [10**9]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=room[0]))
    assert ResidentLoader.fits(store, split, card) and not ResidentLoader.fits(store, split, torch.device("cpu"))
    room[0] = int(3 * store.shapes[split.rows].prod(axis=1).sum() / MAX_MEMORY_SHARE) - 1
    assert not ResidentLoader.fits(store, split, card)
    room[0] = 10**9
    monkeypatch.setattr(store, "shapes", store.shapes + np.arange(len(store.shapes))[:, None])
    assert not ResidentLoader.fits(store, split, card)
