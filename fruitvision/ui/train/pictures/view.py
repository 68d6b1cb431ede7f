"""What Train shows of the chosen pictures, as HTML: the result of a scan, a download, and augmented samples. Without gradio."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from fruitvision.data.fruits import display_name
from fruitvision.data.read.dataset import Dataset
from fruitvision.report.markup import data_url, tag
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.background import Task
from fruitvision.ui.page.datasets import Scan, Scanned
from fruitvision.ui.page.elements import card, folded, note, notice
from fruitvision.wording.text import abbreviate, say

GRID_COLUMNS, GRID_ROWS, GRID_SIDE = 6, 2, 96
MAX_PROBLEMS, MAX_CLASSES = 8, 12


def scan_card(scan: Scan, language: str, parent: Path | None = None) -> Markup:
    """The result of a scan: counts, classes, problems; or its progress; or its error.

    ``parent``: the folder that holds a listed dataset, which the error names without it, as the list does.
    """
    if scan.error:
        return notice(_without(parent, scan.error) if parent else scan.error, language)
    if scan.result is None:
        key = "train.scanning" if scan.total else "train.scanning_begins"
        return card(tag("p", say(key, language, done=scan.done, total=scan.total)))
    dataset = scan.result.dataset
    counts = {"train": scan.result.train_images, "rest": scan.result.other_images}
    facts = say("train.data_facts", language, classes=len(dataset.classes), **counts)
    names = [display_name(name, language) for name in dataset.classes]
    return tag(
        "div",
        tag("p", tag("strong", dataset.name), f" · {facts}"),
        tag("p", say("train.synthetic", language), class_="fv-synthetic") if dataset.synthetic else None,
        note(abbreviate(names, MAX_CLASSES)),
        [note(say(f"notes.{one.code}", language, **one.facts)) for one in dataset.notes],
        _problems(dataset, language),
        class_="fv-data",
    )


def _without(parent: Path, error: Mapping[str, Any]) -> dict[str, Any]:
    """An error with paths relative to ``parent``."""
    start = os.path.join(os.path.abspath(parent), "")
    return {**error, "facts": {name: _relative(fact, start) for name, fact in error["facts"].items()}}


def _relative(fact: Any, start: str) -> Any:
    return fact.removeprefix(start) if isinstance(fact, str) else fact


def _problems(dataset: Dataset, language: str) -> Markup | None:
    """The unreadable files by name, collapsed; only the first few if there are many."""
    problems = dataset.problems
    if not problems:
        return None
    shown = [tag("li", tag("code", p.path), " ", say(f"train.problem_{p.kind}", language)) for p in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        shown.append(tag("li", say("train.problems_more", language, count=len(problems) - MAX_PROBLEMS)))
    return folded(say("train.problems", language, count=len(problems)), tag("ul", shown))


def download_card(download: Task[Path] | None, language: str) -> Markup:
    """The progress of the download, or how it ended; empty if there was none."""
    if download is None:
        return Markup()
    if download.error:
        return notice(download.error, language)
    if not download.busy:
        return card(tag("p", say("train.downloaded", language)))
    key = "train.downloading" if download.total else "train.downloading_begins"
    return card(tag("p", say(key, language, done=download.done >> 20, total=download.total >> 20)))


def augmentation_grid(scanned: Scanned, config: TrainConfig, seed: int, language: str) -> Markup:
    """An <img> of some pictures, as augmented by this configuration."""
    from fruitvision.data.augment.recipes import augmented_grid
    from fruitvision.runs.prepare.transforms import training_transform

    rows = scanned.dataset.splits["train"].rows
    chosen = np.random.default_rng(seed).choice(rows, min(GRID_COLUMNS * GRID_ROWS, len(rows)), replace=False)
    pixels = [scanned.store[row] for row in chosen]
    grid = augmented_grid(pixels, training_transform(config), size=GRID_SIDE, columns=GRID_COLUMNS, seed=seed)
    return tag("img", class_="fv-grid-picture", alt=say("train.grid_alt", language), src=data_url(Image.fromarray(grid)))
