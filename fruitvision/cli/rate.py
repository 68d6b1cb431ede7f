"""``lr-find``: a learning rate range test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fruitvision.cli.console import print_result, progress
from fruitvision.cli.options import Json, Settings
from fruitvision.training import DEFAULT_PRESET


def lr_find(
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of class folders; else a drawn sample set.")] = None,
    preset: Annotated[str, typer.Option(metavar="NAME", help="plain, fast or robust.")] = DEFAULT_PRESET,
    settings: Settings = None,
    steps: Annotated[int, typer.Option(min=20, max=2000, help="Steps of the test.")] = 100,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the curve there: a table and a drawing.")] = None,
    as_json: Json = False,
) -> None:
    """Find a learning rate: raise it until the loss diverges.

    The network that is trained meanwhile is discarded.
    """
    from fruitvision.runs.prepare.rate import find_rate, save_curve
    from fruitvision.training.config import TrainConfig, parse_settings

    training = TrainConfig.from_preset(preset, **parse_settings(settings or []))
    found = find_rate(data, training, steps=steps, progress=progress("Trying rates"))
    written = save_curve(out, found) if out else []
    lines = [f"Suggested: --set learning_rate={found.suggested:g}  (the preset has {training.learning_rate:g})"]
    lines += [f"Written: {path}" for path in written]
    result = {"suggested": found.suggested, "preset": training.learning_rate, "rates": found.rates, "losses": found.losses}
    print_result(result, lines, as_json)
