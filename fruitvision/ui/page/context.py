"""What the panels share: the app's folders and rules, and the page while it is built, with the words bound to its components."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.blocks import Block

from fruitvision.data.fetch.uploads import MAX_BYTES
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.ui.page.datasets import COLLECTED_STORE, Datasets
from fruitvision.ui.page.models import Models, Teaching
from fruitvision.ui.server.access import Access
from fruitvision.web.served import DevicePage
from fruitvision.wording.text import say


@dataclass(frozen=True)
class Context:
    """One app: what ``launch()`` was given."""

    runs: Path
    taught: Path
    access: Access
    models: Models
    data: Path
    """The folder whose subfolders are offered for training; it need not exist."""
    language: str = "en"
    """The language that the page is built in."""
    follow_browser: bool = True
    """Whether a visitor's browser may ask for another one."""
    dataset_limit: int = MAX_BYTES
    """Bytes of one dataset that the owner may upload."""
    device: DevicePage | None = None
    """The page that answers in the visitor's own browser, which may still be in the making."""

    @cached_property
    def datasets(self) -> Datasets:
        """The datasets that a person may choose; Train and Compare scan each once."""
        return Datasets(self.data)

    @cached_property
    def collected(self) -> TaughtStore:
        """What the owner collected in Train."""
        return TaughtStore(self.datasets.home / COLLECTED_STORE)

    @cached_property
    def teaching(self) -> Teaching:
        """What the owner taught."""
        return Teaching(self.taught, self.models)


# A panel may be opened before the page's scripts are there: what is spoken stays then.
HEAR = "(language, ...heard) => window.fruitvisionHeard?.(language, heard) ?? heard"

Words = str | Callable[[str], Any]
"""A key of ``sentences/``, or a function of the language."""
Component = TypeVar("Component", bound=Block)


@dataclass
class Page:
    """The page while it is built: the header's components, and every word that follows the language."""

    context: Context
    demo: gr.Blocks
    language: gr.Radio
    """The language, "en" or "zh", of what is being built: an input of every handler that answers in words, see :meth:`part`."""
    model: gr.Dropdown
    """The id of the model that answers, see :class:`Models`."""
    tabs: gr.Tabs = field(init=False)
    """The panels, by the ids "classify", "train" and "compare"."""
    spoken: gr.Radio = field(init=False)
    """The header's language."""
    heard: dict[str, gr.Radio] = field(init=False)
    """The languages of the page's parts, by ``HEARD_IN``'s names."""
    opened: gr.Checkbox = field(init=False)
    """Of the panel that is being built: whether it was opened on this page. What only it shows, and needs torch, waits for that.

    The page holds it, so that a server that was started again knows it too.
    """
    bar: gr.HTML = field(init=False)
    """The training's progress above the panels; its click says which run it shows."""
    _bound: list[tuple[gr.Radio, Block, dict[str, Words]]] = field(default_factory=list)
    _first: list[tuple[gr.Radio, Block, dict[str, Words]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spoken = self.language

    def bind(self, component: Component, **words: Words) -> Component:
        """Let properties of a component (label, value, info, choices…) follow the language; returns the component.

        page.bind(gr.Button(), value="train.start")
        """
        for name, value in _spoken(words, self.context.language).items():
            setattr(component, name, value)
        self._bound.append((self.language, component, words))
        return component

    def first(self, component: Component, **words: Words) -> Component:
        """As :meth:`bind`, for what stands there until a handler of the component's own has answered."""
        self._first.append((self.language, component, words))
        return component

    @contextmanager
    def part(self, name: str, tab: gr.Tab) -> Iterator[None]:
        """What is built meanwhile has a language of its own, which follows the header's while its ``tab`` is open.

        So a change of the language costs no time for what nobody sees: that changes when it is opened.
        """
        before, self.language = self.language, self.heard[name]
        yield
        self.language = before
        self.hear(tab.select)

    def hear(self, event: Callable[..., Any]) -> None:
        """Let the languages of the parts that are open follow the header's at an event."""
        parts = [*self.heard.values()]
        event(None, [self.spoken, *parts], parts, js=HEAR)

    def bound(self, follows: gr.Radio) -> list[Any]:
        """The bound components that follow one of the page's languages, in the order of :meth:`updates`."""
        return [component for language, component, _ in self._bound if language is follows]

    def words(self, language: str) -> dict[int, dict[str, Any]]:
        """The properties that differ in a language, by the ids of the components; the choices of the language among them."""
        spoken = {component._id: _spoken(words, language) for _, component, words in (*self._bound, *self._first)}
        for follows in {one for one, _, _ in self._bound}:
            spoken.setdefault(follows._id, {})["value"] = language
        return spoken

    def updates(self, follows: gr.Radio, language: str) -> list[dict[str, Any]]:
        """What a change of one of the page's languages brings each component that follows it."""
        return [gr.update(**_spoken(words, language)) for own, _, words in self._bound if own is follows]


def _spoken(words: dict[str, Words], language: str) -> dict[str, Any]:
    return {name: say(word, language) if isinstance(word, str) else word(language) for name, word in words.items()}
