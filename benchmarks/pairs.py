"""Paired measurements of two ways to do the same: on a noisy machine only their ratio is reliable."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Goal = tuple[Literal["<=", ">="], float]


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    against: str
    unit: str
    ours: float
    other: float
    """Medians over the pairs, in ``unit``."""
    ratio: float
    """The median over the pairs of ours / other, or of the ratio that ``what`` names; compared with ``goal``."""
    lowest: float
    highest: float
    goal: Goal | None = None
    pairs: list[tuple[float, float]] = field(default_factory=list)
    missed: bool = False
    """Ours did not achieve what ``what`` says; the figure is reported, but the goal counts as not reached."""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        if self.missed:
            return False
        sign, bound = self.goal
        return self.ratio <= bound if sign == "<=" else self.ratio >= bound

    def asdict(self) -> dict[str, Any]:
        """The figure as JSON holds it."""
        return asdict(self) | {"reached": self.reached}


def compare(
    what: str,
    ours: Callable[[], float],
    against: str,
    other: Callable[[], float],
    *,
    pairs: int,
    unit: str = "s",
    goal: Goal | None = None,
    ratio: Callable[[float, float], float] = lambda a, b: a / b,
) -> Figure:
    """Measure both ``pairs`` times, in alternating order. Each callable returns its own measurement, in ``unit``."""
    found = []
    for number in range(pairs):
        if number % 2:
            second, first = other(), ours()
        else:
            first, second = ours(), other()
        found.append((first, second))
    ratios = [ratio(*pair) for pair in found]
    mine, theirs = (statistics.median(side) for side in zip(*found, strict=True))
    return Figure(what, against, unit, mine, theirs, statistics.median(ratios), min(ratios), max(ratios), goal, found)


HEADING = ["| what | against | ours | the other | ratio (lowest to highest) | goal | reached |", "|---|---|---|---|---|---|---|"]


def table(figures: list[Figure], *, heading: bool = True) -> str:
    """The figures as a Markdown table."""
    lines = HEADING.copy() if heading else []
    for figure in figures:
        goal = f"{figure.goal[0]} {figure.goal[1]:g}".replace("<=", "≤").replace(">=", "≥") if figure.goal else "reported"
        reached = {True: "yes", False: "**no**", None: ""}[figure.reached]
        lines.append(
            f"| {figure.what} | {figure.against} | {figure.ours:.3g} {figure.unit} | {figure.other:.3g} {figure.unit} "
            f"| {figure.ratio:.3g} ({figure.lowest:.3g} to {figure.highest:.3g}) | {goal} | {reached} |"
        )
    return "\n".join(lines)
