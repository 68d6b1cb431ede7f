"""Experiment trackers, each an optional package: TensorBoard, trackio, Weights & Biases, MLflow.

``--set tensorboard=true`` and ``--set tracker=trackio`` (or ``wandb``, ``mlflow``) enable them; both can be used together. The run
folder's ``metrics.jsonl`` is always written.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from fruitvision.errors import TrainingError
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import EpochDone, Event, StepDone

FOLDER, PROJECT = "tensorboard", "fruitvision"
OF_STEP = ("loss", "lr", "grad_norm", "images_per_s")
NOT_OF_EPOCH = ("epoch", "improved")


class Writer(Protocol):
    """The interface to one of these trackers."""

    def log(self, values: Mapping[str, float], step: int, epoch: int | None) -> None:
        """Log values by name at a step of the whole run, from 1; ``epoch``: if they are an epoch's."""

    def close(self) -> None:
        """Flush and close."""


class Tracker:
    """Logs the values of every step and epoch of a run."""

    def __init__(self, writer: Writer) -> None:
        self._writer, self._step = writer, 0
        self.close = writer.close

    def __call__(self, event: Event) -> None:
        """Log one event."""
        if isinstance(event, StepDone):
            self._step = (event.epoch - 1) * event.steps + event.step
            self._writer.log({f"step/{name}": getattr(event, name) for name in OF_STEP}, self._step, None)
        elif isinstance(event, EpochDone):
            values = {f"epoch/{name}": value for name, value in asdict(event).items() if name not in NOT_OF_EPOCH}
            self._writer.log(values, self._step, event.epoch)


class TensorBoard:
    """Writes to the run folder's ``tensorboard/`` by torch's SummaryWriter; an epoch's values are logged at its number."""

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        """``first_step``: events from there on are discarded. Raises TrainingError "tensorboard-missing"."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError("tensorboard-missing") from error
        self._writer = SummaryWriter(folder / FOLDER, purge_step=first_step or None)

    def log(self, values: Mapping[str, float], step: int, epoch: int | None) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step if epoch is None else epoch)
        if epoch is not None:
            self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Trackio:
    """Writes to trackio's local folder (``TRACKIO_DIR``); ``trackio show`` displays it."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._trackio = trackio = _import("trackio")
        with contextlib.redirect_stdout(sys.stderr):
            self._run = trackio.init(
                PROJECT, name=folder.name, config=dict(settings), resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
            )

    def log(self, values: Mapping[str, float], step: int, epoch: int | None) -> None:
        self._run.log(_finite(values, epoch), step=step)

    def close(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            self._trackio.finish()  # not the run's own method, which would be called again, with output, at exit


class WeightsAndBiases:
    """Logs to the account of ``wandb login``, or as set by ``WANDB_MODE``, for example "offline"."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        wandb = _import("wandb")
        self._run = wandb.init(
            project=PROJECT, name=folder.name, id=_run_id(folder), config=dict(settings), dir=str(folder), resume="allow"
        )

    def log(self, values: Mapping[str, float], step: int, epoch: int | None) -> None:
        self._run.log(_finite(values, epoch), step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """Logs to ``MLFLOW_TRACKING_URI``; by default to the file ``mlflow.db`` beside the run's folder."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        mlflow = _import("mlflow")
        self._metric: Callable[..., Any] = mlflow.entities.Metric
        address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder.parent / 'mlflow.db').absolute().as_posix()}"
        self._client = mlflow.MlflowClient(tracking_uri=address)
        known = self._client.get_experiment_by_name(PROJECT)
        experiment = known.experiment_id if known else self._client.create_experiment(PROJECT)
        own = _run_id(folder)
        before = self._client.search_runs([experiment], f"tags.fruitvision_run = '{own}'", max_results=1)
        if before:
            self._run = before[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        self._run = self._client.create_run(experiment, run_name=folder.name, tags={"fruitvision_run": own}).info.run_id
        self._client.log_batch(self._run, params=[mlflow.entities.Param(name, str(value)[:500]) for name, value in settings.items()])

    def log(self, values: Mapping[str, float], step: int, epoch: int | None) -> None:
        now = int(time.time() * 1000)
        metrics = [self._metric(name, float(value), now, step) for name, value in _finite(values, epoch).items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        self._client.set_terminated(self._run)


WRITERS: dict[str, Callable[[Path, Mapping[str, Any]], Writer]] = {"trackio": Trackio, "wandb": WeightsAndBiases, "mlflow": MLflow}
"""Value of the setting ``tracker`` → writer."""


def open_trackers(training: TrainConfig, folder: Path, first_step: int) -> list[Tracker]:
    """The trackers that the configuration asks for. Raises TrainingError "tensorboard-missing", "tracker-missing"."""
    writers: list[Writer] = [TensorBoard(folder, first_step)] if training.tensorboard else []
    if training.tracker != "none":
        writers.append(WRITERS[training.tracker](folder, training.model_dump(mode="json")))
    return [Tracker(writer) for writer in writers]


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise TrainingError("tracker-missing", package=package) from error


def _finite(values: Mapping[str, float], epoch: int | None) -> dict[str, float]:
    """The finite values, with the epoch; metrics of a missing validation are NaN."""
    found = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    return found if epoch is None else {**found, "epoch": epoch}


def _run_id(folder: Path) -> str:
    """An id that is the same for a resumed run, derived from the path of its folder."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
