"""Predictions for a validation or test split, and their metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fruitvision.data.load.loader import EvalLoader, MixedEvalLoader
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import autocast, inference_memory_format
from fruitvision.training.distributed import SINGLE_PROCESS, World
from fruitvision.training.loss import likelihood_loss

T = TypeVar("T")

Validation = EvalLoader | MixedEvalLoader


def evaluate(
    network: nn.Module,
    loader: Validation,
    device: torch.device,
    config: TrainConfig,
    *,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Loss (nats) and accuracies (0..1) of a network on a split; ``on_batch`` is called after each batch."""
    logits, labels = consume(predict_logits(network, loader, device, config), on_batch)
    return summarize(logits, labels, loader.membership)


def consume(steps: Generator[Any, None, T], on_step: Callable[[], None] = lambda: None) -> T:
    """Exhaust a generator and return its value; ``on_step`` is called after each item."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        on_step()


def predict_logits(
    network: nn.Module,
    loader: Validation,
    device: torch.device,
    config: TrainConfig,
    *,
    per_view: bool = False,
    world: World = SINGLE_PROCESS,
) -> Generator[int, None, tuple[Tensor, Tensor]]:
    """Yield the number of each finished batch; return (logits (N, C), labels (N,)) on the CPU in float32.

    The probabilities of several views of a picture are averaged; with ``per_view`` the logits of each are returned, (N, V, C).
    The processes of a ``world`` divide the batches, none dropped or repeated; all yield equally often and return all of them.
    """
    network.eval()
    logits, labels = [], []
    batches, layout = loader.batches(world.shard), inference_memory_format(config)
    for turn in range(math.ceil(len(loader) / world.size)):
        number = min((turn + 1) * world.size, len(loader))
        batch = next(batches, None)
        if batch is None:
            yield number
            continue
        with torch.inference_mode(), autocast(config, device):
            output = network(batch.images.to(device, memory_format=layout)).logits.float().cpu()
        output = output.unflatten(0, (len(batch.labels), -1))
        if not per_view:
            output = output[:, 0] if output.shape[1] == 1 else output.softmax(dim=2).mean(dim=1).log()
        logits.append(output)
        labels.append(batch.labels)
        yield number
    return torch.cat(world.all_gather(logits)), torch.cat(world.all_gather(labels))


def summarize(logits: Tensor, labels: Tensor, membership: Tensor | None = None) -> dict[str, float]:
    """Loss (nats), top-1 and top-3 (0..1) of logits (N, C) for labels (N,), which are classes or sets of classes."""
    return {
        "images": len(labels),
        "loss": likelihood_loss(logits, labels, membership).item(),
        "top1": topk_correct(logits, labels, membership).double().mean().item(),
        "top3": topk_correct(logits, labels, membership, k=3).double().mean().item(),
    }


def topk_correct(logits: Tensor, labels: Tensor, membership: Tensor | None = None, *, k: int = 1) -> Tensor:
    """(N,) bool: whether one of the ``k`` most probable classes is the label, or in its set."""
    likeliest = logits.topk(min(k, logits.shape[1]), dim=1).indices
    if membership is None:
        return (likeliest == labels[:, None]).any(dim=1)
    return membership[labels[:, None], likeliest].any(dim=1)


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts (num_classes, num_classes): rows are true classes, columns predictions."""
    cells = labels.long() * num_classes + predicted.long()
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def recall_and_precision(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Per class (num_classes,), from :func:`confusion_matrix`; NaN for a class that never occurs or is never predicted."""
    right = counts.diagonal().double()
    return right / counts.sum(dim=1), right / counts.sum(dim=0)


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: values over equal-width bins of confidence, each (bins,) float64; NaN in an empty bin."""

    counts: Tensor
    confidence: Tensor
    """The mean confidence."""
    accuracy: Tensor
    """The fraction of correct predictions."""

    @property
    def error(self) -> float:
        """The expected calibration error (Guo et al. 2017, arXiv:1706.04599): 0 (calibrated) .. 1; NaN without pictures."""
        gaps = (self.confidence - self.accuracy).abs().nan_to_num(0) * self.counts
        return (gaps.sum() / self.counts.sum()).item()


def reliability(confidence: Tensor, correct: Tensor, bins: int = 15) -> Reliability:
    """How often predictions of each confidence are correct. confidence: (N,) in 0..1, correct: (N,) bool."""
    index = (confidence.double() * bins).long().clamp(0, bins - 1)
    counts = torch.bincount(index, minlength=bins).double()
    sums = (torch.bincount(index, weights=values.double(), minlength=bins) for values in (confidence, correct))
    return Reliability(counts, *(total / counts for total in sums))


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """As :attr:`Reliability.error`; NaN without pictures."""
    return reliability(confidence, correct, bins).error if len(confidence) else float("nan")


def fraction_true(flags: Tensor) -> float | None:
    """The fraction of (N,) bool that is true; None if N is 0."""
    return flags.double().mean().item() if len(flags) else None
