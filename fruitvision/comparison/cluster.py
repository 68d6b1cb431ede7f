"""The trials of a study as independent tasks on a Ray cluster (https://docs.ray.io).

The study's folder and the pictures must have the same path on every machine, and fruitvision must be installed there. Each
task takes one CPU, and one GPU where the cluster has any. A study is stopped and continued as on one machine.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from fruitvision.comparison.runner import StudyRunner, train_trial
from fruitvision.comparison.study import StudyFolder, Trial
from fruitvision.errors import FruitVisionError, RunError

POLL_SECONDS = 0.5
LOCAL = "local"
"""The address for a Ray cluster on this machine, started for the study."""


def on_ray(address: str) -> type[StudyRunner]:
    """The runner for the cluster at ``address``. Raises FruitVisionError "ray-missing", RunError "ray-unreachable"."""
    try:
        import ray  # pyright: ignore[reportMissingImports]  # optional
    except ImportError:
        raise FruitVisionError("ray-missing") from None
    if not ray.is_initialized():
        try:
            ray.init(address=None if address == LOCAL else address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunError("ray-unreachable", address=address) from error
    return _RayRunner


class _RayRunner(StudyRunner):
    """Submits the trials and writes the study's status; the tasks write into their run folders only."""

    def train_all(self) -> bool:
        import ray  # pyright: ignore[reportMissingImports]  # optional

        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_train)
        path, threads = str(self.study.path.absolute()), torch.get_num_threads()
        remaining = [trial for trial in self.trials if not self.is_complete(trial)]
        waiting = {task.remote(path, self.plan.data, trial, threads): trial for trial in remaining}
        started, states = time.monotonic(), []
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=POLL_SECONDS)
            for one in done:
                waiting.pop(one)
                states.append(_result(one))
            self.heartbeat.notify()
            self.report(len(remaining), list(waiting.values()), time.monotonic() - started)
        return "stopped" not in states

    def report(self, submitted: int, waiting: list[Trial], seconds: float) -> None:
        """Write the status: the number of trials that are done, and the remaining time at this rate."""
        done = submitted - len(waiting)
        self.status.epoch, self.status.step = len(self.trials) - len(waiting), 0
        self.status.message = waiting[0].id if waiting else ""
        self.status.eta_s = seconds / done * len(waiting) if done else None
        self.writer.write()


def _train(path: str, data: str, trial: Trial, threads: int) -> str:
    """The task for one trial, with as many threads as the study's process, so that the results are the same."""
    torch.set_num_threads(threads)
    study = StudyFolder(path)
    if study.stop_file.exists():
        return "stopped"
    return train_trial(study, data, trial, lambda event: None).state


def _result(task: Any) -> str:
    """The final state of a task; raises what the task raised."""
    import ray  # pyright: ignore[reportMissingImports]  # optional

    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
