"""The datasets to choose from, and their scans, which run in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fruitvision.data.fetch.download import download_fruits360
from fruitvision.data.fetch.unpacked import is_archive, unpacked
from fruitvision.data.fetch.uploads import BROUGHT
from fruitvision.data.read.dataset import Dataset
from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.layouts.splits import is_dataset, is_nested
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.store import open_dataset
from fruitvision.data.synthetic.sample import sample_set
from fruitvision.errors import DataError
from fruitvision.files import clean_path
from fruitvision.ui.page.background import Progress, Task
from fruitvision.wording.text import say

SAMPLE, TYPED = "sample", "typed"
MAX_SCANS = 16
"""Scans that are cached: the owner may name any number of folders."""
COLLECTED_STORE = ".collected"
"""The folder of the collected pictures, in :attr:`Datasets.import_folder`."""


@dataclass(frozen=True)
class Scanned:
    """The result of scanning a folder of pictures."""

    dataset: Dataset
    store: ImageStore

    @property
    def train_images(self) -> int:
        """Number of training pictures."""
        return len(self.dataset.splits["train"])

    @property
    def splits(self) -> dict[str, int]:
        """Number of pictures in each split."""
        return {name: len(split) for name, split in self.dataset.splits.items()}

    @property
    def other_images(self) -> int:
        """Number of pictures in the other splits."""
        return sum(len(split) for name, split in self.dataset.splits.items() if name != "train")


Scan = Task[Scanned]


class Datasets:
    """The datasets to choose from, and their scans. Shared by all visitors of an app.

    ``root``: the folder whose subfolders are offered, or a dataset, which is then offered itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.latest = SAMPLE
        """The id of the dataset that was collected or uploaded last."""
        self._scans: dict[str, Scan] = {}
        self._download: Task[Path] | None = None
        self._kind: tuple[int, str] = (-1, "")
        self._lock = threading.Lock()

    def choices(self, language: str) -> list[tuple[str, str]]:
        """(name, id) of the choices that everybody sees: the drawn sample set, and a folder given by its path."""
        return [(say("train.data_sample", language), SAMPLE), (say("train.data_typed", language), TYPED)]

    def owners_choices(self, language: str) -> list[tuple[str, str]]:
        """The same with the data folder's subfolders between them, whose names only the owner may see."""
        folders = self._folders()
        sample, typed = self.choices(language)
        return [sample, *((folder.name, f"folder:{folder.name}") for folder in folders), typed]

    @property
    def import_folder(self) -> Path:
        """The folder for uploaded and collected pictures: the data folder, or ``NAME-more`` beside it if that is a dataset itself.

        Inside the dataset they would become one of its classes.
        """
        return self.root.with_name(f"{self.root.name}-more") if self._root_is() == "dataset" else self.root

    def _folders(self) -> list[Path]:
        """The data folder if it is a dataset, with a download and imported folders beside it; otherwise its subfolders."""
        if not self.root.is_dir():
            return []
        if self._root_is() == "dataset":
            download = self._download_folder()
            return [self.root, *([download] if download.is_dir() and download != self.root else ()), *_visible(self.import_folder)]
        return [self.root, *_visible(self.root)] if self._root_is() == "nested" else _visible(self.root)

    def _download_folder(self) -> Path:
        return (self.root.parent if self._root_is() == "dataset" else self.root) / "fruits-360"

    def _root_is(self) -> str:
        """The layout of the data folder: "dataset"; "nested", with class folders one level deeper; or "" for neither.

        The result is cached until the folder's modification time changes, since every page asks once a second. A folder with imported
        pictures is neither: two imported folders without class folders would otherwise be taken for a dataset, and hide all others.
        """
        try:
            changed = self.root.stat().st_mtime_ns
        except OSError:
            return ""
        if self._kind[0] != changed:
            is_home = any((self.root / name).exists() for name in (BROUGHT, COLLECTED_STORE))
            kind = "" if is_home else "dataset" if is_dataset(self.root) else "nested" if is_nested(self.root) else ""
            self._kind = changed, kind
        return self._kind[1]

    def path(self, choice: str, typed: str = "", progress: Progress | None = None) -> Path:
        """The folder of a choice. The sample set is drawn on first use, and a typed archive is unpacked.

        ``progress``: called with (bytes unpacked, total). Raises DataError.
        """
        if choice == SAMPLE:
            return sample_set()
        if found := self._listed(choice):
            return found
        if choice == TYPED and typed.strip():
            path = clean_path(typed)
            return unpacked(path, progress=progress)[0] if is_archive(path) else path
        raise DataError("data-not-chosen")

    def parent(self, choice: str) -> Path | None:
        """The folder that holds a listed dataset; None for other choices."""
        found = self._listed(choice)
        return found.parent if found else None

    def _listed(self, choice: str) -> Path | None:
        kind, _, name = choice.partition(":")
        return next((folder for folder in self._folders() if folder.name == name), None) if kind == "folder" else None

    def scan(self, choice: str, typed: str = "", *, depth: int = 0, boxes: float | None = None, again: bool = False) -> Scan:
        """The scan of a choice, started by the first call; ``again`` starts a new one unless one is running.

        ``depth`` and ``boxes`` as for :func:`fruitvision.data.read.listing.list_pictures`; the sample set needs neither.
        """
        depth, boxes = (0, None) if choice == SAMPLE else (depth, boxes)

        def work(progress: Progress) -> Scanned:
            listing = list_pictures(self.path(choice, typed, progress), depth=depth, boxes=boxes, progress=progress)
            return Scanned(*open_dataset(listing, progress=progress))

        key = f"{choice}|{typed if choice == TYPED else ''}|{depth}|{boxes}"
        with self._lock:
            scan = self._scans[key] = _current(self._scans.pop(key, None), work, again)
            while len(self._scans) > MAX_SCANS and (done := next((old for old, one in self._scans.items() if not one.busy), None)):
                del self._scans[done]
            return scan

    def known(self, choice: str) -> Scan | None:
        """The scan of a listed dataset if there is one; never starts one."""
        return self._scans.get(f"{choice}||0|None")

    def download(self) -> Task[Path]:
        """Download Fruits-360 into the data folder in the background."""

        def work(progress: Progress) -> Path:
            return download_fruits360(self._download_folder(), progress=progress)

        with self._lock:
            self._download = _current(self._download, work, again=True)
            return self._download

    def downloading(self) -> Task[Path] | None:
        """The current download, or the last one; None if there was none."""
        return self._download


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")) if folder.is_dir() else []


def _current(task: Task[Any] | None, work: Callable[[Progress], Any], again: bool) -> Task[Any]:
    return task if task is not None and (task.busy or not again) else Task(work, "data")
