"""The context of one execution of a run: folder, processes, status, and stop requests."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import torch

from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.status import StatusWriter
from fruitvision.runs.process import Heartbeat
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import has_bfloat16, precision_name
from fruitvision.training.distributed import World
from fruitvision.training.evaluation import consume

T = TypeVar("T")


class Stopped(Exception):
    """A stop of the run was requested."""


class ReadOnlyRun(RunFolder):
    """The run folder for all processes but the first, which may be on another machine: nothing is written."""

    def write_status(self, status: RunStatus) -> None:
        """Process 0 does."""

    def append(self, record: dict[str, Any]) -> None:
        """Process 0 does."""

    def log(self, line: str) -> None:
        """Process 0 does."""

    def forget_after(self, epoch: int, step: int) -> None:
        """Process 0 does."""


class Session:
    """One execution of a run, on one of its processes."""

    def __init__(self, folder: RunFolder, config: RunConfig, world: World, on_progress: Callable[[], None] | None) -> None:
        self.folder, self.config, self.world = folder, config, world
        self.training = config.training
        """The training settings; :meth:`choose_precision` replaces the precision "auto"."""
        self.status_writer = StatusWriter.of_run(folder, config.training.epochs)
        self.heartbeat = Heartbeat(self.status_writer.beat)
        self._on_progress = on_progress

    @property
    def status(self) -> RunStatus:
        """The current status, which is written from time to time."""
        return self.status_writer.status

    def choose_precision(self, device: torch.device, saved: Mapping[str, Any]) -> TrainConfig:
        """Choose the precision if it is "auto": the same for all processes, and that of the ``saved`` state if the device supports it."""
        if self.training.precision == "auto":
            before = saved.get("precision", {})
            suits = before.get("device") == device.type and (before["name"] != "bfloat16" or has_bfloat16(device))
            name = before["name"] if suits else precision_name(self.training, device)
            self.training = self.training.model_copy(update={"precision": self.world.broadcast(name)})
        return self.training

    def notify(self) -> None:
        """The work has made progress."""
        self.heartbeat.notify()
        if self._on_progress:
            self._on_progress()

    def stop_if_asked(self) -> None:
        """Raise Stopped if a stop was requested; all processes call this at the same time."""
        if self.world.any(self.world.is_global_zero and self.folder.stop_file.exists()):
            raise Stopped

    def reading(self, done: int, total: int | None) -> None:
        """Report progress of reading or downloading. With several processes, which read independently, a stop request is only handled
        later."""
        self.notify()
        if self.world.size == 1:
            self.stop_if_asked()

    def wait(self, steps: Generator[Any, None, T]) -> T:
        """Exhaust a generator, reporting progress, and return its value. Raises Stopped."""

        def after_each() -> None:
            self.notify()
            self.status_writer.write_if_due()
            self.stop_if_asked()

        return consume(steps, after_each)
