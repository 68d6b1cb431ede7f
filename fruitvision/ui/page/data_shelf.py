"""The datasets that a person may choose, and what is known of each: looked through in the background, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fruitvision.data.fetch.download import download_fruits360
from fruitvision.data.read.dataset import Dataset
from fruitvision.data.read.store import ImageStore, open_dataset
from fruitvision.data.synthetic.sample import sample_set
from fruitvision.errors import DataError, FruitVisionError
from fruitvision.wording.text import say

SAMPLE, TYPED = "sample", "typed"


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
