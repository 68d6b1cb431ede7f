"""The loop: it learns, it yields, it stops, and it goes on as if nothing had been."""

from __future__ import annotations

import copy
import io

import pytest
import torch

from fruitvision.data.loader import EvalLoader, TrainLoader
from fruitvision.data.store import open_dataset
from fruitvision.errors import TrainingError
from fruitvision.models.networks import build_network
from fruitvision.runs.preparation import evaluation_transform, training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import EpochDone, StepDone, choose_device, evaluate, fit, image_size
from fruitvision.training.state import TrainState


@pytest.fixture(scope="module")
def opened(sample_set):
    return open_dataset(sample_set)


def config(**settings) -> TrainConfig:
    base = {"start": "scratch", "width": 8, "image_size": 32, "first_image_size": 32, "batch_size": 8, "epochs": 2}
    return TrainConfig.from_preset("fast", **{**base, **settings})


def setting_out(settings: TrainConfig, opened) -> tuple[TrainState, TrainLoader, EvalLoader]:
    dataset, store = opened
    network = build_network(num_classes=4, norm=settings.norm, width=settings.width, seed=settings.seed)
    train = TrainLoader(store, dataset.splits["train"], training_transform(settings), settings.batch_size, seed=settings.seed)
    validation = EvalLoader(store, dataset.splits["test"], evaluation_transform(settings))
    return TrainState(network, settings, choose_device("cpu")), train, validation


def weights(state: TrainState) -> list[torch.Tensor]:
    return [value.clone() for value in state.kept_network().state_dict().values()]


def test_it_learns_a_small_set_by_heart_and_says_so_in_its_events(opened):
    settings = config(epochs=25, augmentation="none", label_smoothing=0, learning_rate=0.01)
    state, train, validation = setting_out(settings, opened)
    events = list(fit(state, train, validation))
    epochs = [event for event in events if isinstance(event, EpochDone)]
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.epoch for event in epochs] == list(range(1, 26))
    assert [event.step for event in steps[:5]] == [1, 2, 3, 4, 1]
    assert epochs[-1].train_loss < 0.3 * epochs[0].train_loss and epochs[-1].train_accuracy > 0.9
    assert epochs[-1].train_loss == pytest.approx(sum(event.loss for event in steps[-4:]) / 4)
    assert all(event.grad_norm > 0 and event.images_per_s > 0 and 0 < event.lr <= 0.01 for event in epochs)
    result = evaluate(state.network, validation, state.device, settings)
    assert (result["top1"], result["loss"]) == pytest.approx((epochs[-1].val_accuracy, epochs[-1].val_loss))
    assert result["images"] == 16 and result["top3"] >= result["top1"]


@pytest.mark.parametrize(
    "settings",
    [{}, {"ema": 0.9}, {"norm": "group"}, {"augmentation": "torchvision", "schedule": "step", "optimizer": "adam"}, {"accumulate": 2}],
    ids=["fast", "ema", "group", "plain-like", "accumulate"],
)  # fmt: skip
def test_a_run_broken_off_at_any_step_ends_with_the_same_weights_to_the_bit(opened, settings):
    state, train, validation = setting_out(config(**settings), opened)
    saved = []
    for _ in fit(state, train, validation):
        buffer = io.BytesIO()
        torch.save(state.state_dict(), buffer)
        saved.append(buffer.getvalue())
    undisturbed = weights(state)
    for number in (0, len(saved) // 3, len(saved) // 2, len(saved) - 2):
        state, train, validation = setting_out(config(**settings), opened)
        torch.rand(17)  # another history of the process
        state.load_state_dict(torch.load(io.BytesIO(saved[number]), weights_only=True))
        for _ in fit(state, train, validation):
            pass
        assert all(torch.equal(a, b) for a, b in zip(undisturbed, weights(state), strict=True)), number


def test_the_same_seed_gives_the_same_run_and_another_seed_another(opened):
    def final(seed):
        state, train, validation = setting_out(config(seed=seed, epochs=1), opened)
        return [event.val_loss for event in fit(state, train, validation) if isinstance(event, EpochDone)]

    assert final(0) == final(0) != final(1)


def test_accumulated_batches_are_one_large_batch_where_no_norm_looks_at_the_batch(opened):
    def after_one_step(batch_size, accumulate):
        settings = config(norm="none", batch_size=batch_size, accumulate=accumulate, clip_norm=0, learning_rate=1e-4)
        state, train, _ = setting_out(settings, opened)
        next(fit(state, train, None))
        return weights(state)

    for whole, parts in zip(after_one_step(16, 1), after_one_step(4, 4), strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-3)


def test_patience_ends_a_run_that_no_longer_improves(opened):
    state, train, validation = setting_out(config(epochs=30, patience=2, learning_rate=1e-9), opened)
    epochs = [event for event in fit(state, train, validation) if isinstance(event, EpochDone)]
    assert 3 <= len(epochs) < 30
    assert [event.improved for event in epochs[-2:]] == [False, False]


def test_a_loss_that_is_no_number_stops_before_the_weights_are_touched(opened):
    state, train, validation = setting_out(config(norm="none"), opened)
    events = fit(state, train, validation)
    next(events)
    with torch.no_grad():
        state.network.fc.bias[0] = float("inf")
    before = copy.deepcopy(state.network.state_dict())
    with pytest.raises(TrainingError) as caught:
        next(events)
    assert caught.value.code == "non-finite-loss" and caught.value.facts["step"] == 2
    assert all(torch.equal(before[name], value) for name, value in state.network.state_dict().items())


def test_pictures_grow_over_the_first_two_thirds():
    sides = [image_size(config(image_size=96, first_image_size=64, epochs=9), epoch) for epoch in range(9)]
    assert sides[0] == 64 and sides[-3:] == [96, 96, 96] and sides == sorted(sides) and all(side % 8 == 0 for side in sides)
    assert {image_size(config(image_size=96, first_image_size=0), epoch) for epoch in range(2)} == {96}


def test_a_device_that_is_not_there_is_said():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(TrainingError) as caught:
        choose_device("cuda")
    assert caught.value.code == "device-missing"
