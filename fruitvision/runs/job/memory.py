"""Out-of-memory errors: recognizing them, and finding a batch size that fits."""

from __future__ import annotations

import torch

from fruitvision.errors import TrainingError
from fruitvision.training.device import autocast
from fruitvision.training.engine import to_device
from fruitvision.training.state import TrainState

WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, or Python itself, ran out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in WORDS)


def out_of_memory(state: TrainState) -> TrainingError:
    """The error to raise, with a batch size that fits, which is found by trying. ``state`` cannot be used afterwards.

    With several processes nothing is tried, since the others are in the middle of a step.
    """
    config, device = state.config, str(state.device)
    if state.world.size > 1:
        return TrainingError("out-of-memory-shared", device=device, batch_size=config.batch_size, processes=state.world.size)
    fits = fitting_batch(state)
    if fits is None:
        return TrainingError("out-of-memory-at-all", device=device, side=config.image_size)
    steps = -(-config.batch_size // fits) * config.accumulate
    return TrainingError("out-of-memory", device=device, batch_size=config.batch_size, fits=fits, accumulate=steps)


def fitting_batch(state: TrainState) -> int | None:
    """The largest of 1/2, 1/4, … of the batch size whose step fits into memory, at least two; None if none does."""
    size = state.config.batch_size // 2
    while size >= 2:
        _free(state)
        try:
            side = state.config.image_size
            with autocast(state.config, state.device):
                logits = state.network.train()(to_device(torch.zeros(size, 3, side, side), state)).logits
            logits.float().sum().backward()
            return size
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            size //= 2
        finally:
            _free(state)
    return None


def _free(state: TrainState) -> None:
    state.optimizer.zero_grad(set_to_none=True)
    if state.device.type == "cuda":
        torch.cuda.empty_cache()
