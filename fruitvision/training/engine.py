"""The training loop: a generator of events, which the caller can log, plot, save at, or stop at.

for event in fit(state, train, validation):
    ...  # the state is complete here: it can be saved, or the loop left
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from fruitvision.data.load.loader import MixedLoader, TrainLoader
from fruitvision.errors import TrainingError
from fruitvision.models.networks import NetworkOutput
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast
from fruitvision.training.evaluation import Validation, predict_logits, summarize, topk_correct
from fruitvision.training.loss import class_weights, distillation_loss, likelihood_loss
from fruitvision.training.optim import clip_gradients, gradient_norm, learning_rate, set_learning_rate
from fruitvision.training.state import TrainState


@dataclass(frozen=True)
class StepDone:
    """One optimizer step. ``step`` counts from 1 within ``epoch``, which counts from 1."""

    epoch: int
    step: int
    steps: int
    loss: float
    lr: float
    grad_norm: float
    images_per_s: float


@dataclass(frozen=True)
class ValidationStep:
    """One batch of validation; the state has not changed."""

    epoch: int
    step: int
    steps: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch and its validation. Losses in nats, accuracies in 0..1, ``grad_norm`` the mean before clipping.

    Those of the validation are NaN without validation pictures.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    grad_norm: float
    images_per_s: float
    seconds: float
    skipped: int
    """The number of steps without an update, because of a non-finite loss, gradient or running statistics."""
    improved: bool


MAX_SKIPPED_STEPS = 20

Event = StepDone | ValidationStep | EpochDone
Training = TrainLoader | MixedLoader
Teacher = Callable[[Tensor], Tensor]
"""Images (N, 3, H, W) → logits (N, C) over the network's own classes."""
Regularizer = Callable[[Tensor, Tensor], Tensor]
"""(images (N, 3, S, S), features (N, F)) → a scalar loss: the distance of the features from those that they are regularized towards."""


def fit(
    state: TrainState, train: Training, validation: Validation, teacher: Teacher | None = None, regularizer: Regularizer | None = None
) -> Iterator[Event]:
    """Train from the position of ``state`` to its last epoch, yielding after every step.

    The loss is that of the labels; ``teacher_weight`` of it is replaced by the distillation from ``teacher``, and
    ``keep_imagenet`` times ``regularizer`` is added.

    Without validation pictures the validation metrics are NaN, and each epoch counts as an improvement.

    Between two yields ``state`` is complete. A step whose loss, gradient or running statistics are not finite is skipped and
    counted; after a whole epoch of them, or ``MAX_SKIPPED_STEPS`` in a row, raises TrainingError "non-finite-loss",
    "non-finite-gradient" or "non-finite-statistics", with weights and running statistics as they were before.
    """
    while not state.finished:
        yield from train_one_epoch(state, train, teacher, regularizer)
        if not len(validation):
            yield _close_epoch(state, None)
            continue
        logits, labels = yield from _validate(state, validation)
        yield _close_epoch(state, summarize(logits, labels, validation.membership))


