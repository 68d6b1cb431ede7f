"""The loop: it learns, it yields, it stops, and it goes on as if nothing had been."""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from fruitvision.data.load.loader import EvalLoader, TrainLoader
from fruitvision.data.read.store import open_dataset
from fruitvision.errors import TrainingError
from fruitvision.models.networks import build_network
from fruitvision.runs.prepare.transforms import evaluation_transform, training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import choose_device
from fruitvision.training.distributed import World
from fruitvision.training.engine import EpochDone, StepDone, fit, image_size, train_one_epoch
from fruitvision.training.evaluation import evaluate
from fruitvision.training.loss import class_weights, likelihood_loss
from fruitvision.training.state import TrainState


@pytest.fixture(scope="module")
def opened(sample_set):
    return open_dataset(sample_set)


def config(**settings) -> TrainConfig:
    base = {"start": "scratch", "width": 8, "image_size": 32, "first_image_size": 32, "batch_size": 8, "epochs": 2, "precision": "float32"}
    return TrainConfig.from_preset("fast", **{**base, **settings})


def setting_out(settings: TrainConfig, opened, kept: bool = False) -> tuple[TrainState, TrainLoader, EvalLoader]:
    dataset, store = opened
    network = build_network(num_classes=4, norm=settings.norm, width=settings.width, seed=settings.seed)
    train = TrainLoader(
        store,
        dataset.splits["train"],
        training_transform(settings),
        settings.batch_size,
        seed=settings.seed,
        balanced=settings.balance == "sampler",
    )
    validation = EvalLoader(store, dataset.splits["test"], evaluation_transform(settings))
    return TrainState(network, settings, choose_device("cpu"), kept), train, validation


