"""The status of a run: ``status.json`` of its folder."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fruitvision.runs.config import LATEST

State = Literal["waiting", "preparing", "running", "finished", "stopped", "failed", "interrupted"]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Time = Annotated[float, Field(allow_inf_nan=False, ge=-LATEST, le=LATEST)]
ACTIVE: tuple[State, ...] = ("waiting", "preparing", "running")
# An active run without a heartbeat for so long is not responding.
RESPONSE_SECONDS = 60.0


class RunStatus(BaseModel):
    """The state of a run. Epochs and steps count from 1; 0 is before the first."""

    model_config = ConfigDict(extra="ignore")

    state: State = "waiting"
    epoch: Count = 0
    epochs: Count = 0
    step: Count = 0
    steps: Count = 0
    pid: Count = 0
    process_started: Time = 0.0
    heartbeat: Time = 0.0
    started: Time = 0.0
    seconds: Time = 0.0
    eta_s: float | None = Field(default=None, allow_inf_nan=False, le=LATEST)
    start: str = ""
    sources_before: tuple[str, ...] | None = None
    """The sources on which the networks that it builds on were trained; None until known."""
    best_val_accuracy: float | None = None
    unvalidated: bool = False
    """Whether it trains without validation, because no class has a picture to spare."""
    skipped: Count | None = None
    """Skipped steps of finished epochs; None in a file of an earlier version, which also lacks the two fields below."""
    test_top1: float | None = None
    test_images: Count | None = None
    message: str = ""
    error: dict[str, Any] | None = None

    @field_validator("error")
    @classmethod
    def _readable(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Accept only an error as written by ``FruitVisionError.as_dict``, or None."""
        if value is None or isinstance(value.get("code"), str) and isinstance(value.get("facts", {}), dict):
            return value
        raise ValueError("no error that was written here")

    @field_validator("best_val_accuracy")
    @classmethod
    def _measured(cls, value: float | None) -> float | None:
        """Until November 2026 runs without any finite validation loss wrote -1."""
        return value if value is not None and value >= 0 else None

    @property
    def active(self) -> bool:
        """Whether a process is working on the run, or about to start."""
        return self.state in ACTIVE

    @property
    def responding(self) -> bool:
        """False for an active run without a heartbeat for a minute: its process is suspended or hangs."""
        return not self.active or not self.pid or abs(time.time() - self.heartbeat) < RESPONSE_SECONDS

    def progress(self, epochs: int) -> float:
        """The completed fraction of a run with ``epochs`` epochs, 0..1."""
        if not self.steps or not self.epoch:
            return 0.0
        return min((self.epoch - 1 + self.step / self.steps) / epochs, 1.0)
