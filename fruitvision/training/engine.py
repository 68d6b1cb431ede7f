"""The training loop: a generator of small events, to be printed, plotted, saved or stopped by whoever consumes it.

for event in fit(state, train, validation):
    ...  # state is complete here: save it, or stop by leaving the loop
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from fruitvision.data.load.loader import EvalLoader, MixedEvalLoader, MixedLoader, TrainLoader
from fruitvision.errors import TrainingError
from fruitvision.training.config import TrainConfig
from fruitvision.training.distributed import SINGLE_PROCESS, World
from fruitvision.training.loss import balancing_weights, distillation, likelihood_loss
from fruitvision.training.metrics import answered_right
from fruitvision.training.optim import clip_gradients, gradient_norm, learning_rate, set_learning_rate
from fruitvision.training.state import TrainState, arithmetic


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
    """One batch of validation; nothing has changed."""

    epoch: int
    step: int
    steps: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch and its validation. Losses in nats, accuracies in 0..1, ``grad_norm`` the mean before clipping."""

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
    """Steps that were not taken, since their loss, gradient or running statistics were not finite."""
    improved: bool


MOST_SKIPPED = 20

Event = StepDone | ValidationStep | EpochDone
Training = TrainLoader | MixedLoader
Validation = EvalLoader | MixedEvalLoader
Keeper = Callable[[Tensor, Tensor], Tensor]
"""(images (N, 3, S, S), features (N, F)) → how far the features have strayed, a loss."""
Teacher = Callable[[Tensor], Tensor]
"""A batch of pictures, (N, 3, H, W) → logits (N, C) over the network's own classes."""


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes CUDA, then Apple's MPS, then the CPU. Raises TrainingError."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there[name]:
        raise TrainingError("device-missing", device=name)
    return torch.device(name)


def fit(
    state: TrainState, train: Training, validation: Validation, teacher: Teacher | None = None, keeper: Keeper | None = None
) -> Iterator[Event]:
    """Train from where ``state`` stands to its last epoch, yielding after every step.

    ``teacher`` takes the configuration's ``teacher_weight`` of the loss; ``keeper`` adds ``keep_imagenet`` of its own.

    Between two yields ``state`` is complete. A step whose loss, gradient or running statistics are not finite is skipped
    and counted; after a whole epoch of them, or ``MOST_SKIPPED`` in a row, raises TrainingError "non-finite-loss",
    "non-finite-gradient" or "non-finite-statistics". Weights and running statistics stay as they were.
    """
    while not state.finished:
        yield from train_one_epoch(state, train, teacher, keeper)
        logits, labels = yield from _validate(state, validation)
        yield _close_epoch(state, summarize(logits, labels, validation.membership))


