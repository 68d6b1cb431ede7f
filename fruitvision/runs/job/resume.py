"""Saving and loading the training state of a run, for an exact resume."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from fruitvision.data.read.store import Progress
from fruitvision.errors import ConfigError, FruitVisionError, RunError
from fruitvision.files import write_bytes
from fruitvision.models.imported.pickle_check import check_pickles
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.prepare.data import RunData, check_data, prepare
from fruitvision.runs.prepare.weights import sources_learned_before
from fruitvision.training.config import TrainConfig
from fruitvision.training.state import TrainState

UNREADABLE = ("empty", "not-an-image", "damaged", "too-large", "unreadable", "heic", "avif", "jpeg-xl", "encoding")
"""The kinds of problems for which a picture is left out of the dataset."""


def save_state(folder: RunFolder, state: TrainState, fingerprint: str) -> None:
    """Write the training state, with the fingerprint of its data."""
    buffer = io.BytesIO()
    torch.save({**state.state_dict(), "fingerprint": fingerprint}, buffer)
    write_bytes(folder.resume_file, buffer.getvalue())


def read_state(folder: RunFolder) -> dict[str, Any] | None:
    """The saved training state, or None before the first save. Raises RunError "resume-damaged"."""
    if not folder.resume_file.exists():
        return None
    try:
        check_pickles(folder.resume_file)  # the run may be somebody else's
        with zipfile.ZipFile(folder.resume_file) as parts:  # torch.load verifies no checksums
            if damaged := parts.testzip():
                raise ValueError(f"{damaged} does not match its checksum")
        return torch.load(folder.resume_file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError("resume-damaged", path=str(folder.resume_file)) from error


def sources_before(config: TrainConfig, start: str, *, resumed: bool) -> list[str]:
    """The sources on which the networks that a run builds on were trained. A resumed run does not need the networks any more."""
    try:
        return sorted(sources_learned_before(config, start))
    except FruitVisionError:
        if resumed:
            return []
        raise


def use_moved_data(folder: RunFolder, data: Path, progress: Progress | None = None) -> None:
    """Make a resumed run read its pictures from ``data``, where they were moved to.

    Raises ConfigError "moved-data-differs" if these are not the pictures that it was trained on so far, DataError if they cannot be read.
    """
    folder.refuse_if_active()
    config = folder.config().model_copy(update={"data": str(data)})
    saved = read_state(folder)
    if saved is not None and saved["fingerprint"] != prepare(config, progress).fingerprint:
        raise ConfigError("moved-data-differs", path=str(folder.path), before=folder.config().data, given=str(data))
    if saved is None:
        check_data(config)
    folder.replace_config(config)


def data_changed(path: str, data: RunData) -> RunError:
    """The error if the pictures are not those that the run started with; it names the first one that can no longer be read, if any."""
    found = next((problem for problem in data.dataset.problems if problem.kind in UNREADABLE), None)
    if found is None:
        return RunError("data-changed", path=path)
    return RunError("data-damaged", path=path, file=found.path)
