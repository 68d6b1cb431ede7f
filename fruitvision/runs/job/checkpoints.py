"""The configuration in a run's checkpoints: architecture, classes, data, credits, and the command that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import NOT_FRUIT, fruit_type
from fruitvision.data.read.sources import read_credits
from fruitvision.models.checkpoint import CheckpointConfig, versions
from fruitvision.runs.config import RunConfig, train_command
from fruitvision.runs.prepare.data import RunData


def checkpoint_config(
    config: RunConfig,
    data: RunData,
    transform: EvalTransform,
    start: str,
    metrics: dict[str, Any],
    sources_before: Sequence[str] = (),
) -> CheckpointConfig:
    """The configuration of a checkpoint of this run.

    start: the weights that it started from. sources_before: the sources on which the networks that it builds on were trained.
    """
    training, dataset = config.training, data.dataset
    return CheckpointConfig(
        architecture=training.architecture,
        width=training.width,
        norm=training.norm,
        classes=data.targets.classes,
        fruit_types=data.targets.fruit_types,
        transform=transform,
        start=start,
        metrics=metrics,
        versions=versions(),
        training={**training.model_dump(), "command": train_command(config)},
        dataset={
            "name": dataset.name,
            "fingerprint": data.fingerprint,
            "synthetic": dataset.synthetic,
            "images": len(data.train.labels),
            "photos": sum(len(one.train.rows) for one in data.photos),
            "beside": [Path(folder).name for folder in (*config.photos, *config.not_fruit)],
            "sources": sorted({one.source for one in data.sources}),
            "sources_before": list(sources_before),
            "photographed": photo_counts(data),
            "credits": credits_of(data, config),
        },
    )


def photo_counts(data: RunData) -> dict[str, int]:
    """The number of training photos of each fruit type; the network knows other types only from the dataset."""
    counts: dict[str, int] = {}
    for one in data.photos:
        for name in one.train.names:
            if (kind := fruit_type(name)) != NOT_FRUIT:
                counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def credits_of(data: RunData, config: RunConfig) -> list[dict[str, str]]:
    """Source, repository and licence of the sources that were used, as far as their folders name them."""
    used = {one.source for one in data.sources}
    rows = [row for folder in (*config.photos, *config.not_fruit) for row in read_credits(Path(folder))]
    unique = {(row["source"], row["repository"]): row for row in rows if row["source"] in used}
    return [unique[key] for key in sorted(unique)]
