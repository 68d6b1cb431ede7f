"""The results of a study: a row for each trial, a row for each epoch, and their provenance.

    table.csv    norm, batch size and seed of each trial, and its results
    epochs.csv   accuracy and loss of each epoch of each trial
    about.json   the command that repeats it, the machine, the date

A folder with these three files is enough to display a study. The results of one study are shipped with the package, in
``comparison/measured/``, with the networks of some trials in the layout of a study.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean, median
from typing import Any, cast

import pandas as pd

from fruitvision.comparison.study import StudyFolder, Trial, diverged, read_document
from fruitvision.errors import FruitVisionError, RunError
from fruitvision.files import csv_text, write_text
from fruitvision.models.checkpoint import read_config
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.metrics import number
from fruitvision.training.config import maximum

TABLE, EPOCHS, ABOUT = "table.csv", "epochs.csv", "about.json"
MEASURED = Path(__file__).with_name("measured")
RECORD = "test-statistics"
"""The kind of the metrics record that :mod:`fruitvision.comparison.bn_statistics` appends."""
TARGET = 0.9
"""The accuracy of ``epochs_to_90``."""
FIGURES = (
    "final_accuracy",
    "best_accuracy",
    "test_accuracy",
    "batch_accuracy",
    "recomputed_accuracy",
    "loss",
    "epochs_to_90",
    "seconds_per_epoch",
    "images_per_s",
    "peak_memory_mb",
    "parameters",
    "grad_norm",
)
MEASURED_EACH_EPOCH = ("val_accuracy", "val_loss", "seconds", "images_per_s", "grad_norm")
CURVES = ("val_accuracy", "val_loss", "train_loss", "grad_norm")


@dataclass(frozen=True)
class Results:
    """A study's results.

    ``table`` has a row for each trial: norm, batch_size, seed, state, diverged, and ``FIGURES``; ``epochs`` a row for each epoch: norm,
    batch_size, seed, epoch, and ``CURVES``. NaN means not measured. ``about`` is the content of about.json.
    """

    table: pd.DataFrame
    epochs: pd.DataFrame
    about: dict[str, Any]

    @property
    def measured_on(self) -> str:
        """The split that the epochs are evaluated on: "test", or "validation", held out from training."""
        return "test" if self.about.get("measured_on") == "test" else "validation"

    @property
    def planned_epochs(self) -> int:
        """The epochs of each trial by ``about``; 0 if it does not say."""
        settings = self.about.get("settings")
        try:
            epochs = int(settings.get("epochs", 0)) if isinstance(settings, dict) else 0
        except (TypeError, ValueError, OverflowError):
            return 0
        return epochs if 0 < epochs <= maximum("epochs") else 0

    @property
    def done(self) -> pd.DataFrame:
        """The rows of finished and diverged trials."""
        return cast(pd.DataFrame, self.table[(self.table["state"] == "finished") | self.table["diverged"]])


def results(study: StudyFolder) -> Results:
    """The results of a study so far; it may be running. Raises RunError "study-missing"."""
    trials = study.plan().trials()
    epochs = [
        {"norm": trial.norm, "batch_size": trial.batch_size, "seed": trial.seed, "epoch": record["epoch"]}
        | {name: _figure(record, name) for name in CURVES}
        for trial in trials
        for record in study.run(trial).metrics("epoch")
    ]
    columns = ["norm", "batch_size", "seed", "epoch", *CURVES]
    return Results(table(study.path), pd.DataFrame(epochs, columns=columns), _about(study.path))


def table(out: str | Path) -> pd.DataFrame:
    """A row for each trial, in the study's order, for ``statistics.py``; NaN if there is no result yet.

    ``final_accuracy`` and ``loss`` are the last epoch's, which is not selected by its result; ``best_accuracy`` is the best
    epoch's, all on the split that epochs are evaluated on. ``test_accuracy`` is that of the best epoch's weights on the test
    split, where there is one. ``batch_accuracy`` and ``recomputed_accuracy`` are the last epoch's for batch norm with other
    statistics than its running ones (see bn_statistics.py). ``epochs_to_90`` counts epochs until 90% accuracy. ``grad_norm`` is
    the mean over all steps, before clipping; ``seconds_per_epoch`` and ``images_per_s`` are medians, ``peak_memory_mb`` is that
    of the whole process.
    """
    study = StudyFolder(out)
    return pd.DataFrame([_row(trial, study.run(trial)) for trial in study.plan().trials()])


def _row(trial: Trial, run: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"norm": trial.norm, "batch_size": trial.batch_size, "seed": trial.seed, "state": "waiting", "diverged": False}
    row |= dict.fromkeys(FIGURES, float("nan"))
    if not run.exists:
        return row
    status, tests, statistics = run.status(), run.metrics("test"), run.metrics(RECORD)
    measured = [{"epoch": one["epoch"]} | {name: _figure(one, name) for name in MEASURED_EACH_EPOCH} for one in run.metrics("epoch")]
    epochs = [one for one in measured if not any(map(math.isnan, one.values()))]
    row |= {"state": status.state, "diverged": diverged(status)}
    if epochs:
        row["final_accuracy"], row["loss"] = epochs[-1]["val_accuracy"], epochs[-1]["val_loss"]
        row["best_accuracy"] = max(e["val_accuracy"] for e in epochs)
        row["epochs_to_90"] = next((e["epoch"] for e in epochs if e["val_accuracy"] >= TARGET), float("nan"))
        row["seconds_per_epoch"] = median(e["seconds"] for e in epochs)
        row["images_per_s"] = median(e["images_per_s"] for e in epochs)
        row["grad_norm"] = fmean(e["grad_norm"] for e in epochs)
    if tests:
        row["test_accuracy"] = _figure(tests[-1], "top1")
    if statistics:
        row |= {f"{name}_accuracy": _figure(statistics[-1], name) for name in ("batch", "recomputed")}
    memory = [_figure(record, "peak_mb") for record in run.metrics("memory")]
    row["peak_memory_mb"] = max((own for own in memory if not math.isnan(own)), default=float("nan"))
    if run.has_checkpoint:
        with suppress(FruitVisionError):
            row["parameters"] = _parameters(trial.norm, trial.training.width, len(read_config(run.best).classes))
    return row


def _figure(record: dict[str, Any], name: str) -> float:
    """A finite number of a record; NaN for anything else, which a damaged or foreign file may hold."""
    found = number(record.get(name))
    return float(found) if found is not None and math.isfinite(found) else float("nan")


def _parameters(norm: str, width: int, num_classes: int) -> int:
    return _parameters_of_two(norm, width) + (num_classes - 2) * (8 * width + 1)


@lru_cache(maxsize=64)
def _parameters_of_two(norm: str, width: int) -> int:
    """Those of a network with two classes, which is built."""
    from fruitvision.models.networks import build_network, count_parameters

    return count_parameters(build_network("resnet18", num_classes=2, norm=norm, width=width))


def frame_csv(rows: pd.DataFrame) -> str:
    """A table as the text of a CSV file, with six significant digits."""
    return csv_text(list(rows.columns), rows.itertuples(index=False, name=None), digits=6)


def save_results(out: str | Path) -> list[Path]:
    """Write the tables next to a study's ``about.json``, for :func:`read_results`."""
    return write_tables(Path(out), results(StudyFolder(out)))


