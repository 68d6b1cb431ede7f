"""The models to choose from, loaded on demand, and the classes that the owner taught."""

from __future__ import annotations

import gc
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import gradio as gr

from fruitvision.errors import CheckpointError, DataError, FruitVisionError
from fruitvision.models.checkpoint import (
    ONNX_SUFFIX,
    CheckpointConfig,
    checkpoint_name,
    checkpoints_in,
    find_checkpoint,
    read_config,
    shipped,
)
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.runs.folder import RunFolder, list_runs
from fruitvision.ui.page.background import Task
from fruitvision.ui.server.access import CALLER, Caller
from fruitvision.wording.text import say

if TYPE_CHECKING:
    from fruitvision.recognition.batcher import Batcher
    from fruitvision.recognition.taught.embeddings import TaughtEmbeddings
    from fruitvision.recognition.taught_head import TaughtHead

MAX_LOADED = 4
LOAD_SECONDS = 5.0
"""Minimum time between two loads that visitors cause: each takes a second of CPU time, and memory."""


class Models:
    """The models by id: "shipped:NAME", "run:ID", "imported:NAME", and "given" for the one named at launch.

    An id is looked up in lists, so nothing that a visitor sends is ever used as a path.
    """

    def __init__(self, runs: Path, given: str | Path | None = None) -> None:
        self._runs = runs
        self._given = find_checkpoint(given) if given else None
        self._loaded: OrderedDict[tuple[str, int], Batcher] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[tuple[str, int], threading.Lock] = {}
        self._next_load = 0.0
        self._owner_key: tuple[str, int] | None = None
        self._preload: Task[Batcher] | None = None

    def choices(self, language: str) -> list[tuple[str, str]]:
        """(name, id), the default first."""
        choices = [(checkpoint_name(self._given), "given")] if self._given else []
        choices += [(say("header.shipped", language, name=path.name), f"shipped:{path.name}") for path in shipped()]
        choices += [(say("header.run", language, name=run.name), f"run:{run.id}") for run in self.runs()]
        return choices + [(say("header.imported", language, name=path.name), f"imported:{path.name}") for path in self.imported()]

    def choices_update(self, language: str, chosen: str | None) -> dict[str, Any]:
        """The dropdown's current choices; if the chosen model no longer exists, the default is selected."""
        choices = self.choices(language)
        ids = [model_id for _, model_id in choices]
        return gr.update(choices=choices, value=chosen if chosen in ids else self.default)

    def name(self, model_id: str | None, language: str) -> str:
        """A model's name, as in the choices."""
        model_id = model_id or self.default
        return next((name for name, choice in self.choices(language) if choice == model_id), model_id or "")

    def runs(self) -> list[RunFolder]:
        """The finished runs, newest first."""
        return [run for run in list_runs(self._runs) if run.has_checkpoint and run.status().state == "finished"]

    def imported(self) -> list[Path]:
        """The checkpoint folders directly in the folder of runs, where the command ``import`` puts them."""
        return checkpoints_in(self._runs)

    @property
    def default(self) -> str | None:
        """The id of the default model; None if there is no model."""
        return next((model_id for _, model_id in self.choices("en")), None)

    def folder(self, model_id: str | None) -> Path:
        """The checkpoint folder of a model. Raises CheckpointError "model-gone" if the model does not exist (any more)."""
        kind, _, name = (model_id or self.default or "").partition(":")
        if kind == "given" and self._given:
            return self._given
        folders_of = {"shipped": shipped, "imported": self.imported}
        candidates = {r.id: r.best for r in self.runs()} if kind == "run" else {p.name: p for p in folders_of.get(kind, list)()}
        if name in candidates:
            return candidates[name]
        if self.default is None:
            return find_checkpoint(None)
        raise CheckpointError("model-gone")

    def config(self, model_id: str | None) -> CheckpointConfig:
        """The configuration of a model, without loading its network. Raises CheckpointError."""
        folder = self.folder(model_id)
        return self.batcher(model_id).classifier.config if folder.suffix == ONNX_SUFFIX else read_config(folder)

    def batcher(self, model_id: str | None) -> Batcher:
        """The batcher of a model, loaded on first use and shared by all visitors; other models are not blocked meanwhile.

        Raises CheckpointError: "model-busy" if visitors load models too often.
        """
        key, owner = self._key(model_id), CALLER.get(Caller(True)).owner
        with self._lock:
            if owner:
                self._owner_key = key
            if key in self._loaded:
                self._loaded.move_to_end(key)
                return self._loaded[key]
            if key not in self._loading:
                if not owner and key != self._key(None):
                    self._limit_loads()
                self._loading[key] = threading.Lock()
            loading = self._loading[key]
        try:
            with loading:
                return self._load(key)
        finally:
            with self._lock:
                self._loading.pop(key, None)

    def _key(self, model_id: str | None) -> tuple[str, int]:
        folder = self.folder(model_id)
        try:
            return str(folder), (folder / "config.json").stat().st_mtime_ns
        except OSError:
            return str(folder), 0

    def _limit_loads(self) -> None:
        """Raise CheckpointError "model-busy" within ``LOAD_SECONDS`` of the last load by a visitor."""
        wait = self._next_load - time.monotonic()
        if wait > 0:
            raise CheckpointError("model-busy", seconds=math.ceil(wait))
        self._next_load = time.monotonic() + LOAD_SECONDS

    def _load(self, key: tuple[str, int]) -> Batcher:
        with self._lock:
            if key in self._loaded:  # by an earlier caller, while this one waited
                return self._loaded[key]
        with _gc_paused(freeze=not self._loaded):
            from fruitvision.recognition.batcher import Batcher
            from fruitvision.recognition.classifier import Classifier

            # Prepacking, or compiling, follows in the background after the first answer.
            batcher = Batcher(Classifier.from_checkpoint(Path(key[0]), prepack=False), openvino=True)
        pinned = {key, self._owner_key, self._key(None) if self.default else None}
        with self._lock:
            self._loaded[key] = batcher
            to_evict = [loaded for loaded in self._loaded if loaded not in pinned][: max(len(self._loaded) - MAX_LOADED, 0)]
            evicted = [self._loaded.pop(loaded) for loaded in to_evict]
        for old in evicted:
            old.close()
        return batcher

    def preload(self) -> Task[Batcher]:
        """Load the default model in the background, once, so that the first picture need not wait for it.

        An error is reported when the model is used.
        """
        with self._lock:
            self._preload = self._preload or Task(lambda progress: self.batcher(None), "preload")
            return self._preload