def train_one_epoch(
    state: TrainState, loader: Training, teacher: Teacher | None = None, keeper: Keeper | None = None
) -> Iterator[StepDone]:
    """The rest of the epoch that ``state`` is in."""
    config, progress, network = state.config, state.progress, state.network
    steps = steps_per_epoch(config, loader)
    membership = loader.membership if loader.membership is None else loader.membership.to(state.device)
    weights = balancing_weights(torch.from_numpy(loader.counts)).to(state.device) if config.balance == "loss" else None
    world = state.world
    batches = loader.epoch(progress.epoch, image_size(config, progress.epoch), progress.step * config.accumulate, world.share)
    _set_training(state)
    forward = world.setup_module(state.forward)
    buffers = list(network.buffers())
    while progress.step < steps:
        started = time.perf_counter()
        step = progress.epoch * steps + progress.step
        lr = learning_rate(config, step, steps)
        set_learning_rate(state.optimizer, lr)

        group = list(islice(batches, config.accumulate))
        images_in_step = sum(batch.total for batch in group)
        counted, own = [], [batch.own for batch in group]
        before = [value.clone() for value in buffers]  # the forward passes move them, before it is known whether the step is sound
        for batch in group:
            images, labels = to_device(batch.images, state), batch.labels.to(state.device)
            with autocast(config, state.device), world.averaging(forward, batch is group[-1]):
                logits, features, _ = forward(images)
            loss = likelihood_loss(logits.float(), labels, membership, config.label_smoothing, weights)
            if teacher is not None:
                taught = distillation(logits.float(), teacher(images))
                loss = torch.lerp(loss, taught, config.teacher_weight)
            if keeper is not None:
                loss = loss + config.keep_imagenet * keeper(images, features.float())
            with world.averaging(forward, batch is group[-1]):  # the mean over processes, of sums over their pictures
                state.scaler.scale(loss * (world.size * batch.own / images_in_step)).backward()
            counted += [loss.detach(), answered_right(logits, labels, membership).sum()]
        state.scaler.unscale_(state.optimizer)
        # Read together: each reading waits until a graphics card has done all that it was told.
        read = (*counted, gradient_norm(network), largest_value(buffers, state.device))
        *figures, grad_norm, largest = torch.stack([value.float() for value in read]).tolist()
        loss_sum = sum(loss * count for loss, count in zip(figures[::2], own, strict=True) if count)
        right = sum(correct for correct, count in zip(figures[1::2], own, strict=True) if count)
        loss_sum, right, largest = world.all_reduce(loss_sum, right, largest)
        clip_gradients(network, config.clip_norm, grad_norm)
        sound = math.isfinite(loss_sum) and math.isfinite(grad_norm) and math.isfinite(largest)
        if sound:
            state.scaler.step(state.optimizer)
        else:
            put_back(buffers, before)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)

        seconds = time.perf_counter() - started
        progress.step += 1
        progress.seconds += seconds
        if sound:
            state.update_average(step)
            progress.seen += images_in_step
            progress.right += int(right)
            progress.loss_sum += loss_sum
            progress.norm_sum += grad_norm
            progress.skipped_in_a_row = 0
        else:
            progress.skipped += 1
            progress.skipped_in_a_row += 1
            # float16's scaler may have to be halved a dozen times before its first step; else a whole epoch is too much.
            most = MOST_SKIPPED if state.scaler.is_enabled() else min(MOST_SKIPPED, steps)
            if progress.skipped_in_a_row >= most:
                raise _diverged(progress.skipped_in_a_row, loss_sum, grad_norm, progress.epoch + 1, progress.step)
        yield StepDone(progress.epoch + 1, progress.step, steps, loss_sum / images_in_step, lr, grad_norm, images_in_step / seconds)


def largest_value(buffers: Sequence[Tensor], device: torch.device) -> Tensor:
    """The largest absolute value in any of a network's buffers, (); not finite where one of them is not.

    A batch variance can overflow where the loss and all gradients stay finite.
    """
    values = [value for value in buffers if value.is_floating_point()]
    return torch.nn.utils.get_total_norm(values, norm_type=math.inf) if values else torch.zeros((), device=device)


