"""A study: one network under several norms, everything else the same, trained one after the other.

    study.json     what was asked for (StudyPlan)
    status.json    where it stands
    about.json     command, machine, date (see circumstances.py)
    runs/<cell>/   a run folder for each norm, batch size and seed
    stop           asks it to stop

The cells of one seed begin with the same convolution weights and see the same pictures, in the same order, augmented
alike. A finished cell is never trained again, so a study that was stopped goes on where it was. A cell whose loss
diverged is a result, not a failure.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fruitvision.comparison.circumstances import circumstances
from fruitvision.errors import ConfigError, FruitVisionError, RunError, TrainingError
from fruitvision.files import write_text
from fruitvision.runs.folder import RunConfig, RunFolder, RunStatus
from fruitvision.runs.job.loop import execute
from fruitvision.runs.lock import hold_lock
from fruitvision.runs.process import Heartbeat
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import EpochDone, Event, StepDone, choose_device

DEFAULT_NORMS = ("batch", "layer", "instance", "group")
STATUS_SECONDS = 0.5
DIVERGED = "non-finite"
"""How the codes of a training begin whose numbers were not finite any more."""
PLAN = "study.json"
# Settings of a study where it names none: the fast recipe from random weights; small pictures and a quarter of the width, so
# that four norms, three batch sizes and three seeds end within two hours on a laptop. One learning rate for all batch sizes.
# Each epoch is measured on the test pictures where there are any, and the last epoch's accuracy is what is compared: it
# was not chosen by them, as a best epoch would be.
BASE: dict[str, Any] = {
    "start": "scratch",
    "width": 16,
    "image_size": 48,
    "first_image_size": 0,
    "epochs": 10,
    "batch_size": 32,
    "val_fraction": 0.0,
    "precision": "float32",
}
MEMORY = "memory"
"""The kind of a run's records that say how much memory its process has needed so far."""


@dataclass(frozen=True)
class Budget:
    """How much the Compare panel's choices spend: settings, batch sizes and seeds of a study."""

    settings: dict[str, Any]
    batch_sizes: tuple[int, ...] = (BASE["batch_size"],)
    seeds: tuple[int, ...] = (0,)


BUDGETS = {
    "quick": Budget({"epochs": 12, "max_train_images": 1000}),
    "batches": Budget({"max_train_images": 2000}, (2, 8, 32), (0, 1, 2)),
    "fair": Budget({"width": 32, "image_size": 64, "max_train_images": 3000}),
    "thorough": Budget({"width": 32, "image_size": 64, "max_train_images": 3000}, seeds=(0, 1, 2)),
}


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    norm: str
    batch_size: int
    seed: int
    training: TrainConfig

    @property
    def id(self) -> str:
        """The name of its run folder."""
        return f"{self.norm}-b{self.batch_size}-s{self.seed}"


class StudyPlan(BaseModel):
    """What a study compares, and on what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    norms: tuple[str, ...] = DEFAULT_NORMS
    batch_sizes: tuple[int, ...] = (BASE["batch_size"],)
    seeds: tuple[int, ...] = (0,)
    training: dict[str, Any] = {}
    name: str = ""
    created: float = Field(default_factory=time.time)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> StudyPlan:
        """Validate a study and each of its cells before anything is trained. Raises ConfigError."""
        try:
            plan = cls.model_validate(dict(values))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(p) for p in fault['loc'])}: {fault['msg'].lower()}" for fault in error.errors(include_url=False)
            )
            raise ConfigError(
                "bad-settings", f"These settings cannot be used: {faults}.", "Correct them and try again.", faults=faults
            ) from None
        norms = tuple(dict.fromkeys(plan.norms))
        plan = plan.model_copy(update={"norms": norms, "batch_sizes": _once(plan.batch_sizes), "seeds": _once(plan.seeds)})
        if len(plan.norms) * len(plan.batch_sizes) < 2:
            raise ConfigError("study-needs-two", "A comparison needs two things to compare.", "Choose at least two norms, or batch sizes.")
        plan.cells()
        return plan

    def holds(self, other: StudyPlan) -> bool:
        """Whether every cell of ``other`` is one of this study's, trained the same way on the same data."""
        wider = all(set(getattr(self, axis)) >= set(getattr(other, axis)) for axis in ("norms", "batch_sizes", "seeds"))
        return wider and (self.data, self.training) == (other.data, other.training)

    def settings(self) -> dict[str, Any]:
        """What the cells have in common, where it is not the preset's."""
        return {**{name: value for name, value in BASE.items() if name != "batch_size"}, **self.training}

    def cells(self) -> list[Cell]:
        """Every run of the study; all norms of one seed and batch size before the next. Raises ConfigError."""
        return [
            Cell(
                norm,
                batch_size,
                seed,
                TrainConfig.from_preset("fast", **{**BASE, **self.training, "norm": norm, "batch_size": batch_size, "seed": seed}),
            )
            for seed in self.seeds
            for batch_size in self.batch_sizes
            for norm in self.norms
        ]