@contextmanager
def _gc_paused(*, freeze: bool) -> Iterator[None]:
    """Pause garbage collection: it would take a fifth of the time to import libraries, and free little.

    ``freeze``: exclude the imported objects from later collections, since they live as long as the app.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
        if freeze:
            gc.freeze()
    finally:
        if paused:
            gc.enable()


class Teaching:
    """The pictures that the owner taught, and their embeddings by each model."""

    def __init__(self, folder: Path, models: Models) -> None:
        self.store = TaughtStore(folder)
        self._removed: tuple[str, dict[str, dict[str, bytes]]] | None = None
        self._models = models
        self._embeddings: WeakKeyDictionary[Batcher, TaughtEmbeddings] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def embeddings(self, model_id: str | None) -> TaughtEmbeddings:
        """The embeddings by one model. Raises CheckpointError."""
        batcher = self._models.batcher(model_id)
        from fruitvision.recognition.taught.embeddings import TaughtEmbeddings

        with self._lock:
            if batcher not in self._embeddings:
                self._embeddings[batcher] = TaughtEmbeddings(self.store, batcher.classifier)
            return self._embeddings[batcher]

    def set_undo(self, removed: dict[str, dict[str, bytes]]) -> str:
        """Keep the removed files, by name and id, instead of those of an earlier removal; returns the token for :meth:`undo`.

        Without files there is nothing to undo, and the token is empty.
        """
        token = secrets.token_hex(8) if removed else ""
        self._removed = (token, removed) if removed else None
        return token

    def undo(self, token: str) -> None:
        """Restore the files of the last removal, once, without those that were taught again since, even by another process.

        Raises DataError "taught-undo-gone" if the token is not the last removal's, or if all of the files were taught again.
        """
        removed = self._removed
        if removed is None or removed[0] != token:
            raise DataError("taught-undo-gone")
        count = self.store.put_back(removed[1])
        if self._removed is removed:
            self._removed = None
        if not count:
            raise DataError("taught-undo-gone")

    def head(self, model_id: str | None, *, owner: bool) -> TaughtHead | None:
        """The head that adds the taught classes to a model; None for visitors, and if the taught pictures cannot be read."""
        if not owner:
            return None
        try:
            return self.embeddings(model_id).current() if self.store.index().pictures else None
        except FruitVisionError:
            return None  # the panel shows the error
