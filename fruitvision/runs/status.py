"""Where a run stands: ``status.json`` of a run folder."""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

State = Literal["waiting", "preparing", "running", "finished", "stopped", "failed", "interrupted"]
ACTIVE: tuple[State, ...] = ("waiting", "preparing", "running")
# An active run without a heartbeat for so long is not responding.
RESPONSE_SECONDS = 60.0


class RunStatus(BaseModel):
    """The state of a run. Epochs and steps count from 1; 0 is before the first."""

    model_config = ConfigDict(extra="ignore")

    state: State = "waiting"
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    pid: int = 0
    process_started: float = 0.0
    heartbeat: float = 0.0
    started: float = 0.0
    seconds: float = 0.0
    eta_s: float | None = None
    start: str = ""
    best_val_accuracy: float | None = None
    skipped: int | None = None
    """Skipped steps of finished epochs; None in a file of an earlier version, which also lacks the two fields below."""
    test_top1: float | None = None
    test_images: int | None = None
    message: str = ""
    error: dict[str, Any] | None = None

    @field_validator("best_val_accuracy")
    @classmethod
    def _measured(cls, value: float | None) -> float | None:
        """Until November 2026 a run without any finite validation loss wrote -1."""
        return value if value is not None and value >= 0 else None

    @property
    def active(self) -> bool:
        """Whether a process is working on the run, or is about to."""
        return self.state in ACTIVE

    @property
    def responding(self) -> bool:
        """False for an active run whose process has been silent for a minute: suspended by the system, or hanging."""
        return not self.active or not self.pid or abs(time.time() - self.heartbeat) < RESPONSE_SECONDS
