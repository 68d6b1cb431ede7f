"""A study: one network with several normalization layers, and everything else equal.

    study.json     the plan (StudyPlan)
    status.json    its state and progress
    about.json     command, machine, date (see provenance.py)
    runs/<trial>/   a run folder for each norm, batch size and seed
    stop           requests a stop

A trial is one run of the study. The trials of one seed start with the same convolution weights and see the same pictures, in the same
order, with the same augmentation. A finished trial is not trained again, so a stopped study can be continued. A diverged trial is a
result, not a failure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from fruitvision.errors import ConfigError, Fault, FruitVisionError, RunError
from fruitvision.files import FileCache, read_json, write_text
from fruitvision.models import OWN
from fruitvision.models.norms import NORMS
from fruitvision.runs.folder import MAX_JSON_BYTES, RunFolder
from fruitvision.runs.metrics import MAX_RUNS
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig, settings_error

DEFAULT_NORMS = ("batch", "layer", "instance", "group")
DIVERGED = "non-finite"
"""The prefix of the error codes of diverged trainings."""
PLAN = "study.json"
MAX_TRIALS, MAX_BATCH_SIZES = 1_000, 32
MAX_PLAN_BYTES = 2**16
"""Limit on study.json; that of a thousand trials has 10 KB."""
# The default settings of a study: the fast preset from random weights, with small pictures and a quarter of the width, so that four
# norms, three batch sizes and three seeds take under two hours on a laptop. Each epoch is evaluated on the test split if there is one,
# and the accuracy of the last epoch is compared, which unlike that of the best epoch is not selected.
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


RateRule = Literal["same", "sqrt", "linear"]
"""How the learning rate scales with the batch size, relative to 32: not at all; with the square root, as recommended for adaptive
optimizers such as AdamW (Malladi et al. 2022, arXiv:2205.10287); or linearly, as for SGD (Goyal et al. 2017, arXiv:1706.02677)."""
EXPONENTS: dict[RateRule, float] = {"same": 0.0, "sqrt": 0.5, "linear": 1.0}


@dataclass(frozen=True)
class Budget:
    """Settings, batch sizes and seeds of a study, as the Compare panel offers them."""

    settings: dict[str, Any]
    batch_sizes: tuple[int, ...] = (BASE["batch_size"],)
    seeds: tuple[int, ...] = (0,)
    rate_rule: RateRule = "same"


BUDGETS = {
    "quick": Budget({"epochs": 12, "max_train_images": 1000}),
    "batches": Budget({"max_train_images": 2000}, (2, 8, 32), (0, 1, 2), "sqrt"),
    "fair": Budget({"width": 32, "image_size": 64, "max_train_images": 3000}),
    "thorough": Budget({"width": 32, "image_size": 64, "max_train_images": 3000}, seeds=(0, 1, 2)),
}


@dataclass(frozen=True)
class Trial:
    """One run of a study."""

    norm: str
    batch_size: int
    seed: int
    training: TrainConfig

    @property
    def id(self) -> str:
        """The name of its run folder."""
        return f"{self.norm}-b{self.batch_size}-s{self.seed}"


def _known_norm(norm: str) -> str:
    if norm not in NORMS and norm != OWN:
        raise Fault("norm-unknown", known=", ".join(NORMS))
    return norm


class StudyPlan(BaseModel):
    """The norms, batch sizes and seeds of a study, and the data and settings of its trials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    norms: tuple[Annotated[str, AfterValidator(_known_norm)], ...] = DEFAULT_NORMS
    batch_sizes: Annotated[tuple[int, ...], Field(max_length=MAX_BATCH_SIZES)] = (BASE["batch_size"],)
    seeds: tuple[int, ...] = (0,)
    rate_rule: RateRule = "same"
    training: Annotated[dict[str, Any], Field(max_length=len(TrainConfig.model_fields))] = {}
    name: Annotated[str, Field(max_length=1000)] = ""
    created: float = Field(default_factory=time.time)

    @model_validator(mode="after")
    def _is_bounded(self) -> StudyPlan:
        trials = len(self.norms) * len(self.batch_sizes) * len(self.seeds)
        if trials > MAX_TRIALS:
            raise Fault("too-many-trials", trials=trials, most=MAX_TRIALS)
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> StudyPlan:
        """Validate a study and each of its trials. Raises ConfigError."""
        try:
            plan = cls.model_validate(dict(values))
        except ValidationError as error:
            raise settings_error(error) from None
        norms = tuple(dict.fromkeys(plan.norms))
        plan = plan.model_copy(update={"norms": norms, "batch_sizes": _unique(plan.batch_sizes), "seeds": _unique(plan.seeds)})
        if len(plan.norms) * len(plan.batch_sizes) < 2:
            raise ConfigError("study-needs-two")
        plan.trials()
        return plan

    def contains(self, other: StudyPlan) -> bool:
        """Whether every trial of ``other`` is also in this study, with the same data and settings."""
        wider = all(set(getattr(self, axis)) >= set(getattr(other, axis)) for axis in ("norms", "batch_sizes", "seeds"))
        return wider and (self.data, self.training, self.rate_rule) == (other.data, other.training, other.rate_rule)

    def settings(self) -> dict[str, Any]:
        """The settings that all trials share and that differ from the preset."""
        return {**{name: value for name, value in BASE.items() if name != "batch_size"}, **self.training}

    def trials(self) -> list[Trial]:
        """Every trial, in the order of training: all norms of one seed and batch size before the next. Raises ConfigError."""
        return [
            Trial(
                norm,
                batch_size,
                seed,
                self._training(norm, batch_size, seed),
            )
            for seed in self.seeds
            for batch_size in self.batch_sizes
            for norm in self.norms
        ]

    def _training(self, norm: str, batch_size: int, seed: int) -> TrainConfig:
        values = {**BASE, **self.training, "norm": norm, "batch_size": batch_size, "seed": seed}
        config, factor = TrainConfig.from_preset("fast", **values), (batch_size / BASE["batch_size"]) ** EXPONENTS[self.rate_rule]
        return config if factor == 1 else TrainConfig.from_preset("fast", **{**values, "learning_rate": config.learning_rate * factor})


