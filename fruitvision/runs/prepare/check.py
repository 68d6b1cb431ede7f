"""Check the files that a run refers to before it is created, so that a wrong name is an immediate error instead of a failed run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from fruitvision.data.read.layouts.found import Listing
from fruitvision.recognition.evaluate.left_out import read_study
from fruitvision.runs.config import RunConfig
from fruitvision.runs.prepare.data import check_data
from fruitvision.runs.prepare.references import open_average, open_teacher
from fruitvision.runs.prepare.weights import check_start


def check_run(config: RunConfig) -> Listing:
    """List the pictures of a run that is about to be created, and open its sources and networks. Nothing is decoded or written.

    Raises the DataError, ConfigError or CheckpointError that the run would raise at its start or its end.
    """
    listing = check_data(config)
    check_networks(config, {file.folder for file in listing.files if file.split == "train"})
    return listing


def check_networks(config: RunConfig, classes: Collection[str] = ()) -> None:
    """Open the networks to start from, to distill from and to average with, and the study of a configuration.

    classes: some classes of the run, which a teacher must have. Raises ConfigError, CheckpointError, DataError.
    """
    check_start(config.training)
    open_teacher(config.training, tuple(sorted(classes)), torch.device("cpu"))
    open_average(config.training)
    if config.study:
        read_study(Path(config.study))