@torch.no_grad()
def put_back(buffers: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Give a network's buffers the values that they had."""
    for value, old in zip(buffers, before, strict=True):
        value.copy_(old)


def predict_logits(
    network: nn.Module, loader: Validation, device: torch.device, config: TrainConfig, *, looks: bool = False, world: World = SINGLE_PROCESS
) -> Generator[int, None, tuple[Tensor, Tensor]]:
    """Yield the number of each finished batch; return (logits (N, C), labels (N,)) on the CPU in float32.

    Several looks at a picture are averaged as probabilities; or, with ``looks``, kept: (N, V, C). The processes of a
    ``world`` share the batches, none dropped or repeated, yield equally often, and all return the whole.
    """
    network.eval()
    logits, labels = [], []
    batches, layout = loader.batches(world.share), torch.channels_last if config.channels_last else torch.contiguous_format
    for turn in range(math.ceil(len(loader) / world.size)):
        number = min((turn + 1) * world.size, len(loader))
        batch = next(batches, None)
        if batch is None:
            yield number
            continue
        with torch.inference_mode(), autocast(config, device):
            answer = network(batch.images.to(device, memory_format=layout)).logits.float().cpu()
        answer = answer.unflatten(0, (len(batch.labels), -1))
        if not looks:
            answer = answer[:, 0] if answer.shape[1] == 1 else answer.softmax(dim=2).mean(dim=1).log()
        logits.append(answer)
        labels.append(batch.labels)
        yield number
    return torch.cat(world.all_gather(logits)), torch.cat(world.all_gather(labels))


def evaluate(network: nn.Module, loader: Validation, device: torch.device, config: TrainConfig) -> dict[str, float]:
    """Loss and accuracies (0..1) of a network on a split."""
    steps = predict_logits(network, loader, device, config)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return summarize(*end.value, loader.membership)


def summarize(logits: Tensor, labels: Tensor, membership: Tensor | None = None) -> dict[str, float]:
    """Loss (nats), top-1 and top-3 (0..1) of logits (N, C) against labels (N,), which are classes or sets of them."""
    return {
        "images": len(labels),
        "loss": likelihood_loss(logits, labels, membership).item(),
        "top1": answered_right(logits, labels, membership).double().mean().item(),
        "top3": answered_right(logits, labels, membership, k=3).double().mean().item(),
    }


def steps_per_epoch(config: TrainConfig, loader: Training) -> int:
    """Optimizer steps an epoch; the last may add up fewer batches."""
    return math.ceil(loader.steps / config.accumulate)


def image_size(config: TrainConfig, epoch: int) -> int:
    """The side of the training pictures in ``epoch`` (from 0): it grows evenly, and the last third is trained in full."""
    if not config.first_image_size or config.first_image_size == config.image_size:
        return config.image_size
    growing = max(math.ceil(config.epochs * 2 / 3) - 1, 1)
    share = min(epoch / growing, 1)
    side = config.first_image_size + share * (config.image_size - config.first_image_size)
    return min(round(side / 8) * 8, config.image_size)


def to_device(images: Tensor, state: TrainState) -> Tensor:
    """Move a batch to the device, in the layout that the network has there."""
    return images.to(state.device, memory_format=state.layout)


def autocast(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager:
    """The arithmetic that the configuration asks for, where it is shorter than float32."""
    kind = arithmetic(config, device)
    shorter = kind != torch.float32
    return torch.autocast(device.type, dtype=kind if shorter else None, enabled=shorter)


def _set_training(state: TrainState) -> None:
    """Training mode, but that batch norm goes on with the means and variances it has where these are to be kept, and that
    the trunk, or its first stages, are left as they are where the configuration asks for that."""
    frozen, head = state.progress.epoch < state.config.freeze_epochs, state.network.head
    state.network.train(not frozen).requires_grad_(not frozen)
    head.train().requires_grad_(True)
    for module in first_stages(state.network, state.config.freeze_stages):
        module.eval().requires_grad_(False)
    if state.keeps_statistics:
        for module in state.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def first_stages(network: nn.Module, count: int) -> list[nn.Module]:
    """The modules of the trunk's first ``count`` stages. Raises TrainingError where it has no more than these."""
    if not count:
        return []
    stages = getattr(getattr(network, "module", network), "stages", ())
    if count >= len(stages):
        raise TrainingError("too-few-stages", stages=len(stages), count=count, most=max(len(stages) - 1, 0))
    return [module for stage in stages[:count] for module in stage]


def _validate(state: TrainState, loader: Validation) -> Generator[ValidationStep, None, tuple[Tensor, Tensor]]:
    """As :func:`predict_logits`, with an event a batch, so that a stop need not wait for the end of the validation."""
    steps = predict_logits(state.world.broadcast_weights(state.kept_network()), loader, state.device, state.config, world=state.world)
    while True:
        try:
            number = next(steps)
        except StopIteration as end:
            return end.value
        yield ValidationStep(state.progress.epoch + 1, number, len(loader))


def _close_epoch(state: TrainState, result: dict[str, float]) -> EpochDone:
    progress = state.progress
    # Equal accuracy is common on easy data: the smaller loss then decides which weights are kept.
    improved = math.isfinite(result["loss"]) and (result["top1"], -result["loss"]) > (progress.best_accuracy, -progress.best_loss)
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
