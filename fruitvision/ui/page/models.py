"""The models that can answer, and what was taught to them."""

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
"""Between two models that are loaded because a visitor chose them: each takes a second of both cores, and memory."""


class Models:
    """The models that can answer, by id: "shipped:NAME", "run:ID", "imported:NAME", and "given" for the one named at the start.

    Ids are looked up in lists made here; nothing that a visitor sends is ever taken for a path.
    """

    def __init__(self, runs: Path, given: str | Path | None = None) -> None:
        self._runs = runs
        self._given = find_checkpoint(given) if given else None
        self._loaded: OrderedDict[tuple[str, int], Batcher] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[tuple[str, int], threading.Lock] = {}
        self._next_load = 0.0
        self._owners: tuple[str, int] | None = None
        self._ahead: Task[Batcher] | None = None

    def choices(self, language: str) -> list[tuple[str, str]]:
        """(name, id), the default first."""
        known = [(checkpoint_name(self._given), "given")] if self._given else []
        known += [(say("header.shipped", language, name=path.name), f"shipped:{path.name}") for path in shipped()]
        known += [(say("header.run", language, name=run.name), f"run:{run.id}") for run in self.runs()]
        return known + [(say("header.imported", language, name=path.name), f"imported:{path.name}") for path in self.imported()]

    def choices_update(self, language: str, chosen: str | None) -> dict[str, Any]:
        """The choices as they are now, for the dropdown; a model that is gone gives way to the default."""
        choices = self.choices(language)
        known = [model_id for _, model_id in choices]
        return gr.update(choices=choices, value=chosen if chosen in known else self.default)

    def name(self, model_id: str | None, language: str) -> str:
        """What the choices call a model."""
        wanted = model_id or self.default
        return next((name for name, known in self.choices(language) if known == wanted), wanted or "")

    def runs(self) -> list[RunFolder]:
        """The finished runs, newest first."""
        return [run for run in list_runs(self._runs) if run.has_checkpoint and run.status().state == "finished"]

    def imported(self) -> list[Path]:
        """The checkpoint folders that lie directly in the folder of runs, where the command ``import`` puts them."""
        return checkpoints_in(self._runs)

    @property
    def default(self) -> str | None:
        """The id of the model that answers first; None where there is none at all."""
        return next((model_id for _, model_id in self.choices("en")), None)

    def folder(self, model_id: str | None) -> Path:
        """The checkpoint folder of an id. Raises CheckpointError "model-gone" where there is no such model now."""
        kind, _, name = (model_id or self.default or "").partition(":")
        if kind == "given" and self._given:
            return self._given
        known = {"shipped": shipped, "imported": self.imported}
        candidates = {r.id: r.best for r in self.runs()} if kind == "run" else {p.name: p for p in known.get(kind, list)()}
        if name in candidates:
            return candidates[name]
        if self.default is None:
            return find_checkpoint(None)
        raise CheckpointError("model-gone")

    def config(self, model_id: str | None) -> CheckpointConfig:
        """The configuration of the model behind an id; its network is not loaded. Raises CheckpointError."""
        folder = self.folder(model_id)
        return self.batcher(model_id).classifier.config if folder.suffix == ONNX_SUFFIX else read_config(folder)

    def batcher(self, model_id: str | None) -> Batcher:
        """The model behind an id, loaded once and shared by all visitors; those that are loaded answer meanwhile.

        Raises CheckpointError: "model-busy" where visitors choose one model after the other.
        """
        key, owner = self._key(model_id), CALLER.get(Caller(True)).owner
        with self._lock:
            if owner:
                self._owners = key
            if key in self._loaded:
                self._loaded.move_to_end(key)
                return self._loaded[key]
            if key not in self._loading:
                if not owner and key != self._key(None):
                    self._take_turn()
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

    def _take_turn(self) -> None:
        left = self._next_load - time.monotonic()
        if left > 0:
            raise CheckpointError("model-busy", seconds=math.ceil(left))
        self._next_load = time.monotonic() + LOAD_SECONDS

    def _load(self, key: tuple[str, int]) -> Batcher:
        with self._lock:
            if key in self._loaded:  # by who came first
                return self._loaded[key]
        with _collection_paused(freeze=not self._loaded):
            from fruitvision.recognition.batcher import Batcher
            from fruitvision.recognition.classifier import Classifier

            # Prepacked, or compiled, in the background after the first answer, which need not wait for it.
            batcher = Batcher(Classifier.from_checkpoint(Path(key[0]), prepack=False), openvino=True)
        kept = {key, self._owners, self._key(None) if self.default else None}
        with self._lock:
            self._loaded[key] = batcher
            surplus = [one for one in self._loaded if one not in kept][: max(len(self._loaded) - MAX_LOADED, 0)]
            gone = [self._loaded.pop(one) for one in surplus]
        for one in gone:
            one.close()
        return batcher

    def load_ahead(self) -> Task[Batcher]:
        """Load the default model in the background, so that the first picture need not wait for it: once.

        An error is said when the model is to answer.
        """
        with self._lock:
            self._ahead = self._ahead or Task(lambda progress: self.batcher(None), "load-ahead")
            return self._ahead


@contextmanager
def _collection_paused(*, freeze: bool) -> Iterator[None]:
    """No garbage is collected meanwhile: while libraries load there is little of it, and looking takes a fifth of the time.

    ``freeze``: what was imported stays as long as the app does, and later collections need not look through it.
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
    """What the owner taught, and its features by each of the models that can answer."""

    def __init__(self, folder: Path, models: Models) -> None:
        self.store = TaughtStore(folder)
        self._removed: tuple[str, dict[str, dict[str, bytes]]] | None = None
        self._models = models
        self._lessons: WeakKeyDictionary[Batcher, TaughtEmbeddings] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, model_id: str | None) -> TaughtEmbeddings:
        """What was taught, for one model. Raises CheckpointError."""
        batcher = self._models.batcher(model_id)
        from fruitvision.recognition.taught.embeddings import TaughtEmbeddings

        with self._lock:
            if batcher not in self._lessons:
                self._lessons[batcher] = TaughtEmbeddings(self.store, batcher.classifier)
            return self._lessons[batcher]

    def keep(self, removed: dict[str, dict[str, bytes]]) -> str:
        """Keep what was removed last, files by id, by name, in the place of what was before; returns what :meth:`put_back` asks for.

        Empty where there is nothing to keep.
        """
        undo = secrets.token_hex(8) if removed else ""
        self._removed = (undo, removed) if removed else None
        return undo

    def put_back(self, undo: str) -> None:
        """Add what :meth:`keep` kept, once, without what was taught again since, in another process too.

        Raises DataError "taught-undo-gone" where that is another removal's, or none is kept, or all of it was taught again.
        """
        kept = self._removed
        if kept is None or kept[0] != undo:
            raise DataError("taught-undo-gone")
        count = self.store.put_back(kept[1])
        if self._removed is kept:
            self._removed = None
        if not count:
            raise DataError("taught-undo-gone")

    def taught(self, model_id: str | None, *, owner: bool) -> TaughtHead | None:
        """The classes that join a model's answers: none for a visitor, and none where what was taught cannot be read."""
        if not owner:
            return None
        try:
            return self.of(model_id).current() if self.store.index().pictures else None
        except FruitVisionError:
            return None  # the panel says why
