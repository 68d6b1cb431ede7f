"""Batches follow from (seed, epoch, step) alone, in this process and in one that was spawned."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch

from fruitvision.data.augment.recipes import BatchedRecipe
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.load.loader import EvalLoader, Source, TrainLoader
from fruitvision.data.read.store import open_dataset


@pytest.fixture(scope="module")
def opened(sample_set):
    return open_dataset(sample_set)


def loader(opened, batch_size=5, seed=0) -> TrainLoader:
    dataset, store = opened
    return TrainLoader(store, dataset.splits["train"], BatchedRecipe(0.3, 0.5, 20), batch_size, seed=seed)


def test_an_epoch_shows_every_picture_once_in_an_order_of_its_own(opened):
    batches = [list(loader(opened, batch_size=8).epoch(epoch, 32)) for epoch in (0, 1)]
    rows = [np.concatenate([batch.rows for batch in epoch]) for epoch in batches]
    assert sorted(rows[0]) == sorted(rows[1]) == sorted(opened[0].splits["train"].rows)
    assert (rows[0] != rows[1]).any()
    first = batches[0][0]
    assert first.images.shape == (8, 3, 32, 32) and first.images.dtype == torch.float32


def test_an_epoch_can_be_taken_up_at_any_step(opened):
    whole = list(loader(opened).epoch(3, 32))
    for start in range(len(whole)):
        rest = list(loader(opened).epoch(3, 32, start))
        assert len(rest) == len(whole) - start
        assert torch.equal(rest[0].images, whole[start].images) and torch.equal(rest[0].labels, whole[start].labels)


def test_labels_belong_to_their_pictures(opened):
    dataset, _ = opened
    train = dataset.splits["train"]
    of_row = dict(zip(train.rows.tolist(), train.labels.tolist(), strict=True))
    for batch in loader(opened).epoch(0, 32):
        assert [of_row[row] for row in batch.rows.tolist()] == batch.labels.tolist()


def test_another_seed_gives_another_order_and_other_crops(opened):
    one, other = (next(loader(opened, seed=seed).epoch(0, 32)) for seed in (0, 1))
    assert (one.rows != other.rows).any()


@pytest.mark.parametrize(("batch_size", "steps"), [(31, 1), (5, 7), (8, 4), (32, 1), (100, 1), (1, 32)])
def test_a_last_batch_of_one_is_left_out(opened, batch_size, steps):
    assert loader(opened, batch_size).steps == steps == len(list(loader(opened, batch_size).epoch(0, 32)))


@pytest.mark.parametrize("repeat", [1.0, 0.3, 2.5, np.array([0.1, 0.9, 2.2, 0.8] * 5)], ids=["once", "some", "often", "each its own"])
def test_a_source_shows_each_picture_as_often_as_asked(opened, repeat):
    source = Source(opened[1], np.arange(20), np.zeros(20, np.int64), lambda *_: torch.zeros(0), repeat)
    epochs = [source.sample(np.random.default_rng(seed)) for seed in range(300)]
    assert {len(epoch) for epoch in epochs} == {source.epoch_size} == {round(float(np.broadcast_to(repeat, 20).sum()))}
    often = np.bincount(np.concatenate(epochs), minlength=20) / len(epochs)
    assert often == pytest.approx(np.broadcast_to(repeat, 20), abs=0.15)
    assert all(np.bincount(epoch).max() <= np.ceil(np.max(repeat)) for epoch in epochs)


def test_evaluation_shows_every_picture_once_in_order(opened):
    dataset, store = opened
    shown = EvalLoader(store, dataset.splits["test"], EvalTransform(resize=32, crop=32), batch_size=6)
    batches = list(shown)
    assert len(batches) == len(shown) == 3
    assert np.concatenate([b.rows for b in batches]).tolist() == dataset.splits["test"].rows.tolist()


def _first_batch(dataset, store, results) -> None:
    batch = next(TrainLoader(store, dataset.splits["train"], BatchedRecipe(0.3, 0.5, 20), 5, seed=0).epoch(2, 32))
    results.put((batch.rows.tolist(), batch.images.double().sum().item()))


def test_a_spawned_process_as_on_windows_makes_the_same_batch(opened):
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    process = spawn.Process(target=_first_batch, args=(*opened, results))
    process.start()
    rows, total = results.get(timeout=120)
    process.join(30)
    here = next(loader(opened).epoch(2, 32))
    assert (rows, pytest.approx(total)) == (here.rows.tolist(), here.images.double().sum().item())
