"""What a study measured: one row a cell, one row an epoch, and with what it was measured.

    table.csv    norm, batch size and seed of each cell, and its figures
    epochs.csv   accuracy and loss of each cell, epoch by epoch
    about.json   the command that makes it again, the machine, the date

A folder with these three is all that is needed to show a study; one that was really run travels inside the package, in
``comparison/measured/``.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from fruitvision.comparison.study import Cell, StudyFolder, diverged
from fruitvision.errors import RunError
from fruitvision.files import csv_text, write_text
from fruitvision.models.checkpoint import read_config
from fruitvision.models.networks import build_network, count_parameters
from fruitvision.runs.folder import RunFolder

TABLE, EPOCHS, ABOUT = "table.csv", "epochs.csv", "about.json"
MEASURED = Path(__file__).with_name("measured")
TARGET = 0.9
"""The accuracy that ``epochs_to_90`` waits for."""
FIGURES = (
    "final_accuracy",
    "best_accuracy",
    "test_accuracy",
    "loss",
    "epochs_to_90",
    "seconds_per_epoch",
    "images_per_s",
    "peak_memory_mb",
    "parameters",
    "grad_norm",
)
CURVES = ("val_accuracy", "val_loss", "train_loss", "grad_norm")


@dataclass(frozen=True)
class Results:
    """A study's figures, wherever they come from.

    ``table`` has a row a cell: norm, batch_size, seed, state, diverged, and ``FIGURES``; ``epochs`` a row an epoch: norm,
    batch_size, seed, epoch, and ``CURVES``. NaN is what was not measured. ``about`` is what about.json holds.
    """

    table: pd.DataFrame
    epochs: pd.DataFrame
    about: dict[str, Any]

    @property
    def measured_on(self) -> str:
        """Which pictures the accuracies of the epochs are of: "test", or "validation", held out of training."""
        return str(self.about.get("measured_on", "validation"))

    @property
    def done(self) -> pd.DataFrame:
        """The rows of cells that ended: finished, or broken off by divergence."""
        return self.table[(self.table["state"] == "finished") | self.table["diverged"]]


def results(study: StudyFolder) -> Results:
    """What a study's runs say now; it may still go on. Raises RunError where there is no study."""
    cells = study.plan().cells()
    epochs = [
        {"norm": cell.norm, "batch_size": cell.batch_size, "seed": cell.seed, "epoch": record["epoch"]}
        | {name: record.get(name) for name in CURVES}
        for cell in cells
        for record in study.run(cell).metrics("epoch")
    ]
    columns = ["norm", "batch_size", "seed", "epoch", *CURVES]
    return Results(table(study.path), pd.DataFrame(epochs, columns=columns), _about(study.path))


def table(out: str | Path) -> pd.DataFrame:
    """One row a cell, in the study's order, as ``statistics.py`` reads it; NaN where there is nothing to measure yet.

    ``final_accuracy`` and ``loss`` are the last epoch's, which nothing chose; ``best_accuracy`` is the best epoch's, all on
    the pictures that each epoch is measured on. ``test_accuracy`` is that of the best epoch's weights on the test split, where
    there is one. ``epochs_to_90`` counts epochs until 90% were right. ``grad_norm`` is the mean over all steps, before
    clipping; ``seconds_per_epoch`` and ``images_per_s`` are medians, ``peak_memory_mb`` is the whole process's.
    """
    study = StudyFolder(out)
    return pd.DataFrame([_row(cell, study.run(cell)) for cell in study.plan().cells()])


def _row(cell: Cell, run: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"norm": cell.norm, "batch_size": cell.batch_size, "seed": cell.seed, "state": "waiting", "diverged": False}
    row |= dict.fromkeys(FIGURES, float("nan"))
    if not run.exists:
        return row
    status, epochs, tests = run.status(), run.metrics("epoch"), run.metrics("test")
    row |= {"state": status.state, "diverged": diverged(status)}
    if epochs:
        row["final_accuracy"], row["loss"] = epochs[-1]["val_accuracy"], epochs[-1]["val_loss"]
        row["best_accuracy"] = max(e["val_accuracy"] for e in epochs)
        row["epochs_to_90"] = next((e["epoch"] for e in epochs if e["val_accuracy"] >= TARGET), float("nan"))
        row["seconds_per_epoch"] = statistics.median(e["seconds"] for e in epochs)
        row["images_per_s"] = statistics.median(e["images_per_s"] for e in epochs)
        row["grad_norm"] = statistics.fmean(e["grad_norm"] for e in epochs)
    if tests:
        row["test_accuracy"] = tests[-1]["top1"]
    if memory := [record["peak_mb"] for record in run.metrics("memory")]:
        row["peak_memory_mb"] = max(memory)
    if run.has_checkpoint:
        row["parameters"] = _parameters(cell.norm, cell.training.width, len(read_config(run.best).classes))
    return row


@lru_cache(maxsize=64)
def _parameters(norm: str, width: int, num_classes: int) -> int:
    return count_parameters(build_network("resnet18", num_classes=num_classes, norm=norm, width=width))


def frame_csv(rows: pd.DataFrame) -> str:
    """A table as the text of a CSV file, with six significant digits."""
    return csv_text(rows.columns, rows.itertuples(index=False, name=None), digits=6)


def save_results(out: str | Path) -> list[Path]:
    """Write the tables beside a study's ``about.json``; a folder of these three can be read by :func:`read_results`."""
    out = Path(out)
    found = results(StudyFolder(out))
    for name, rows in ((TABLE, found.table), (EPOCHS, found.epochs)):
        write_text(out / name, frame_csv(rows))
    return [out / TABLE, out / EPOCHS]


def read_results(folder: Path) -> Results:
    """A study from its three files. Raises RunError "results-damaged" where one is missing or is something else."""
    try:
        frames = [pd.read_csv(folder / name, encoding="utf-8-sig") for name in (TABLE, EPOCHS)]
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        frames[0]["diverged"] = frames[0]["diverged"].astype(bool)
        frames[0][[*FIGURES, "norm", "batch_size", "seed", "state"]], frames[1][["epoch", *CURVES]]
        return Results(*frames, dict(about))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("results-damaged", path=str(folder)) from error


def measured() -> Results | None:
    """The study that the program brings, really run with its own trainer; None where this copy has none."""
    return read_results(MEASURED) if (MEASURED / ABOUT).is_file() else None


def _about(out: Path) -> dict[str, Any]:
    """What the study's own process wrote; nothing for a study that was never begun."""
    try:
        return dict(json.loads((out / ABOUT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