def _once(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(values))


class StudyFolder:
    """One study, by its folder; readable while the study goes on."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._folder = RunFolder(path)

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether a study was ever set up here."""
        return (self.path / PLAN).is_file()

    def create(self, plan: StudyPlan) -> StudyFolder:
        """Write the plan of a new study, or of one that lies there and is given more norms, batch sizes or seeds.

        Raises RunError "study-differs" where another one lies there.
        """
        if self.exists:
            before = self.plan()
            if not plan.holds(before):
                raise RunError(
                    "study-differs",
                    f"The study in {self.path} compares something else.",
                    "Leave the options out to go on with it, or choose another folder.",
                    path=str(self.path),
                )
            if len(plan.cells()) > len(before.cells()):
                grown = plan.model_copy(update={"name": before.name, "created": before.created})
                write_text(self.path / PLAN, grown.model_dump_json(indent=1) + "\n")
            return self
        write_text(self.path / PLAN, plan.model_dump_json(indent=1) + "\n")
        self.write_status(RunStatus(heartbeat=time.time(), epochs=len(plan.cells())))
        return self

    def plan(self) -> StudyPlan:
        """Read the plan. Raises RunError "study-missing"."""
        try:
            return StudyPlan.model_validate_json((self.path / PLAN).read_bytes())
        except (OSError, ValidationError):
            raise RunError(
                "study-missing", f"There is no study in {self.path} that can be read.", "Start a new one.", path=str(self.path)
            ) from None

    def run(self, cell: Cell) -> RunFolder:
        """The run folder of a cell, whether it was begun or not."""
        return RunFolder(self.path / "runs" / cell.id)

    def status(self) -> RunStatus:
        """Where the study stands; ``epoch`` of ``epochs`` counts its finished cells, ``message`` is the cell at work."""
        return self._folder.status()

    def write_status(self, status: RunStatus) -> None:
        """Replace the status."""
        self._folder.write_status(status)

    def request_stop(self) -> None:
        """Ask the study to stop after the step it is in."""
        self._folder.request_stop()

    def end(self) -> None:
        """End its process at once, as :meth:`RunFolder.end`."""
        self._folder.end()

    @property
    def about_file(self) -> Path:
        """With what it is measured."""
        return self.path / "about.json"

    @property
    def stop_file(self) -> Path:
        """Its presence asks the study to stop."""
        return self._folder.stop_file


