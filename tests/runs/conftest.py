"""Runs small enough for a test: eight-channel networks on thirty-two drawn pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig

TINY = {"start": "scratch", "width": 8, "image_size": 32, "first_image_size": 32, "batch_size": 8, "epochs": 2}


@pytest.fixture
def tiny(sample_set: Path) -> Callable[..., RunConfig]:
    """``tiny(name="x", epochs=3)``: the configuration of a run that takes a second."""

    def make(name: str = "tiny", **settings) -> RunConfig:
        return RunConfig(name=name, data=str(sample_set), training=TrainConfig.from_preset("fast", **{**TINY, **settings}))

    return make


def wait_for(run: RunFolder, *states: str, seconds: float = 90) -> RunStatus:
    """Until the run is in one of these states."""
    end = time.monotonic() + seconds
    while (status := run.status()).state not in states:
        assert time.monotonic() < end, f"{status.state} after {seconds} s: {status.error}"
        time.sleep(0.05)
    return status
