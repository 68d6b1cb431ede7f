"""Step one of Train: which pictures. They are looked through in the background, once, while the page goes on."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fruitvision.data.dataset import Dataset
from fruitvision.data.download import download_fruits360
from fruitvision.data.fruits import display_name
from fruitvision.data.sample import sample_set
from fruitvision.data.store import ImageStore, open_dataset
from fruitvision.data.transforms import augmented_grid
from fruitvision.errors import DataError, FruitVisionError
from fruitvision.runs.preparation import training_transform
from fruitvision.training.config import TrainConfig
from fruitvision.ui.text import say, say_error

SAMPLE, TYPED = "sample", "typed"
GRID_COLUMNS, GRID_ROWS, GRID_SIDE = 6, 2, 96
MOST_PROBLEMS, MOST_CLASSES = 8, 12


@dataclass
class Look:
    """One folder being looked through, or what was found in it."""

    source: str
    done: int = 0
    total: int = 0
    path: Path | None = None
    dataset: Dataset | None = None
    store: ImageStore | None = None
    error: dict[str, Any] | None = None
    began: float = field(default_factory=time.time)

    @property
    def busy(self) -> bool:
        """Whether there is more to come."""
        return self.dataset is None and self.error is None


class DataShelf:
    """The datasets that a person may choose, and what is known of them. One for all visitors of an app."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._looks: dict[str, Look] = {}
        self._lock = threading.Lock()

    def choices(self, language: str) -> list[tuple[str, str]]:
        """(name, id): the drawn set, every folder under the data folder, and a folder of one's own."""
        folders = []
        if self.root.is_dir():
            folders = sorted(p for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))
        named = [(folder.name, f"folder:{folder.name}") for folder in folders]
        return [(say("train.data_sample", language), SAMPLE), *named, (say("train.data_typed", language), TYPED)]

    def path(self, choice: str, typed: str = "") -> Path:
        """The folder of a choice; the drawn set is drawn on first use. Raises DataError."""
        if choice == SAMPLE:
            return sample_set()
        kind, _, name = choice.partition(":")
        if kind == "folder" and choice in {known for _, known in self.choices("en")}:
            return self.root / name
        if choice == TYPED and typed.strip():
            return Path(typed.strip().strip('"')).expanduser()
        raise DataError("data-not-chosen", "No folder of pictures is named.", "Name one, or take the drawn sample set.")

    def look(self, choice: str, typed: str = "", *, again: bool = False) -> Look:
        """What is known of a choice; the first question starts the looking."""
        return self._begin(f"{choice}|{typed if choice == TYPED else ''}", lambda look: self._scan(look, choice, typed), again)

    def known(self, choice: str) -> Look | None:
        """What was found before in a folder of the list; nothing is looked through."""
        return self._looks.get(f"{choice}|")

    def download(self) -> Look:
        """Fetch Fruits-360 into the data folder in the background."""
        return self._begin("download", self._download, again=True)

    def downloading(self) -> Look | None:
        """The download that is going on, or how the last one ended."""
        return self._looks.get("download")

    def _begin(self, key: str, work: Callable[[Look], None], again: bool) -> Look:
        with self._lock:
            look = self._looks.get(key)
            if look is not None and (look.busy or not again):
                return look
            look = self._looks[key] = Look(key)
        threading.Thread(target=self._guarded, args=(look, work), name="fruitvision-data", daemon=True).start()
        return look

    @staticmethod
    def _guarded(look: Look, work: Callable[[Look], None]) -> None:
        try:
            work(look)
        except FruitVisionError as error:
            look.error = error.as_dict()
        except Exception as error:  # a thread's last words would reach nobody
            fact = f"{type(error).__name__}: {error}"[:300]
            look.error = {"code": "internal", "message": f"An unexpected error: {fact}", "facts": {"error": fact}}

    def _scan(self, look: Look, choice: str, typed: str) -> None:
        def progress(done: int, total: int) -> None:
            look.done, look.total = done, total

        look.path = self.path(choice, typed)
        dataset, look.store = open_dataset(look.path, progress=progress)
        look.dataset = dataset

    def _download(self, look: Look) -> None:
        def progress(done: int, total: int | None) -> None:
            look.done, look.total = done, total or 0

        look.path = download_fruits360(self.root / "fruits-360", progress=progress)
        look.error = {}  # not busy any more, and nothing went wrong


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
