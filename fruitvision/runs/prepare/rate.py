"""A learning rate range test for a folder of pictures and a configuration, and its curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from fruitvision.data.synthetic.sample import sample_set
from fruitvision.files import write_text
from fruitvision.runs.config import RunConfig
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.runs.prepare.references import open_regularizer, open_teacher
from fruitvision.runs.prepare.weights import build, keeps_statistics, load_initial_weights
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import choose_device
from fruitvision.training.lr_find import RangeTest, range_test
from fruitvision.training.state import TrainState


def find_rate(
    data: Path | None, training: TrainConfig, *, steps: int = 100, progress: Callable[[int, int], None] | None = None
) -> RangeTest:
    """Run a learning rate range test on ``data`` (a drawn sample set without it), from where a run would start.

    Raises DataError, ConfigError, TrainingError.
    """
    source = data.absolute() if data else sample_set()
    prepared = prepare(RunConfig(data=str(source), training=training))
    network = build(training, len(prepared.targets.classes))
    start = load_initial_weights(network, training, prepared.targets)
    torch.manual_seed(training.seed)
    device = choose_device(training.device)
    train, _ = loaders(prepared, training, device)
    teacher = open_teacher(training, prepared.targets.classes, device)
    regularizer = open_regularizer(training, start, device)
    state = TrainState(network, training, device, keeps_statistics(training, start))
    state.progress.epoch = min(training.freeze_epochs, training.epochs - 1)  # after the epochs that train only the last layer
    return range_test(state, train, teacher, regularizer, steps=steps, progress=progress)


def range_test_of(data: Path, training: TrainConfig, steps: int, report: Callable[[int, int], None]) -> RangeTest:
    """:func:`find_rate` as :func:`~fruitvision.runs.subprocess_call.call_in_subprocess` calls it,
    since torch does not free the memory of a training."""
    return find_rate(data, training, steps=steps, progress=report)


def save_curve(folder: Path, found: RangeTest) -> list[Path]:
    """Write ``rates.csv`` and ``rates.svg``: loss over the logarithm of the rate, with the suggestion marked."""
    rows = "".join(f"{rate:.6g},{loss:.6g}\n" for rate, loss in zip(found.rates, found.losses, strict=True))
    write_text(folder / "rates.csv", "learning_rate,loss\n" + rows)
    write_text(folder / "rates.svg", _drawing(found))
    return [folder / "rates.csv", folder / "rates.svg"]


def _drawing(found: RangeTest) -> str:
    width, height, edge = 640, 400, 50
    first, last = math.log10(found.rates[0]), math.log10(found.rates[-1])
    low, high = min(found.losses), min(max(found.losses), 2 * found.losses[0])

    def x(rate: float) -> float:
        return edge + (width - 2 * edge) * (math.log10(rate) - first) / max(last - first, 1e-9)

    def y(loss: float) -> float:
        return height - edge - (height - 2 * edge) * (min(loss, high) - low) / max(high - low, 1e-9)

    points = " ".join(f"{x(rate):.1f},{y(loss):.1f}" for rate, loss in zip(found.rates, found.losses, strict=True))
    ticks = "".join(
        f'<text x="{x(10**power):.0f}" y="{height - 25}" text-anchor="middle">1e{power}</text>'
        for power in range(math.ceil(first), math.floor(last) + 1)
    )
    mark = x(found.suggested)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        f'<polyline points="{points}" fill="none" stroke="#2474bb" stroke-width="2.5"/>'
        f'<path d="M{mark:.1f} {edge}V{height - edge}" stroke="#d55e00" stroke-dasharray="6 4"/>'
        f'<text x="{mark:.0f}" y="{edge - 12}" text-anchor="middle" fill="#d55e00">{found.suggested:g}</text>{ticks}'
        f'<text x="12" y="{y(high) + 4:.0f}">{high:.2f}</text><text x="12" y="{y(low) + 4:.0f}">{low:.2f}</text></svg>\n'
    )