def weights(state: TrainState) -> list[torch.Tensor]:
    return [value.clone() for value in state.eval_network().state_dict().values()]


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
    [
        {},
        {"ema": 0.9},
        {"augmentation": "torchvision", "schedule": "step", "optimizer": "adam"},
        {"accumulate": 2},
        *({"norm": norm, "image_size": 64, "first_image_size": 64} for norm in ("layer", "instance", "group", "group-ws", "none")),
        {"schedule": "cosine", "balance": "sampler"},
        {"schedule": "constant", "balance": "loss", "freeze_epochs": 1},
        {"precision": "float16"},
        {"schedule": "step", "step_size": 1, "balance": "sampler", "accumulate": 3},
        {"schedule": "one-cycle", "balance": "sampler", "trunk_rate": 0.2, "first_image_size": 32, "image_size": 64},
        {"norm_statistics": "kept"},
        {"teacher_weight": 0.5, "teacher": "one", "label_smoothing": 0.1},
    ],
    ids=[
        "fast",
        "ema",
        "plain-like",
        "accumulate",
        "layer",
        "instance",
        "group",
        "group-ws",
        "none",
        "cosine, sampler",
        "constant, weighted, frozen",
        "float16",
        "step, sampler, accumulate",
        "one-cycle, sampler, growing",
        "kept statistics",
        "teacher",
    ],
)
def test_a_run_broken_off_at_any_step_ends_with_the_same_weights_to_the_bit(opened, settings):
    kept, teacher = settings.get("norm_statistics") == "kept", None
    if "teacher" in settings:
        known = build_network(num_classes=4, width=8, seed=7).eval()
        teacher = lambda images: known(images).logits.detach()  # noqa: E731
    state, train, validation = setting_out(config(**settings), opened, kept)
    saved = []
    for _ in fit(state, train, validation, teacher):
        buffer = io.BytesIO()
        torch.save(state.state_dict(), buffer)
        saved.append(buffer.getvalue())
    undisturbed = weights(state)
    assert not kept or not state.network.bn1.running_mean.any(), "they stay as they were"
    for number in (0, len(saved) // 2, len(saved) - 2):
        state, train, validation = setting_out(config(**settings), opened, kept)
        torch.rand(17)  # another history of the process
        state.load_state_dict(torch.load(io.BytesIO(saved[number]), weights_only=True))
        for _ in fit(state, train, validation, teacher):
            pass
        assert all(torch.equal(a, b) for a, b in zip(undisturbed, weights(state), strict=True)), number


def test_the_same_seed_gives_the_same_run_and_another_seed_another(opened):
    def final(seed):
        state, train, validation = setting_out(config(seed=seed, epochs=1), opened)
        return [event.val_loss for event in fit(state, train, validation) if isinstance(event, EpochDone)]

    assert final(0) == final(0) != final(1)


@pytest.mark.parametrize(("norm", "batches"), [("none", 4), ("group", 4), ("layer", 4), ("instance", 4)])
def test_four_batches_of_eight_are_one_of_thirty_two_where_no_norm_looks_at_the_batch(opened, norm, batches):
    for whole, parts in zip(*(after_one_step(opened, norm, 32 // n, n) for n in (1, batches)), strict=True):
        torch.testing.assert_close(whole, parts, atol=2e-6, rtol=1e-4)


def test_batch_norm_sees_the_part_and_so_accumulates_to_another_step(opened):
    """Up to batch statistics: its means and variances are of eight pictures, not of thirty-two."""
    whole, parts = (after_one_step(opened, "batch", 32 // n, n) for n in (1, 4))
    assert not all(torch.allclose(a, b, atol=2e-6, rtol=1e-4) for a, b in zip(whole, parts, strict=True))


def after_one_step(opened, norm: str, batch_size: int, accumulate: int) -> list[torch.Tensor]:
    """The gradients, clipped, of one optimizer step over 32 pictures of 64 px."""
    settings = config(norm=norm, batch_size=batch_size, accumulate=accumulate, image_size=64, first_image_size=64)
    state, train, _ = setting_out(settings, opened)
    gradients = []
    state.optimizer.register_step_pre_hook(lambda *given: gradients.extend(p.grad.clone() for p in state.network.parameters()))
    (event, *_) = train_one_epoch(state, train)
    assert event.steps == 1
    return gradients


def test_patience_ends_a_run_that_no_longer_improves(opened):
    state, train, validation = setting_out(config(epochs=30, patience=2, learning_rate=1e-9), opened)
    epochs = [event for event in fit(state, train, validation) if isinstance(event, EpochDone)]
    assert 3 <= len(epochs) < 30
    assert [event.improved for event in epochs[-2:]] == [False, False]


def test_a_loss_that_stays_no_number_stops_and_the_weights_are_never_touched(opened):
    state, train, validation = setting_out(config(norm="none"), opened)
    events = fit(state, train, validation)
    next(events)
    with torch.no_grad():
        state.network.fc.bias[0] = float("inf")
    before = copy.deepcopy(state.network.state_dict())
    with pytest.raises(TrainingError) as caught:
        for _ in events:
            pass
    assert caught.value.code == "non-finite-loss" and (caught.value.facts["epoch"], caught.value.facts["step"]) == (2, 1)
    assert all(torch.equal(before[name], value) for name, value in state.network.state_dict().items())


def test_a_single_gradient_that_is_not_finite_is_skipped_and_counted(opened):
    state, train, validation = setting_out(config(epochs=1), opened)
    broken = []

    def teacher(images):
        broken.append(len(broken) == 1)
        return torch.full((len(images), 4), float("nan") if broken[-1] else 0.0)

    events = list(fit(state, train, validation, teacher))
    (epoch,) = [event for event in events if isinstance(event, EpochDone)]
    assert epoch.skipped == 1 and epoch.train_loss == epoch.train_loss
    assert state.progress.skipped_in_a_row == 0 and all(torch.isfinite(value).all() for value in weights(state))


@pytest.mark.parametrize(
    ("settings", "times"),
    [({}, 1e30), ({}, 1e20), ({"ema": 0.9}, 1e30), ({"accumulate": 2}, 1e30), ({"precision": "float16"}, 1e30)],
    ids=["overflow", "a variance alone", "ema", "accumulated", "float16"],
)
def test_one_step_whose_activations_overflow_leaves_batch_norms_statistics_as_they_were(opened, settings, times):
    """By 1e30 the loss is no number any more. By 1e20 it is, and so are the gradients, but the variance is not."""
    state, train, validation = setting_out(config(norm="batch", epochs=2, **settings), opened)
    buffers, passes = dict(state.network.named_buffers()), []

    def overflow(module, given):
        passes.append(state.network.training)
        # in the second step; where two batches are added up, in the last of them
        if state.network.training and (state.progress.epoch, state.progress.step) == (0, 1) and passes.count(True) % 2 == 0:
            return (given[0].float() * times,)

    state.network.bn1.register_forward_pre_hook(overflow)
    last, epochs = {}, []
    for event in fit(state, train, validation):
        if isinstance(event, StepDone) and (event.epoch, event.step) == (1, 2):
            assert state.progress.skipped >= 1, "it was to be skipped"
            assert all(torch.equal(value, last[name]) for name, value in buffers.items())
        last = {name: value.clone() for name, value in buffers.items()}
        epochs += [event] if isinstance(event, EpochDone) else []
    assert epochs[0].skipped >= 1 and all(np.isfinite(event.val_loss) for event in epochs)
    assert all(torch.isfinite(value).all() for value in (*weights(state), *state.network.state_dict().values()))


def test_statistics_that_are_never_finite_end_the_run_by_their_name(opened):
    state, train, validation = setting_out(config(norm="batch"), opened)
    state.network.bn1.register_forward_pre_hook(lambda module, given: (given[0] * 1e20,))
    before = copy.deepcopy(state.network.state_dict())
    with pytest.raises(TrainingError) as caught:
        list(fit(state, train, validation))
    assert caught.value.code == "non-finite-statistics"
    assert all(torch.equal(before[name], value) for name, value in state.network.state_dict().items())


@dataclass(frozen=True)
class OtherOverflows(World):
    """Another process, whose statistics overflow in the first step."""

    seen: list = field(default_factory=list)

    def all_reduce(self, *values: float) -> list[float]:
        self.seen.append(values)
        return [*values[:2], np.inf, *values[3:]] if len(self.seen) == 1 else list(values)


def test_a_step_that_overflows_on_another_process_is_skipped_on_this_one_too(opened):
    state, train, _ = setting_out(config(norm="batch"), opened)
    state.world = OtherOverflows()
    before = copy.deepcopy(state.network.state_dict())
    steps = train_one_epoch(state, train)
    next(steps)
    assert state.progress.skipped == 1
    assert all(torch.equal(before[name], value) for name, value in state.network.state_dict().items())
    next(steps)
    assert state.progress.skipped == 1 and not torch.equal(before["bn1.running_mean"], state.network.bn1.running_mean)


def test_float16_scales_its_gradients_and_a_resume_knows_the_scale(opened):
    state, train, validation = setting_out(config(precision="float16", norm="group"), opened)
    list(fit(state, train, validation))
    again, _, _ = setting_out(config(precision="float16", norm="group"), opened)
    again.load_state_dict(state.state_dict())
    assert state.scaler.is_enabled() and again.scaler.get_scale() == state.scaler.get_scale()
    assert not setting_out(config(), opened)[0].scaler.is_enabled()


def test_the_trunk_rests_in_the_first_epochs_and_learns_after_them(opened):
    state, train, validation = setting_out(config(freeze_epochs=1), opened)
    before = copy.deepcopy(state.network.state_dict())
    for event in fit(state, train, validation):
        moved = {name for name, value in state.network.state_dict().items() if not torch.equal(value, before[name])}
        if isinstance(event, EpochDone) and event.epoch == 1:
            assert moved == {"fc.weight", "fc.bias"}
    assert {"conv1.weight", "bn1.running_mean", "fc.weight"} <= moved


def test_rare_classes_weigh_more_and_the_mean_weight_is_one():
    counts = torch.tensor([30, 10, 0, 20])
    weights = class_weights(counts)
    assert torch.allclose(weights * counts, torch.tensor([20.0, 20.0, 0.0, 20.0])) and weights[2] == 1
    logits, labels = torch.randn(12, 4), torch.arange(12) % 4
    ones = torch.ones(4)
    for membership in (None, torch.eye(4, dtype=torch.bool)):
        plain, weighted = (likelihood_loss(logits, labels, membership, 0.1, w) for w in (None, ones))
        torch.testing.assert_close(plain, weighted)


def test_a_balanced_epoch_shows_every_class_alike_and_is_the_same_each_time(opened):
    dataset, store = opened
    split = dataset.splits["train"]
    kept = (split.labels > 0) | (np.arange(len(split)) < 2)  # two pictures of the first class, eight of the others
    loader = TrainLoader(store, split.select(kept), training_transform(config()), 13, seed=1, balanced=True)
    batches = list(loader.epoch(2, 32))
    labels = torch.cat([batch.labels for batch in batches])
    assert torch.bincount(labels).tolist() in ([7, 7, 6, 6], [7, 6, 7, 6], [6, 7, 7, 6], [7, 6, 6, 7], [6, 7, 6, 7], [6, 6, 7, 7])
    again = list(loader.epoch(2, 32, start=1))
    assert torch.equal(batches[1].images, again[0].images)
    first = [(row, image) for batch in batches for row, image in zip(batch.rows, batch.images, strict=True) if row == split.rows[0]]
    assert len(first) >= 3


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
