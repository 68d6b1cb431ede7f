"""What the panels share: the app's settings, and the page under construction with the texts bound to its components."""

from __future__ import annotations

import json
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
from fruitvision.web.device_page import DevicePage
from fruitvision.wording.text import LANGUAGES, say


@dataclass(frozen=True)
class Context:
    """The settings of one app, from the arguments of ``launch()``."""

    runs: Path
    taught: Path
    access: Access
    models: Models
    data: Path
    """The folder whose subfolders are offered for training; it need not exist."""
    language: str = "en"
    """The default language of the page."""
    follow_browser: bool = True
    """Whether the browser's Accept-Language takes precedence over it."""
    dataset_limit: int = MAX_BYTES
    """Maximum size of a dataset that the owner may upload, in bytes."""
    device: DevicePage | None = None
    """The page that classifies in the visitor's own browser; it may not be ready yet."""

    def valid_language(self, value: Any) -> str:
        """``value``, which a client sent, if it is a language; otherwise the default one."""
        return value if isinstance(value, str) and value in LANGUAGES else self.language

    @cached_property
    def datasets(self) -> Datasets:
        """The datasets to choose from, shared by Train and Compare."""
        return Datasets(self.data)

    @cached_property
    def collected(self) -> TaughtStore:
        """The pictures that the owner collected in Train."""
        return TaughtStore(self.datasets.import_folder / COLLECTED_STORE)

    @cached_property
    def teaching(self) -> Teaching:
        """The pictures that the owner taught in Classify."""
        return Teaching(self.taught, self.models)


# A panel may be opened before the page's scripts are loaded: the languages then stay as they are.
SYNC_LANGUAGES_JS = "(language, ...parts) => window.fruitvisionSyncLanguages?.(language, parts) ?? parts"

Words = str | Callable[[str], Any]
"""The key of a sentence, or a function of the language."""
Component = TypeVar("Component", bound=Block)


@dataclass
class Page:
    """The page under construction: the header's components, and the component properties that depend on the language."""

    context: Context
    demo: gr.Blocks
    language: gr.Radio
    """The language, "en" or "zh", of the part under construction, see :meth:`part`: an input of every handler that returns text."""
    model: gr.Dropdown
    """The id of the selected model, see :class:`Models`."""
    tabs: gr.Tabs = field(init=False)
    """The panels, with the ids "classify", "train" and "compare"."""
    header_language: gr.Radio = field(init=False)
    """The language that the user selects in the header."""
    part_languages: dict[str, gr.Radio] = field(init=False)
    """The language of each part of the page, by the names in ``PARTS``."""
    opened: gr.Checkbox = field(init=False)
    """Whether the panel under construction has been opened on this page. Its work that needs torch waits for that.

    The page keeps it, not the server, so that it survives a restart of the server.
    """
    bar: gr.HTML = field(init=False)
    """The training's progress above the panels; its click event carries the id of the displayed run."""
    _bound: list[tuple[gr.Radio, Block, dict[str, Words]]] = field(default_factory=list)
    _initial: list[tuple[gr.Radio, Block, dict[str, Words]]] = field(default_factory=list)
    _inside: list[str] = field(default_factory=list)
    _tabs: list[tuple[gr.Tab, str, bool]] = field(default_factory=list)
    _timers: list[tuple[gr.Timer, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.header_language = self.language

    def bind(self, component: Component, **words: Words) -> Component:
        """Let properties of a component (label, value, info, choices…) follow the language; returns the component.

        page.bind(gr.Button(), value="train.start")
        """
        for name, value in _localized(words, self.context.language).items():
            setattr(component, name, value)
        self._bound.append((self.language, component, words))
        return component

    def bind_initial(self, component: Component, **words: Words) -> Component:
        """As :meth:`bind`, for the initial values of a component that a handler updates later, in the language that the page then has."""
        self._initial.append((self.language, component, words))
        return component

    def timer(self, seconds: float) -> gr.Timer:
        """A timer that ticks only while the part under construction is shown: each tick has Gradio update all components in the browser."""
        self._timers.append((timer := gr.Timer(seconds, active=False), tuple(self._inside)))
        return timer

    def wire_timers(self) -> None:
        """Start and stop all timers as tabs are selected; called when all parts are built."""
        for tab, name, is_panel in self._tabs:
            active = {timer: name in inside for timer, inside in self._timers if is_panel or name in inside}
            updates = [{"__type__": "update", "active": value} for value in active.values()]
            if active:
                tab.select(None, None, [*active], js=f"() => ({json.dumps(updates if len(updates) > 1 else updates[0])})")

    @contextmanager
    def part(self, name: str, tab: gr.Tab) -> Iterator[None]:
        """Components built inside have a language of their own, which follows the header's while ``tab`` is selected.

        A change of the language thus updates only visible parts; the others follow when they are opened.
        """
        before, self.language = self.language, self.part_languages[name]
        self._tabs.append((tab, name, not self._inside))
        self._inside.append(name)
        yield
        self._inside.pop()
        self.language = before
        self.sync_languages(tab.select)

    def sync_languages(self, event: Callable[..., Any]) -> None:
        """On ``event``, set the languages of the visible parts to the header's."""
        parts = [*self.part_languages.values()]
        event(None, [self.header_language, *parts], parts, js=SYNC_LANGUAGES_JS)

    def bound_to(self, follows: gr.Radio) -> list[Any]:
        """The components bound to one of the page's languages, in the order of :meth:`updates`."""
        return [component for language, component, _ in self._bound if language is follows]

    def translations(self, language: str) -> dict[int, dict[str, Any]]:
        """The properties of components in a language, by component id; the selected languages are among them."""
        properties: dict[int, dict[str, Any]] = {}
        for _, component, words in (*self._bound, *self._initial):
            properties.setdefault(component._id, {}).update(_localized(words, language))
        for follows in {radio for radio, _, _ in self._bound}:
            properties.setdefault(follows._id, {})["value"] = language
        return properties

    def updates(self, follows: gr.Radio, language: str) -> list[dict[str, Any]]:
        """The updates of the components bound to one of the page's languages, after it has changed."""
        return [gr.update(**_localized(words, language)) for radio, _, words in self._bound if radio is follows]


def _localized(words: dict[str, Words], language: str) -> dict[str, Any]:
    return {name: say(word, language) if isinstance(word, str) else word(language) for name, word in words.items()}
