"""A run's metrics for TensorBoard, an optional package: ``pip install tensorboard``, then ``--set tensorboard=true``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fruitvision.errors import TrainingError
from fruitvision.training.engine import EpochDone, Event, StepDone

FOLDER = "tensorboard"


class TensorBoardWriter:
    """Writes every step and epoch under the run folder's ``tensorboard/``, through torch's own writer."""

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        """``first_step``: events from there on are discarded. Raises TrainingError "tensorboard-missing"."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError("tensorboard-missing") from error
        self._writer = SummaryWriter(folder / FOLDER, purge_step=first_step or None)

    def __call__(self, event: Event) -> None:
        """Write one event. Steps are counted over the whole run, from 1."""
        if isinstance(event, StepDone):
            step = (event.epoch - 1) * event.steps + event.step
            for name in ("loss", "lr", "grad_norm", "images_per_s"):
                self._writer.add_scalar(f"step/{name}", getattr(event, name), step)
        elif isinstance(event, EpochDone):
            for name, value in asdict(event).items():
                if name not in ("epoch", "improved"):
                    self._writer.add_scalar(f"epoch/{name}", value, event.epoch)
            self._writer.flush()

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()
