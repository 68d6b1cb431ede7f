"""Step one of Train: which pictures. They are looked through in the background, once, while the page goes on."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from fruitvision.data.augment.transforms import augmented_grid
from fruitvision.data.fruits import display_name
from fruitvision.data.read.dataset import Dataset
from fruitvision.runs.prepare.transforms import training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.data_shelf import Look
from fruitvision.wording.text import say, say_error

GRID_COLUMNS, GRID_ROWS, GRID_SIDE = 6, 2, 96
MOST_PROBLEMS, MOST_CLASSES = 8, 12


def look_card(look: Look, language: str) -> str:
    """What was found in a folder: counts, classes, problems; or how far the looking is; or why it cannot be used."""
    if look.error:
        return f'<div class="fv-data fv-wrong" role="alert"><p>{escape(say_error(look.error, language))}</p></div>'
    if look.dataset is None:
        words = say("train.looking", language, done=look.done, total=look.total or "…")
        return f'<div class="fv-data" role="status"><p>{words}</p></div>'
    dataset = look.dataset
    counts = {name: len(split) for name, split in dataset.splits.items()}
    facts = say(
        "train.data_facts",
        language,
        classes=len(dataset.classes),
        train=counts["train"],
        rest=sum(count for name, count in counts.items() if name != "train"),
    )
    parts = [f"<p><strong>{escape(dataset.name)}</strong> · {facts}</p>"]
    if dataset.synthetic:
        parts.append(f'<p class="fv-synthetic">{say("train.synthetic", language)}</p>')
    names = [display_name(name, language) for name in dataset.classes]
    more = f" … (+{len(names) - MOST_CLASSES})" if len(names) > MOST_CLASSES else ""
    parts.append(f'<p class="fv-note">{escape(", ".join(names[:MOST_CLASSES]))}{more}</p>')
    return f'<div class="fv-data">{"".join(parts)}{_problems(dataset, language)}</div>'


def _problems(dataset: Dataset, language: str) -> str:
    """Each by name, folded away; the first few of very many."""
    problems = dataset.problems
    if not problems:
        return ""
    shown = [f"<li><code>{escape(p.path)}</code> {say(f'train.problem_{p.kind}', language)}</li>" for p in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        shown.append(f"<li>{say('train.problems_more', language, count=len(problems) - MOST_PROBLEMS)}</li>")
    summary = say("train.problems", language, count=len(problems))
    return f"<details><summary>{summary}</summary><ul>{''.join(shown)}</ul></details>"


def download_card(look: Look | None, language: str) -> str:
    """How far the download is, or how it ended; empty where there was none."""
    if look is None:
        return ""
    if look.error:
        return f'<div class="fv-data fv-wrong" role="alert"><p>{escape(say_error(look.error, language))}</p></div>'
    if look.busy:
        words = say("train.downloading", language, done=look.done >> 20, total=look.total >> 20 or "…")
    else:
        words = say("train.downloaded", language)
    return f'<div class="fv-data" role="status"><p>{words}</p></div>'


def augmentation_grid(look: Look, config: TrainConfig, seed: int, language: str) -> str:
    """An <img> of the chosen pictures as this configuration's augmentation makes them; empty before they are known."""
    if look.dataset is None or look.store is None:
        return ""
    rows = look.dataset.splits["train"].rows
    chosen = np.random.default_rng(seed).choice(rows, min(GRID_COLUMNS * GRID_ROWS, len(rows)), replace=False)
    grid = augmented_grid([look.store[row] for row in chosen], training_transform(config), size=GRID_SIDE, columns=GRID_COLUMNS, seed=seed)
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, "JPEG", quality=85)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    alt = escape(say("train.grid_alt", language), quote=True)
    return f'<img class="fv-grid-picture" alt="{alt}" src="data:image/jpeg;base64,{encoded}">'