def train_one_epoch(
    state: TrainState, loader: Training, teacher: Teacher | None = None, regularizer: Regularizer | None = None
) -> Iterator[StepDone]:
    """The rest of the epoch that ``state`` is in."""
    config, progress, network, world = state.config, state.progress, state.network, state.world
    steps = steps_per_epoch(config, loader)
    membership = loader.membership if loader.membership is None else loader.membership.to(state.device)
    weights = class_weights(torch.from_numpy(loader.counts)).to(state.device) if config.balance == "loss" else None
    batches = loader.epoch(progress.epoch, image_size(config, progress.epoch), progress.step * config.accumulate, world.shard)
    set_training(state)
    forward = world.setup_module(state.forward)
    buffers = list(network.buffers())
    while progress.step < steps:
        started = time.perf_counter()
        step = progress.epoch * steps + progress.step
        lr = learning_rate(config, step, steps)
        set_learning_rate(state.optimizer, lr)

        group = list(islice(batches, config.accumulate))
        images_in_step = sum(batch.global_size for batch in group)
        counted, local_sizes = [], [batch.local_size for batch in group]
        before = [value.clone() for value in buffers]  # the forward pass changes them before the step is known to be finite
        for batch in group:
            accumulating = batch is not group[-1]
            images, labels = to_device(batch.images, state), batch.labels.to(state.device)
            with autocast(config, state.device), world.no_backward_sync(forward, enabled=accumulating):
                output = forward(images)
            logits, loss = output.logits, training_loss(config, output, images, labels, membership, weights, teacher, regularizer)
            with world.no_backward_sync(forward, enabled=accumulating):
                # DistributedDataParallel averages over processes, so the mean loss of each is weighted by its number of pictures.
                state.scaler.scale(loss * (world.size * batch.local_size / images_in_step)).backward()
            counted += [loss.detach(), topk_correct(logits, labels, membership).sum()]
        state.scaler.unscale_(state.optimizer)
        # Read all values at once, since each read synchronizes with the GPU.
        read = (*counted, gradient_norm(network), max_abs(buffers, state.device))
        *figures, grad_norm, largest = torch.stack([value.float() for value in read]).tolist()
        loss_sum = sum(loss * count for loss, count in zip(figures[::2], local_sizes, strict=True) if count)
        correct = sum(correct for correct, count in zip(figures[1::2], local_sizes, strict=True) if count)
        loss_sum, correct, largest = world.all_reduce(loss_sum, correct, largest)
        clip_gradients(network, config.clip_norm, grad_norm)
        finite = math.isfinite(loss_sum) and math.isfinite(grad_norm) and math.isfinite(largest)
        if finite:
            state.scaler.step(state.optimizer)
        else:
            restore_buffers(buffers, before)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)

        seconds = time.perf_counter() - started
        progress.step += 1
        progress.seconds += seconds
        if finite:
            state.update_ema(step)
            progress.seen += images_in_step
            progress.right += int(correct)
            progress.loss_sum += loss_sum
            progress.norm_sum += grad_norm
            progress.skipped_in_a_row = 0
        else:
            progress.skipped += 1
            progress.skipped_in_a_row += 1
            # The loss scale of float16 may be halved a dozen times before the first step; otherwise a whole epoch is too much.
            most = MAX_SKIPPED_STEPS if state.scaler.is_enabled() else min(MAX_SKIPPED_STEPS, steps)
            if progress.skipped_in_a_row >= most:
                raise _diverged(progress.skipped_in_a_row, loss_sum, grad_norm, progress.epoch + 1, progress.step)
        yield StepDone(progress.epoch + 1, progress.step, steps, loss_sum / images_in_step, lr, grad_norm, images_in_step / seconds)


def training_loss(
    config: TrainConfig,
    output: NetworkOutput,
    images: Tensor,
    labels: Tensor,
    membership: Tensor | None,
    weights: Tensor | None,
    teacher: Teacher | None,
    regularizer: Regularizer | None,
) -> Tensor:
    """The loss described in :func:`fit`, a scalar, for the network's output on images (N, 3, H, W) with labels (N,)."""
    logits = output.logits.float()
    loss = likelihood_loss(logits, labels, membership, config.label_smoothing, weights)
    if teacher is not None:
        loss = torch.lerp(loss, distillation_loss(logits, teacher(images)), config.teacher_weight)
    if regularizer is not None:
        loss = loss + config.keep_imagenet * regularizer(images, output.features.float())
    return loss


def max_abs(buffers: Sequence[Tensor], device: torch.device) -> Tensor:
    """The largest absolute value in a network's buffers, a scalar; not finite if any of them is not.

    A batch variance can overflow while the loss and all gradients stay finite.
    """
    values = [value for value in buffers if value.is_floating_point()]
    return torch.nn.utils.get_total_norm(values, norm_type=math.inf) if values else torch.zeros((), device=device)


