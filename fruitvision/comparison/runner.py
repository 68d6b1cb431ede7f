"""Running a study: its cells one after another, with its status, in one process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from fruitvision.comparison.bn_statistics import record_test_statistics
from fruitvision.comparison.provenance import provenance
from fruitvision.comparison.study import DIVERGED, Cell, StudyFolder, StudyPlan, is_done
from fruitvision.errors import FruitVisionError, TrainingError
from fruitvision.files import write_text
from fruitvision.runs.folder import RunConfig, RunFolder, RunStatus
from fruitvision.runs.job.loop import execute
from fruitvision.runs.lock import hold_lock
from fruitvision.runs.process import Heartbeat
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import choose_device
from fruitvision.training.engine import EpochDone, Event, StepDone

STATUS_SECONDS = 0.5


def run_study(
    plan: StudyPlan | None, out: str | Path, *, on_event: Callable[[Event], None] | None = None, runner: type[StudyRunner] | None = None
) -> RunStatus:
    """Train every cell of a study that is not finished yet; without a plan, continue the one in ``out``.

    ``runner``: by default one cell after another in this process; on a cluster see cluster.py.

    Raises RunError "busy" while another run or study is running under the same root; other errors of a run, except divergence.
    """
    study = StudyFolder(out)
    plan = study.plan() if plan is None else plan
    launched = study.exists and study.status().state == "waiting"
    try:
        lock = hold_lock(study.path, plan.name or study.id)
    except FruitVisionError as error:
        if study.exists:
            RunFolder(study.path).mark_not_started(error)
        raise
    with lock:
        study.create(plan)
        if not launched:  # a stop file is from before, unless the study was launched and is waiting for this process
            study.stop_file.unlink(missing_ok=True)
        return (runner or StudyRunner)(study, plan, on_event).run()


class StudyRunner:
    """Trains the cells one after another, and is the only writer of the study's folder."""

    def __init__(self, study: StudyFolder, plan: StudyPlan, on_event: Callable[[Event], None] | None) -> None:
        self.study, self.plan, self.on_event = study, plan, on_event
        self.cells = plan.cells()
        process = psutil.Process()
        self.status = RunStatus(
            state="running",
            pid=process.pid,
            process_started=process.create_time(),
            started=time.time(),
            epochs=len(self.cells),
            steps=1000,
        )
        self.cell_seconds: dict[int, float] = {}  # by batch size, of the last cell
        self.started, self.last_status = time.monotonic(), 0.0
        self.pulse = Heartbeat(self.write_status)

    def run(self) -> RunStatus:
        """Train, and write the final status."""
        with self.pulse:
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
        """Train the cells that are not done; returns whether all are done now."""
        for number, cell in enumerate(self.cells):
            self.status.epoch, self.status.step, self.status.message = number, 0, cell.id
            self.write_status()
            self.pulse.notify()
            if is_done(self.study.run(cell)):
                continue
            if self.study.stop_file.exists() or self.train(cell).state == "stopped":
                return False
        self.status.epoch = len(self.cells)
        return True

    def train(self, cell: Cell) -> RunStatus:
        started = time.monotonic()

        def on_event(event: Event) -> None:
            if isinstance(event, StepDone):
                share = (event.epoch - 1 + event.step / event.steps) / cell.training.epochs
                self.status.step = int(share * self.status.steps)
                if share > 0.02:
                    self.status.eta_s = self.time_left(share, (time.monotonic() - started) / share)
            if time.monotonic() - self.last_status > STATUS_SECONDS:
                self.write_status()
            if self.on_event:
                self.on_event(event)

        status = train_cell(self.study, self.plan.data, cell, on_event, self.pulse.notify)
        self.cell_seconds[cell.batch_size] = time.monotonic() - started
        return status

    def time_left(self, share: float, this_cell: float) -> float:
        """Seconds, where ``share`` of a cell of ``this_cell`` seconds is done; others take as long as the last of their batch size."""
        later = self.cells[self.status.epoch + 1 :]
        return (1 - share) * this_cell + sum(self.cell_seconds.get(cell.batch_size, this_cell) for cell in later)

    def write_status(self) -> None:
        self.status.heartbeat = time.time()
        self.status.seconds = time.monotonic() - self.started  # the wall clock may be changed meanwhile
        self.study.write_status(self.status)
        self.last_status = time.monotonic()

    def end(self, state: Any) -> RunStatus:
        self.status.state, self.status.eta_s = state, None
        self.study.stop_file.unlink(missing_ok=True)
        self.write_status()
        return self.status


def train_cell(
    study: StudyFolder, data: str, cell: Cell, on_event: Callable[[Event], None], on_sign: Callable[[], None] = lambda: None
) -> RunStatus:
    """Train a cell from its current state until it is done or the study is asked to stop.

    ``on_sign`` is called after every step of work, as ``on_progress`` by :func:`fruitvision.runs.job.loop.execute`.
    """
    run = study.run(cell)
    if not run.exists:
        run.create(RunConfig(name=cell.id, data=data, training=cell.training))  # pyright: ignore[reportCallIssue]  # the others have defaults
    memory = PeakMemory(cell.training)

    def record_memory(event: Event) -> None:
        memory.update()
        if isinstance(event, EpochDone):
            run.append({"kind": "memory", "epoch": event.epoch, "peak_mb": round(memory.peak_mb, 1)})
        on_event(event)

    def pass_stop_on() -> None:
        on_sign()
        if study.stop_file.exists():
            run.request_stop()

    try:
        status = execute(run.path, on_event=record_memory, on_progress=pass_stop_on, lock=False)
        if status.state == "finished":
            record_test_statistics(run, on_sign)
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
