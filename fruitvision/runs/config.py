"""The configuration of a run: ``config.json`` of its folder."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fruitvision.errors import quoted
from fruitvision.training.config import TrainConfig

MAX_PROCESSES = 64
LATEST = 1e10  # seconds since 1970; three hundred years from now


class RunConfig(BaseModel):
    """The data and the training settings of a run. Folders are absolute paths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", max_length=1000)
    data: str = Field(max_length=4096)
    photos: tuple[str, ...] = ()
    """Folders of photos labelled by fruit type, in addition to ``data``."""
    not_fruit: tuple[str, ...] = ()
    """Folders of pictures without fruit."""
    leave_out: tuple[str, ...] = ()
    """Names of sources among ``photos`` and ``not_fruit`` that are used neither for training nor for validation."""
    study: str = ""
    """The folder of a finished ``evaluate-sources`` study that is used for calibration; empty for none."""
    training: TrainConfig = Field(default_factory=lambda: TrainConfig.from_preset("plain"))
    processes: int = Field(default=1, ge=1, le=MAX_PROCESSES, description="How many processes of this machine the app trains it with.")
    created: float = Field(default_factory=time.time, ge=0, le=LATEST, description="Seconds since 1970.")


def train_command(config: RunConfig) -> str:
    """The command line that repeats a run, with folders shortened to their names and RUN for the run folder."""
    preset = TrainConfig.from_preset(config.training.preset)
    words = ["--data", Path(config.data).name]
    for option, folders in (("--photos", config.photos), ("--not-fruit", config.not_fruit)):
        words += [word for folder in folders for word in (option, Path(folder).name)]
    words += [word for name in config.leave_out for word in ("--leave-out", name)]
    words += ["--study", Path(config.study).name] if config.study else []
    words += ["--preset", config.training.preset]
    changed = preset.differences(config.training)
    words += [word for name, (_, value) in changed.items() for word in ("--set", f"{name}={value}")]
    return f"python -m fruitvision train --run RUN {quoted(words)}"


def split_names(text: str) -> list[str]:
    """The names in a comma-separated setting."""
    return [name for name in map(str.strip, text.split(",")) if name]
