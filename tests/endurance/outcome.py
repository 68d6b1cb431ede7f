"""What one part of the long test tried, how often, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """One line of the table. ``held`` is None where nothing could be tried here; ``came`` then says why."""

    part: str
    tried: str
    times: int
    came: str
    held: bool | None

    def __str__(self) -> str:
        return f"{self.part}: {self.tried}, {self.times} times: {self.came} ({self.word})"

    @property
    def word(self) -> str:
        """Whether the promise held."""
        return {True: "held", False: "FAILED", None: "not tried"}[self.held]


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes in Markdown."""
    cells = [(one.part, one.tried, f"{one.times:,}", one.came, one.word) for one in outcomes]
    rows = ["| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in row) + " |" for row in cells]
    return "\n".join(["| part | tried | how often | what came of it | promise |", "|---|---|---|---|---|", *rows])


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 where a promise failed, or nothing at all was tried."""
    tried = [one for one in outcomes if one.held is not None]
    return 0 if tried and all(one.held for one in tried) else 1
