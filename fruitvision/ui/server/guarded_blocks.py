"""What a call of the page may hold before a component or a handler sees it, and what becomes of what goes wrong there."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.errors import FruitVisionError, PictureError
from fruitvision.ui.gradio_internals import get_upload_folder
from fruitvision.wording.text import LANGUAGES, say, say_error

RENDERED_LANGUAGE: ContextVar[str | None] = ContextVar("fruitvision-rendered-language", default=None)
"""The language that the page is being rendered in; None for the one that it was built in."""


class GuardedBlocks(gr.Blocks):
    """Blocks that neither fetch an address nor open a file of this computer that somebody put where an upload belongs.

    A value that a component cannot take is a sentence for whoever sent it, and for the console no more than one trace a place.
    """

    words: Callable[[str], dict[int, dict[str, Any]]] | None = None
    """Gives the properties of components, by their id, that another language changes."""

    @property
    def config(self) -> Any:
        """What the page is rendered from, in ``RENDERED_LANGUAGE``."""
        language = RENDERED_LANGUAGE.get()
        if language is None or self.words is None:
            return self._config
        if language not in self._spoken:
            self._spoken[language] = _translated(self._config, self.words(language))
        return self._spoken[language]

    @config.setter
    def config(self, config: Any) -> None:
        self._config, self._spoken = config, {}

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *given: Any, **named: Any) -> Any:
        """As Gradio's, once :func:`refuse_foreign_files` has seen the inputs."""
        refuse_foreign_files(inputs, Path(get_upload_folder()))
        return await super().preprocess_data(block_fn, _in_a_language(block_fn, inputs), *given, **named)

    async def process_api(self, *given: Any, **named: Any) -> dict[str, Any]:
        """As Gradio's; whatever goes wrong is a gr.Error that Gradio does not print."""
        try:
            return await super().process_api(*given, **named)
        except gr.Error as error:
            error.print_exception = False
            raise
        except FruitVisionError as error:
            words = " ".join(say_error(error, language) for language in LANGUAGES)
        except Exception as error:  # a mistake of ours, or a value that no page sends: components and handlers fail as they like
            log_once(error)
            words = " ".join(say("classify.not_understood", language) for language in LANGUAGES)
        raise gr.Error(words, print_exception=False)


def _translated(config: dict[str, Any], words: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    components = [{**one, "props": {**one["props"], **words.get(one["id"], {})}} for one in config["components"]]
    return {**config, "components": components}


def log_once(error: Exception) -> None:
    """Log where an unexpected error came from, the first time: whoever sends the same again does not fill the disk."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = (type(error).__name__, last.filename, last.lineno)
    if place not in _logged:
        _logged.add(place)
        logging.getLogger(__name__).error("an unexpected error, logged once", exc_info=error)


_logged: set[tuple[str, str, int | None]] = set()


def _in_a_language(block_fn: Any, inputs: Any) -> Any:
    """The inputs with a language that there is, whatever was sent in its place."""
    if not isinstance(inputs, list):
        return inputs
    asked = [str(getattr(component, "elem_id", None)).partition("-")[0] == "language" for component in block_fn.inputs]
    unknown = [not isinstance(value, str) or value not in LANGUAGES for value in inputs]
    return ["en" if n < len(asked) and asked[n] and unknown[n] else value for n, value in enumerate(inputs)]


def refuse_foreign_files(value: Any, uploads: Path) -> None:
    """Raise PictureError where a "path" in ``value``, however deep, is no file below ``uploads``, such as an address.

    Gradio itself looks only at what calls itself a file ("meta"), and opens the path of any other.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            path = one.get("path")
            if isinstance(path, str) and not is_below(path, uploads):
                raise PictureError("picture-not-an-image", picture="")
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def is_below(path: str, folder: Path) -> bool:
    """Whether ``path``, which a stranger may have written, is no address and lies below ``folder``, links followed."""
    if re.match(r"\s*([a-zA-Z][\w+.-]+:|[/\\]{2})", path):  # http:, file:, …; or a share, which Windows would ask for
        return False
    try:
        return folder.resolve() in Path(path).resolve().parents
    except (OSError, ValueError, RuntimeError):  # a null byte, a loop of links
        return False