def write_tables(folder: Path, found: Results) -> list[Path]:
    """Write both tables of some results into a folder."""
    for name, rows in ((TABLE, found.table), (EPOCHS, found.epochs)):
        write_text(folder / name, frame_csv(rows))
    return [folder / TABLE, folder / EPOCHS]


def read_results(folder: Path) -> Results:
    """The results in a folder with the three files. Raises RunError "results-damaged" if one is missing or invalid."""
    try:
        frames = [pd.read_csv(folder / name, encoding="utf-8-sig") for name in (TABLE, EPOCHS)]
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        frames[0]["diverged"] = frames[0]["diverged"].astype(bool)
        _ = frames[0][[*FIGURES, "norm", "batch_size", "seed", "state"]], frames[1][["epoch", *CURVES]]
        return Results(frames[0], frames[1], dict(about))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("results-damaged", path=str(folder)) from error


def read_shipped() -> Results | None:
    """The results that are shipped with the package; None if this copy has none."""
    return read_results(MEASURED) if (MEASURED / ABOUT).is_file() else None


def shipped_study() -> StudyFolder | None:
    """The study folder that is shipped with the package, with the networks of some trials of :func:`read_shipped`; None if this copy
    has none."""
    study = StudyFolder(MEASURED)
    return study if study.exists else None


def _about(out: Path) -> dict[str, Any]:
    """The content of about.json; empty for a study that was never started."""
    try:
        return {name: value for name, value in dict(read_document(out / ABOUT)).items() if name != "shipped"}
    except (OSError, ValueError, TypeError):
        return {}
