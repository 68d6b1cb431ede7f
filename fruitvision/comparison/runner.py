"""Running a study: its trials one after another in one process, and the study's status."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from fruitvision.comparison.bn_statistics import record_test_statistics
from fruitvision.comparison.provenance import provenance
from fruitvision.comparison.study import DIVERGED, StudyFolder, StudyPlan, Trial, is_done
from fruitvision.errors import FruitVisionError, TrainingError
from fruitvision.files import write_text
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.runs.job.status import StatusWriter
from fruitvision.runs.lock import hold_lock
from fruitvision.runs.process import Heartbeat
from fruitvision.runs.status import RunStatus, State
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import choose_device
from fruitvision.training.engine import EpochDone, Event, StepDone


def run_study(
    plan: StudyPlan | None, out: str | Path, *, on_event: Callable[[Event], None] | None = None, runner: type[StudyRunner] | None = None
) -> RunStatus:
    """Train every trial of a study that is not finished yet; without a plan, continue the one in ``out``.

    ``runner``: by default one trial after another in this process; on a cluster see cluster.py.

    Raises RunError "busy" while another run or study is running under the same root, "run-has-link" for a study with links in it; other
    errors of a run, except divergence.
    """
    study = StudyFolder(out)
    plan = study.plan() if plan is None else plan
    RunFolder(study.path).refuse_links()
    launched = study.exists and study.status().state == "waiting"
    try:
        lock = hold_lock(study.path, plan.name or study.id)
    except FruitVisionError as error:
        if study.exists:
            RunFolder(study.path).mark_not_started(error)
        raise
    with lock:
        study.create(plan)
        if not launched:  # then a stop file was meant for an earlier process
            study.stop_file.unlink(missing_ok=True)
        return (runner or StudyRunner)(study, plan, on_event).run()


class StudyRunner:
    """Trains the trials one after another, and is the only writer of the study's folder."""

    def __init__(self, study: StudyFolder, plan: StudyPlan, on_event: Callable[[Event], None] | None) -> None:
        self.study, self.plan, self.on_event = study, plan, on_event
        self.trials = plan.trials()
        self.writer = StatusWriter(RunFolder(study.path), RunStatus(state="running", epochs=len(self.trials), steps=1000))
        self.status = self.writer.status
        self.trial_seconds: dict[int, float] = {}
        """How long the last trial of each batch size took."""
        self.heartbeat = Heartbeat(self.writer.beat)

    def run(self) -> RunStatus:
        """Train all trials; returns the final status, which is written."""
        with self.heartbeat:
            try:
                write_text(self.study.about_file, json.dumps(provenance(self.plan), indent=1, ensure_ascii=False) + "\n")
                return self.end("finished" if self.train_all() else "stopped")
            except FruitVisionError as error:
                self.status.error = error.as_dict()
                self.end("failed")
                raise
            except BaseException:
                self.end("interrupted")
                raise

    def train_all(self) -> bool:
        """Train the trials that are not done yet; returns whether all are done afterwards."""
        for number, trial in enumerate(self.trials):
            self.status.epoch, self.status.step, self.status.message = number, 0, trial.id
            self.writer.write()
            self.heartbeat.notify()
            if self.is_complete(trial):
                continue
            if self.study.stop_file.exists() or self.train(trial).state == "stopped":
                return False
        self.status.epoch = len(self.trials)
        return True

    def is_complete(self, trial: Trial) -> bool:
        """Whether a trial is done. Its test statistics are measured now if the process ended before it had them."""
        run = self.study.run(trial)
        if is_done(run) and run.status().state == "finished":
            record_test_statistics(run, self.heartbeat.notify)
        return is_done(run)

    def train(self, trial: Trial) -> RunStatus:
        """Train one trial and update the status of the study after each step."""
        started = time.monotonic()

        def on_event(event: Event) -> None:
            if isinstance(event, StepDone):
                done = (event.epoch - 1 + event.step / event.steps) / trial.training.epochs
                self.status.step = int(done * self.status.steps)
                if done > 0.02:
                    self.status.eta_s = self.time_left(done, (time.monotonic() - started) / done)
            self.writer.write_if_due()
            if self.on_event:
                self.on_event(event)

        status = train_trial(self.study, self.plan.data, trial, on_event, self.heartbeat.notify)
        self.trial_seconds[trial.batch_size] = time.monotonic() - started
        return status

    def time_left(self, done: float, this_trial: float) -> float:
        """Seconds that are left where ``done`` (0..1) of a trial of ``this_trial`` seconds is done.

        Each later trial is expected to take as long as the last one with its batch size.
        """
        later = self.trials[self.status.epoch + 1 :]
        return (1 - done) * this_trial + sum(self.trial_seconds.get(trial.batch_size, this_trial) for trial in later)

    def end(self, state: State) -> RunStatus:
        """Write the final status."""
        self.status.state, self.status.eta_s = state, None
        self.study.stop_file.unlink(missing_ok=True)
        self.writer.write()
        return self.status


def train_trial(
    study: StudyFolder, data: str, trial: Trial, on_event: Callable[[Event], None], on_progress: Callable[[], None] = lambda: None
) -> RunStatus:
    """Train a trial from its current state until it is done or the study is asked to stop.

    ``on_event`` and ``on_progress``: as for :func:`fruitvision.runs.job.loop.execute`.
    """
    run = study.run(trial)
    if not run.exists:
        run.create(RunConfig(name=trial.id, data=data, training=trial.training))  # pyright: ignore[reportCallIssue]  # the others have defaults
    memory = PeakMemory(trial.training)

    def record_memory(event: Event) -> None:
        memory.update()
        if isinstance(event, EpochDone):
            run.append({"kind": "memory", "epoch": event.epoch, "peak_mb": round(memory.peak_mb, 1)})
        on_event(event)

    def forward_stop() -> None:
        on_progress()
        if study.stop_file.exists():
            run.request_stop()

    try:
        status = execute(run.path, on_event=record_memory, on_progress=forward_stop, lock=False)
        if status.state == "finished":
            record_test_statistics(run, on_progress)
        return status
    except TrainingError as error:
        if not error.code.startswith(DIVERGED):
            raise
        return run.status()


class PeakMemory:
    """Peak memory in MB: allocated on a CUDA device, otherwise the resident set of this process."""

    def __init__(self, training: TrainConfig) -> None:
        self._process, self.peak_mb = psutil.Process(), 0.0
        self._cuda = choose_device(training.device).type == "cuda"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()

    def update(self) -> None:
        """Include the memory in use now."""
        used = torch.cuda.max_memory_allocated() if self._cuda else self._process.memory_info().rss
        self.peak_mb = max(self.peak_mb, used / 2**20)
