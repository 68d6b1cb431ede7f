"""What the panels share: folders, the rule of access, the models that can answer, and words bound to components."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from fruitvision.errors import CheckpointError, FruitVisionError
from fruitvision.models.checkpoint import find_checkpoint, shipped
from fruitvision.recognition.batcher import Batcher
from fruitvision.recognition.classifier import Classifier
from fruitvision.recognition.taught.embeddings import TaughtEmbeddings
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.recognition.taught_head import TaughtHead
from fruitvision.runs.folder import RunFolder, list_runs
from fruitvision.ui.page.data_shelf import DataShelf
from fruitvision.ui.server.access import Access
from fruitvision.wording.text import say

KEPT_MODELS = 4


class ModelShelf:
    """The models that can answer, by id: "shipped:NAME", "run:ID", and "given" for the one named at the start.

    Ids are looked up in lists made here; nothing that a visitor sends is ever taken for a path.
    """

    def __init__(self, runs: Path, given: str | Path | None = None) -> None:
        self._runs = runs
        self._given = find_checkpoint(given) if given else None
        self._loaded: OrderedDict[tuple[str, int], Batcher] = OrderedDict()
        self._lock = threading.Lock()

    def choices(self, language: str) -> list[tuple[str, str]]:
        """(name, id), the default first."""
        known = [("given", _checkpoint_name(self._given))] if self._given else []
        known += [(f"shipped:{path.name}", say("header.shipped", language, name=path.name)) for path in shipped()]
        known += [(f"run:{run.id}", say("header.run", language, name=run.name)) for run in self.runs()]
        return [(name, model_id) for model_id, name in known]

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

    @property
    def default(self) -> str | None:
        """The id of the model that answers first; None where there is none at all."""
        return next((model_id for _, model_id in self.choices("en")), None)

    def folder(self, model_id: str | None) -> Path:
        """The checkpoint folder of an id. Raises CheckpointError "model-gone" where there is no such model now."""
        kind, _, name = (model_id or self.default or "").partition(":")
        if kind == "given" and self._given:
            return self._given
        candidates = {"shipped": {p.name: p for p in shipped()}, "run": {r.id: r.best for r in self.runs()}}.get(kind, {})
        if name in candidates:
            return candidates[name]
        if self.default is None:
            return find_checkpoint(None)
        raise CheckpointError("model-gone", "That model is not there any more.", "Choose another one above.")

    def batcher(self, model_id: str | None) -> Batcher:
        """The model behind an id, loaded once and shared by all visitors. Raises CheckpointError."""
        folder = self.folder(model_id)
        try:
            key = (str(folder), (folder / "config.json").stat().st_mtime_ns)
        except OSError:
            key = (str(folder), 0)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = Batcher(Classifier.from_checkpoint(folder), openvino=True)
                while len(self._loaded) > KEPT_MODELS:
                    self._loaded.popitem(last=False)[1].close()
            self._loaded.move_to_end(key)
            return self._loaded[key]

    def load_ahead(self) -> threading.Thread:
        """Load the default model meanwhile, so that the first picture need not wait for it.

        What is wrong with it is said when it is to answer.
        """

        def load() -> None:
            with contextlib.suppress(FruitVisionError):
                self.batcher(None)

        thread = threading.Thread(target=load, name="fruitvision-load-ahead", daemon=True)
        thread.start()
        return thread


def _checkpoint_name(folder: Path) -> str:
    """A run's name for its best/ and last/, the folder's own name otherwise."""
    folder = folder.absolute()
    return folder.parent.name if folder.name in ("best", "last") else folder.name


class LessonShelf:
    """What was taught, as each of the models that can answer sees it."""

    def __init__(self, folder: Path, models: ModelShelf) -> None:
        self.store = TaughtStore(folder)
        self._models = models
        self._lessons: WeakKeyDictionary[Batcher, TaughtEmbeddings] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, model_id: str | None) -> TaughtEmbeddings:
        """The lessons of a model. Raises CheckpointError."""
        batcher = self._models.batcher(model_id)
        with self._lock:
            if batcher not in self._lessons:
                self._lessons[batcher] = TaughtEmbeddings(self.store, batcher.classifier)
            return self._lessons[batcher]

    def taught(self, model_id: str | None, *, owner: bool) -> TaughtHead | None:
        """What joins a model's answers: nothing for a visitor, and nothing where what was taught cannot be read."""
        if not owner:
            return None
        try:
            return self.of(model_id).current()
        except FruitVisionError:
            return None  # the panel says why


@dataclass(frozen=True)
class Context:
    """One app: what ``launch()`` was told."""

    runs: Path
    taught: Path
    access: Access
    models: ModelShelf
    data: Path
    """The folder whose subfolders are offered for training; it need not exist."""
    language: str = "en"
    """The language that the page is built in."""
    follow_browser: bool = True
    """Whether a visitor's browser may ask for another one."""

    @cached_property
    def pictures(self) -> DataShelf:
        """The datasets that a person may choose; Train and Compare look through each once."""
        return DataShelf(self.data)

    @cached_property
    def lessons(self) -> LessonShelf:
        """What the owner taught."""
        return LessonShelf(self.taught, self.models)


Words = str | Callable[[str], Any]
"""A key of ``sentences/``, or a function of the language."""


@dataclass
class Page:
    """The page while it is built: the header's components, and every word that follows the language."""

    context: Context
    demo: gr.Blocks
    language: gr.Radio
    """The language of the moment, "en" or "zh": an input of every handler that answers in words."""
    model: gr.Dropdown
    """The id of the model that answers, see :class:`ModelShelf`."""
    tabs: gr.Tabs | None = None
    """The panels, by the ids "classify", "train" and "compare"."""
    _bound: list[tuple[gr.blocks.Block, dict[str, Words]]] = field(default_factory=list)

    def bind(self, component: Any, **words: Words) -> Any:
        """Let properties of a component (label, value, info, choices…) follow the language; returns the component.

        page.bind(gr.Button(), value="train.start")
        """
        for name, value in _spoken(words, self.context.language).items():
            setattr(component, name, value)
        self._bound.append((component, words))
        return component

    @property
    def bound(self) -> list[Any]:
        """The bound components, in the order of :meth:`updates`."""
        return [component for component, _ in self._bound]

    def updates(self, language: str) -> list[dict[str, Any]]:
        """What a change of language brings each bound component."""
        return [gr.update(**_spoken(words, language)) for _, words in self._bound]


def _spoken(words: dict[str, Words], language: str) -> dict[str, Any]:
    return {name: say(word, language) if isinstance(word, str) else word(language) for name, word in words.items()}