def run_study(
    plan: StudyPlan | None, out: str | Path, *, on_event: Callable[[Event], None] | None = None, work: type[Work] | None = None
) -> RunStatus:
    """Train every cell of a study that is not finished yet; without a plan, go on with the one in ``out``.

    ``work`` does it: one cell after the other in this process, if it is not said otherwise (see cluster.py).
    Raises RunError "busy" while a run or a study goes on beside ``out``, and whatever a run raises but divergence.
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
        if not launched:  # what is there was asked of a process that is gone; while this one was awaited, of this one
            study.stop_file.unlink(missing_ok=True)
        return (work or Work)(study, plan, on_event).run()


class Work:
    """One execution of a study: its folder's only writer."""

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
        self.took: dict[int, float] = {}  # batch size → seconds
        self.began, self.last_status = time.monotonic(), 0.0
        self.pulse = Heartbeat(self.write_status)

    def run(self) -> RunStatus:
        with self.pulse:
            return self.work()

    def work(self) -> RunStatus:
        """Train, and write down how it ended."""
        try:
            write_text(self.study.about_file, json.dumps(circumstances(self.plan), indent=1, ensure_ascii=False) + "\n")
            return self.end("finished" if self.train_all() else "stopped")
        except FruitVisionError as error:
            self.status.error = error.as_dict()
            self.end("failed")
            raise
        except BaseException:
            self.end("interrupted")
            raise

    def train_all(self) -> bool:
        """Train what is not finished, one cell after the other; whether all of it is done."""
        for number, cell in enumerate(self.cells):
            self.status.epoch, self.status.step, self.status.message = number, 0, cell.id
            self.write_status()
            self.pulse.notify()
            if is_settled(self.study.run(cell)):
                continue
            if self.study.stop_file.exists() or self.train(cell).state == "stopped":
                return False
        self.status.epoch = len(self.cells)
        return True

    def train(self, cell: Cell) -> RunStatus:
        began = time.monotonic()

        def watch(event: Event) -> None:
            if isinstance(event, StepDone):
                share = (event.epoch - 1 + event.step / event.steps) / cell.training.epochs
                self.status.step = int(share * self.status.steps)
                if share > 0.02:
                    self.status.eta_s = self.time_left(share, (time.monotonic() - began) / share)
            if time.monotonic() - self.last_status > STATUS_SECONDS:
                self.write_status()
            if self.on_event:
                self.on_event(event)

        status = train_cell(self.study, self.plan.data, cell, watch, self.pulse.notify)
        self.took[cell.batch_size] = time.monotonic() - began
        return status

    def time_left(self, share: float, this_one: float) -> float:
        """Seconds, where a cell of ``this_one`` seconds is done by ``share``: others take as long as the last of their batch size."""
        later = self.cells[self.status.epoch + 1 :]
        return (1 - share) * this_one + sum(self.took.get(cell.batch_size, this_one) for cell in later)

    def write_status(self) -> None:
        self.status.heartbeat = time.time()
        self.status.seconds = time.monotonic() - self.began  # the clock may be set meanwhile
        self.study.write_status(self.status)
        self.last_status = time.monotonic()

    def end(self, state: Any) -> RunStatus:
        self.status.state, self.status.eta_s = state, None
        self.study.stop_file.unlink(missing_ok=True)
        self.write_status()
        return self.status


def train_cell(
    study: StudyFolder, data: str, cell: Cell, watch: Callable[[Event], None], sign: Callable[[], None] = lambda: None
) -> RunStatus:
    """One cell from where it stands to its end, or to the study's being stopped; a loss that diverged is an end too.

    sign: called whenever something was done.
    """
    run = study.run(cell)
    if not run.exists:
        run.create(RunConfig(name=cell.id, data=data, training=cell.training))
    memory = PeakMemory(cell.training)

    def follow(event: Event) -> None:
        memory.look()
        if isinstance(event, EpochDone):
            run.append({"kind": MEMORY, "epoch": event.epoch, "peak_mb": round(memory.peak_mb, 1)})
        watch(event)

    def pass_on() -> None:
        sign()
        if study.stop_file.exists():
            run.request_stop()

    try:
        return execute(run.path, on_event=follow, on_progress=pass_on, lock=False)
    except TrainingError as error:
        if not error.code.startswith(DIVERGED):
            raise
        return run.status()


class PeakMemory:
    """The most memory seen in use, in MB: a CUDA device's own count, otherwise what the system gave to this process."""

    def __init__(self, training: TrainConfig) -> None:
        self._process, self.peak_mb = psutil.Process(), 0.0
        self._cuda = choose_device(training.device).type == "cuda"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()

    def look(self) -> None:
        """Take note of what is in use now."""
        used = torch.cuda.max_memory_allocated() if self._cuda else self._process.memory_info().rss
        self.peak_mb = max(self.peak_mb, used / 2**20)


def is_settled(run: RunFolder) -> bool:
    """Whether a cell needs no more training: it is finished, or its loss diverged."""
    return run.exists and (run.status().state == "finished" or diverged(run.status()))


def diverged(status: RunStatus) -> bool:
    """Whether a run ended because its numbers were not finite any more."""
    return status.state == "failed" and str((status.error or {}).get("code", "")).startswith(DIVERGED)


def list_studies(root: str | Path) -> list[StudyFolder]:
    """The studies directly under ``root``, newest first."""
    root = Path(root)
    found = [StudyFolder(path) for path in root.iterdir() if (path / PLAN).is_file()] if root.is_dir() else []
    dated = []
    for study in found:
        try:
            dated.append((study.plan().created, study))
        except RunError:
            continue
    return [study for _, study in sorted(dated, key=lambda pair: pair[0], reverse=True)]
