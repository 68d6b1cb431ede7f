"""The datasets that a person may choose, and what is known of each: scanned in the background, once."""

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
from fruitvision.data.read.store import open_dataset
from fruitvision.data.synthetic.sample import sample_set
from fruitvision.errors import DataError
from fruitvision.files import clean_path
from fruitvision.ui.page.background import Progress, Task
from fruitvision.wording.text import say

SAMPLE, TYPED = "sample", "typed"
MOST_SCANS = 16
"""Scans that an app keeps: the owner may name any number of folders."""
COLLECTED_STORE = ".collected"
"""The folder, in :attr:`Datasets.home`, of the pictures that were collected."""


@dataclass(frozen=True)
class Scanned:
    """A folder of pictures that was scanned."""

    dataset: Dataset
    store: ImageStore

    @property
    def train_images(self) -> int:
        """Pictures to learn from."""
        return len(self.dataset.splits["train"])

    @property
    def splits(self) -> dict[str, int]:
        """Pictures in each split."""
        return {name: len(split) for name, split in self.dataset.splits.items()}

    @property
    def other_images(self) -> int:
        """Pictures of the other splits."""
        return sum(len(split) for name, split in self.dataset.splits.items() if name != "train")


Scan = Task[Scanned]


class Datasets:
    """The datasets that a person may choose, and their scans. One for all visitors of an app.

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
        """(name, id) of what everybody may see: the drawn sample set, and a folder that the person names."""
        return [(say("train.data_sample", language), SAMPLE), (say("train.data_typed", language), TYPED)]

    def owners_choices(self, language: str) -> list[tuple[str, str]]:
        """The same with every folder under the data folder between them, whose names are the owner's."""
        folders = self._folders()
        sample, typed = self.choices(language)
        return [sample, *((folder.name, f"folder:{folder.name}") for folder in folders), typed]

    @property
    def home(self) -> Path:
        """Where what a person brings is kept: the data folder, or ``NAME-more`` beside it where it is a dataset itself.

        In the dataset it would become one of its classes.
        """
        return self.root.with_name(f"{self.root.name}-more") if self._root_is() == "dataset" else self.root

    def _folders(self) -> list[Path]:
        """The dataset that the data folder is, with a download and what was brought beside it; or the folders in it."""
        if not self.root.is_dir():
            return []
        if self._root_is() == "dataset":
            download = self._download_folder()
            return [self.root, *([download] if download.is_dir() and download != self.root else ()), *_visible(self.home)]
        return [self.root, *_visible(self.root)] if self._root_is() == "nested" else _visible(self.root)

    def _download_folder(self) -> Path:
        return (self.root.parent if self._root_is() == "dataset" else self.root) / "fruits-360"

    def _root_is(self) -> str:
        """What the data folder is: a "dataset"; "nested", datasets or one whose class folders lie in folders; or neither.

        It is looked at again when a folder in it comes or goes: a page asks once a second. A folder in which this app keeps what
        was brought is neither: two folders of pictures without kinds, brought one by one, would hide all others.
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
        """The folder of a choice; the sample set is drawn on first use, and an archive that was typed is unpacked.

        ``progress``: called with (bytes unpacked, total). Raises DataError.
        """
        if choice == SAMPLE:
            return sample_set()
        kind, _, name = choice.partition(":")
        if kind == "folder" and (found := next((folder for folder in self._folders() if folder.name == name), None)):
            return found
        if choice == TYPED and typed.strip():
            path = clean_path(typed)
            return unpacked(path, progress=progress)[0] if is_archive(path) else path
        raise DataError("data-not-chosen")

    def scan(self, choice: str, typed: str = "", *, again: bool = False) -> Scan:
        """The scan of a choice, which the first call starts; with ``again`` another one, where none is going on."""

        def work(progress: Progress) -> Scanned:
            return Scanned(*open_dataset(self.path(choice, typed, progress), progress=progress))

        key = f"{choice}|{typed if choice == TYPED else ''}"
        with self._lock:
            scan = self._scans[key] = _current(self._scans.pop(key, None), work, again)
            while len(self._scans) > MOST_SCANS and (done := next((old for old, one in self._scans.items() if not one.busy), None)):
                del self._scans[done]
            return scan

    def known(self, choice: str) -> Scan | None:
        """The scan of a folder of the list, where there was one; none is started."""
        return self._scans.get(f"{choice}|")

    def download(self) -> Task[Path]:
        """Download Fruits-360 into the data folder in the background."""

        def work(progress: Progress) -> Path:
            return download_fruits360(self._download_folder(), progress=progress)

        with self._lock:
            self._download = _current(self._download, work, again=True)
            return self._download

    def downloading(self) -> Task[Path] | None:
        """The download that is going on, or how the last one ended."""
        return self._download


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")) if folder.is_dir() else []


def _current(task: Task[Any] | None, work: Callable[[Progress], Any], again: bool) -> Task[Any]:
    return task if task is not None and (task.busy or not again) else Task(work, "data")
