"""The cells of a study on a Ray cluster (https://docs.ray.io): they are independent, so each is a task of its own.

The study's folder and the pictures must lie at the same path on every machine, and fruitvision be installed there. Each
task holds one CPU (and one GPU where the cluster has any). Stopping and going on are those of any study.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from fruitvision.comparison.study import Cell, StudyFolder, Work, is_settled, train_cell
from fruitvision.errors import RunError, UsageError

LOOK_SECONDS = 0.5
LOCAL = "local"
"""The address of a Ray that is started here, for the time of the study."""


def on_ray(address: str) -> type[Work]:
    """The work of a study on the cluster at ``address``. Raises UsageError "ray-missing", RunError "ray-unreachable"."""
    try:
        import ray
    except ImportError:
        raise UsageError("ray-missing", "Ray is not installed here.", "Install it: python -m pip install ray") from None
    if not ray.is_initialized():
        try:
            ray.init(address=None if address == LOCAL else address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunError(
                "ray-unreachable", f"No Ray cluster answers at {address}.", "Check the address, or use --ray local.", address=address
            ) from error
    return _RayWork


class _RayWork(Work):
    """The study's process: hands out the cells and keeps the status; the tasks write into their run folders alone."""

    def train_all(self) -> bool:
        import ray

        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_train)
        path, threads = str(self.study.path.absolute()), torch.get_num_threads()
        left = [cell for cell in self.cells if not is_settled(self.study.run(cell))]
        waiting = {task.remote(path, self.plan.data, cell, threads): cell for cell in left}
        began, states = time.monotonic(), []
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=LOOK_SECONDS)
            for one in done:
                waiting.pop(one)
                states.append(_result(one))
            self.pulse.notify()
            self.note(len(left), list(waiting.values()), time.monotonic() - began)
        return "stopped" not in states

    def note(self, asked: int, waiting: list[Cell], seconds: float) -> None:
        """Where the study stands: how many cells are done, and how long the rest may take at this pace."""
        done = asked - len(waiting)
        self.status.epoch, self.status.step = len(self.cells) - len(waiting), 0
        self.status.message = waiting[0].id if waiting else ""
        self.status.eta_s = seconds / done * len(waiting) if done else None
        self.write_status()


def _train(path: str, data: str, cell: Cell, threads: int) -> str:
    """A task: one cell, with as many threads as the study's own process has, so that its figures are the same."""
    torch.set_num_threads(threads)
    study = StudyFolder(path)
    if study.stop_file.exists():
        return "stopped"
    return train_cell(study, data, cell, lambda event: None).state


def _result(task: Any) -> str:
    """The state that a task ended in; what it raised is raised here, as it was there."""
    import ray

    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