@torch.no_grad()
def restore_buffers(buffers: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Copy earlier values into a network's buffers."""
    for value, old in zip(buffers, before, strict=True):
        value.copy_(old)


def steps_per_epoch(config: TrainConfig, loader: Training) -> int:
    """Optimizer steps per epoch; the last one may accumulate fewer batches."""
    return math.ceil(loader.steps / config.accumulate)


def image_size(config: TrainConfig, epoch: int) -> int:
    """The size of the training pictures in ``epoch`` (from 0): it grows linearly, and is full in the last third of the epochs."""
    if not config.first_image_size or config.first_image_size == config.image_size:
        return config.image_size
    growing = max(math.ceil(config.epochs * 2 / 3) - 1, 1)
    share = min(epoch / growing, 1)
    side = config.first_image_size + share * (config.image_size - config.first_image_size)
    return min(round(side / 8) * 8, config.image_size)


def to_device(images: Tensor, state: TrainState) -> Tensor:
    """Move a batch to the network's device, in its memory format."""
    return images.to(state.device, memory_format=state.memory_format)


def first_stages(network: nn.Module, count: int) -> list[nn.Module]:
    """The modules of the trunk's first ``count`` stages. Raises TrainingError "too-few-stages" if it has no more than these."""
    if not count:
        return []
    stages = getattr(getattr(network, "module", network), "stages", ())
    if count >= len(stages):
        raise TrainingError("too-few-stages", stages=len(stages), count=count, most=max(len(stages) - 1, 0))
    return [module for stage in stages[:count] for module in stage]


def set_training(state: TrainState) -> None:
    """Set training mode, except for what the configuration freezes: the trunk or its first stages, and batch norm's statistics."""
    frozen, head = state.progress.epoch < state.config.freeze_epochs, state.network.head
    state.network.train(not frozen).requires_grad_(not frozen)
    head.train().requires_grad_(True)
    for module in first_stages(state.network, state.config.freeze_stages):
        module.eval().requires_grad_(False)
    if state.frozen_statistics:
        for module in state.network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
                module.eval()


def _validate(state: TrainState, loader: Validation) -> Generator[ValidationStep, None, tuple[Tensor, Tensor]]:
    """As :func:`predict_logits`, with an event for each batch, so that a run can be stopped during validation."""
    network = state.world.broadcast_weights(state.eval_network())
    steps = predict_logits(network, loader, state.device, state.config, world=state.world)
    while True:
        try:
            number = next(steps)
        except StopIteration as end:
            return end.value
        yield ValidationStep(state.progress.epoch + 1, number, len(loader))


def _close_epoch(state: TrainState, result: dict[str, float] | None) -> EpochDone:
    """``result``: of the validation, or None."""
    progress, measured = state.progress, result is not None
    result = result or {"loss": math.nan, "top1": math.nan}
    # Equal accuracy is common on easy data; then the smaller loss is better.
    improved = (
        not measured or math.isfinite(result["loss"]) and (result["top1"], -result["loss"]) > (progress.best_accuracy, -progress.best_loss)
    )
    event = EpochDone(
        epoch=progress.epoch + 1,
        train_loss=progress.loss_sum / progress.seen if progress.seen else math.nan,
        train_accuracy=progress.right / progress.seen if progress.seen else math.nan,
        val_loss=result["loss"],
        val_accuracy=result["top1"],
        lr=max(group["lr"] for group in state.optimizer.param_groups),
        grad_norm=progress.norm_sum / max(progress.step - progress.skipped, 1),
        images_per_s=progress.seen / progress.seconds,
        seconds=progress.seconds,
        skipped=progress.skipped,
        improved=improved,
    )
    if improved:
        if measured:
            progress.best_accuracy, progress.best_loss = result["top1"], result["loss"]
        progress.best_epoch, progress.stale_epochs = progress.epoch + 1, 0
    else:
        progress.stale_epochs += 1
    progress.start_next_epoch()
    return event


def _diverged(in_a_row: int, loss: float, gradient: float, epoch: int, step: int) -> TrainingError:
    if not math.isfinite(loss):
        return TrainingError("non-finite-loss", steps=in_a_row, epoch=epoch, step=step)
    if math.isfinite(gradient):
        return TrainingError("non-finite-statistics", steps=in_a_row, epoch=epoch, step=step)
    return TrainingError("non-finite-gradient", steps=in_a_row, epoch=epoch, step=step)
