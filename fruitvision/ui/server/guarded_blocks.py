"""gr.Blocks that checks the inputs of each call before components and handlers see them, and reports errors as sentences."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.errors import FruitVisionError, PictureError
from fruitvision.files import is_network_path
from fruitvision.ui.gradio_internals import get_upload_folder
from fruitvision.wording.text import LANGUAGES, say, say_error

MAX_NAME_BYTES = 255
"""The length of a name that file systems allow; Gradio fails on longer ones."""
MAX_PATH, MAX_PATHS = 1024, 16
"""The length of a path that a client sends in place of a file, and their number in a call: to look up its folders takes quadratic time."""
RENDERED_LANGUAGE: ContextVar[str | None] = ContextVar("fruitvision-rendered-language", default=None)
"""The language in which the page is being rendered; None for the one in which it was built."""


class GuardedBlocks(gr.Blocks):
    """Blocks that refuse URLs and paths of other local files in place of an upload.

    An invalid value is answered with an error message, and logged at most once for each place in the code.
    """

    translations: Callable[[str], dict[int, dict[str, Any]]] | None = None
    """Returns the properties of components in a language, by component id."""

    @property
    def config(self) -> Any:
        """The configuration that the page is rendered from, in ``RENDERED_LANGUAGE``."""
        language = RENDERED_LANGUAGE.get()
        if language is None or self.translations is None:
            return self._config
        if language not in self._translated:
            self._translated[language] = _translate(self._config, self.translations(language))
        return self._translated[language]

    @config.setter
    def config(self, config: Any) -> None:
        self._config, self._translated = config, {}

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *given: Any, **named: Any) -> Any:
        """As Gradio's, after the inputs were checked."""
        refuse_foreign_files(inputs, Path(get_upload_folder()))
        return await super().preprocess_data(block_fn, _with_valid_language(block_fn, inputs), *given, **named)

    async def process_api(self, *given: Any, **named: Any) -> dict[str, Any]:
        """As Gradio's; every exception becomes a gr.Error that Gradio does not print."""
        try:
            return await super().process_api(*given, **named)
        except gr.Error as error:
            error.print_exception = False
            raise
        except FruitVisionError as error:
            words = " ".join(say_error(error, language) for language in LANGUAGES)
        except Exception as error:  # a bug, or a value that the page never sends: components raise various exceptions for those
            log_once(error)
            words = " ".join(say("classify.not_understood", language) for language in LANGUAGES)
        raise gr.Error(words, print_exception=False)


def _translate(config: dict[str, Any], properties: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    components = [{**one, "props": {**one["props"], **properties.get(one["id"], {})}} for one in config["components"]]
    return {**config, "components": components}


def log_once(error: Exception) -> None:
    """Log an unexpected error with its traceback the first time it occurs in a place, so that repeated requests do not fill the disk."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = (type(error).__name__, last.filename, last.lineno)
    if place not in _logged:
        _logged.add(place)
        logging.getLogger(__name__).error("an unexpected error, logged once", exc_info=error)


_logged: set[tuple[str, str, int | None]] = set()


def _with_valid_language(block_fn: Any, inputs: Any) -> Any:
    """The inputs with unknown languages replaced by English."""
    if not isinstance(inputs, list):
        return inputs
    is_language = [str(getattr(component, "elem_id", None)).partition("-")[0] == "language" for component in block_fn.inputs]
    unknown = [not isinstance(value, str) or value not in LANGUAGES for value in inputs]
    return ["en" if n < len(is_language) and is_language[n] and unknown[n] else value for n, value in enumerate(inputs)]


def refuse_foreign_files(value: Any, uploads: Path) -> None:
    """Raise PictureError if a "path" anywhere in ``value`` is a URL, or no file below ``uploads``; or if there are too many.

    Gradio itself checks only objects that are marked as files ("meta"), and opens the path of any other.
    """
    stack, paths = [value], 0
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            path = item.get("path")
            paths += isinstance(path, str)
            if isinstance(path, str) and (paths > MAX_PATHS or not is_below(path, uploads)):
                raise PictureError("picture-not-an-image", picture="")
            stack += item.values()
        elif isinstance(item, list):
            stack += item


def is_below(path: str, folder: Path) -> bool:
    """Whether an untrusted ``path`` is no URL and lies below ``folder``, with symbolic links resolved."""
    if len(path) > MAX_PATH or re.match(r"\s*[a-zA-Z][\w+.-]+:", path) or is_network_path(path):  # http:, file:, …; or a network share
        return False
    try:
        resolved = Path(path).resolve()
        return folder.resolve() in resolved.parents and all(len(os.fsencode(part)) <= MAX_NAME_BYTES for part in resolved.parts)
    except (OSError, ValueError, RuntimeError):  # a null byte, a loop of symbolic links
        return False