def _unique(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(values))


def _read_plan(path: str) -> StudyPlan:
    plan = StudyPlan.model_validate_json(Path(path).read_bytes())
    if not plan.trials():
        raise ConfigError("study-needs-two")
    return plan


_plans = FileCache(_read_plan, MAX_RUNS, max_bytes=MAX_PLAN_BYTES)
_documents = FileCache(read_json, MAX_RUNS, max_bytes=MAX_JSON_BYTES)


def read_document(path: Path) -> Any:
    """The content of a JSON file of a study, which is not to be changed. Raises OSError, also for a large one, ValueError."""
    return _documents(str(path))


def source_run(folder: Path, number: int) -> RunFolder:
    """The run of a study of sources, see :mod:`fruitvision.comparison.left_out`, that leaves out its group ``number``."""
    return RunFolder(folder / f"run-{number}")


def run_of_source_study(folder: Path) -> RunFolder | None:
    """The active run of a study of sources, or its last one; None for another folder."""
    try:
        plan = read_document(folder / PLAN)
        runs = [source_run(folder, number) for number in range(len(plan["groups"]))]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    started = [run for run in runs if run.exists]
    return next((run for run in started if run.status().active), started[-1] if started else None)


class StudyFolder:
    """A study's folder. It can be read while the study is running."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._folder = RunFolder(path)

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether there is a study in the folder."""
        return (self.path / PLAN).is_file()

    def create(self, plan: StudyPlan) -> StudyFolder:
        """Write the plan of a new study, or add norms, batch sizes or seeds to the one in the folder.

        Raises RunError "study-differs" if that plan is not part of ``plan``.
        """
        if self.exists:
            before = self.plan()
            if not plan.contains(before):
                raise RunError("study-differs", path=str(self.path))
            if len(plan.trials()) > len(before.trials()):
                grown = plan.model_copy(update={"name": before.name, "created": before.created})
                write_text(self.path / PLAN, grown.model_dump_json(indent=1) + "\n")
            return self
        write_text(self.path / PLAN, plan.model_dump_json(indent=1) + "\n")
        self.write_status(RunStatus(heartbeat=time.time(), epochs=len(plan.trials())))
        return self

    def plan(self) -> StudyPlan:
        """Read the plan. Raises RunError "study-missing", also for one that cannot be trained."""
        try:
            return _plans(str(self.path / PLAN))
        except (OSError, ValidationError, FruitVisionError, TypeError):  # TypeError: a setting with the name of a parameter
            raise RunError("study-missing", path=str(self.path)) from None

    def run(self, trial: Trial) -> RunFolder:
        """The run folder of a trial, which may not exist yet."""
        return RunFolder(self.path / "runs" / trial.id)

    def status(self) -> RunStatus:
        """The study's state; ``epoch`` of ``epochs`` counts its finished trials, ``message`` is the current trial."""
        return self._folder.status()

    def write_status(self, status: RunStatus) -> None:
        """Replace the status."""
        self._folder.write_status(status)

    def request_stop(self) -> None:
        """Request a stop after the current step."""
        self._folder.request_stop()

    def end(self) -> None:
        """Kill its process, as :meth:`RunFolder.end`."""
        self._folder.end()

    @property
    def about_file(self) -> Path:
        """The provenance of its results."""
        return self.path / "about.json"

    @property
    def stop_file(self) -> Path:
        """The file whose presence requests a stop."""
        return self._folder.stop_file


def is_done(run: RunFolder) -> bool:
    """Whether a trial is finished or has diverged."""
    return run.exists and (run.status().state == "finished" or diverged(run.status()))


def diverged(status: RunStatus) -> bool:
    """Whether a run ended because its loss, gradient or statistics were not finite."""
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
