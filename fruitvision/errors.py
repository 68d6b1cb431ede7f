"""Errors that are shown to the user: what was found, what was expected, what to do next.

    FruitVisionError
    ├── UsageError            the command or a setting was given wrongly (exit code 2)
    │   └── ConfigError       settings that do not fit together or lie out of range
    ├── DataError             a folder of pictures, or the store made of it
    │   ├── PictureError      one picture
    │   └── DownloadError     something fetched from the network
    ├── CheckpointError       a checkpoint folder
    ├── TrainingError         a run that cannot go on
    ├── RunError              a run folder, or the process behind it
    └── AccessError           asked for by somebody who may not

An error carries a code and its facts, which are values or a ``Fault``, never a sentence of ours. The sentences are those of
``wording/sentences/errors``, in each language, for the page and for the terminal; they are looked up when somebody reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fruitvision.wording.text import error_sentence, say_fault, sentences


class FruitVisionError(Exception):
    """The base of all errors that FruitVision raises intentionally.

    Args:
        code: a short name in kebab-case, with sentences in ``wording/sentences/errors``.
        facts: the values that the sentences mention, by name.
    """

    exit_code = 1

    def __init__(self, code: str, /, **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.facts = {name: _plain(fact) for name, fact in facts.items()}

    def __str__(self) -> str:
        """What was found and what to do next, as one English line for a terminal or a log."""
        return printable(error_sentence(self.code, self.facts, "en", "terminal") or f"{self.code} {self.facts}")

    def __reduce__(self):
        return _rebuild, (type(self), self.code, self.facts)

    def as_dict(self) -> dict[str, Any]:
        """The error as a JSON object, for ``status.json`` and ``--json``."""
        facts = {k: v if isinstance(v, int | float | str | bool | dict | list | None) else str(v) for k, v in self.facts.items()}
        return {"code": self.code, "message": str(self), "facts": facts}


class Fault(ValueError):
    """A single fault, used as a fact of an error: a code with facts, and a sentence in ``wording/sentences/faults.toml``.

    If it is raised in a pydantic validator, :func:`faults_of` returns it.
    """

    def __init__(self, code: str, /, **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.facts = {name: _plain(fact) for name, fact in facts.items()}

    def __str__(self) -> str:
        return say_fault(self.as_dict(), "en")

    def __reduce__(self):
        return _rebuild, (type(self), self.code, self.facts)

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "facts": self.facts}


def faults_of(error: Any) -> list[Fault]:
    """All faults of a pydantic ValidationError, with the name and value of each field."""
    found = []
    for one in error.errors(include_url=False):
        context, name = one.get("ctx", {}), ".".join(str(part) for part in one["loc"])[:100]
        fault = context.get("error")
        if not isinstance(fault, Fault):
            known = f"faults.{one['type']}" in sentences()
            expected = {name: str(value).replace(" or ", ", ") for name, value in context.items()}
            fault = Fault(one["type"], **expected) if known else Fault("quoted", text=one["msg"][:200])
        if name:
            given = {} if one["type"] in ("extra_forbidden", "missing") else {"given": _shortened(one["input"])}
            fault = Fault("in-entry-given" if given else "in-entry", name=name, fault=fault, **given)
        found.append(fault)
    return found


def _shortened(value: Any) -> str | Fault:
    try:
        return str(value)[:60]
    except ValueError:  # Python does not convert integers of more than 4,300 digits to text
        return Fault("very-large-number")


def _plain(fact: Any) -> Any:
    """A fact as a JSON value."""
    if isinstance(fact, Fault):
        return fact.as_dict()
    if isinstance(fact, list | tuple):
        return [_plain(one) if isinstance(one, Fault | dict | int | float) else printable(str(one)) for one in fact]
    return printable(fact) if isinstance(fact, str) else fact


def unexpected(error: Exception) -> FruitVisionError:
    """An unexpected exception as a FruitVisionError with the code "internal"."""
    return FruitVisionError("internal", error=f"{type(error).__name__}: {error}"[:300])


def printable(text: str) -> str:
    """The text with characters that UTF-8 cannot encode escaped: undecodable bytes of a file name."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def quoted(words: Iterable[str]) -> str:
    """Command-line arguments as typed in a terminal, in double quotes (which Windows supports too) where a shell would split or
    change them."""
    return " ".join(word if re.fullmatch(r"[\w@%+=:,./~-]+", word) else '"' + re.sub(r'(["\\$`])', r"\\\1", word) + '"' for word in words)


def _rebuild(kind: type[FruitVisionError | Fault], code: str, facts: dict) -> FruitVisionError | Fault:
    return kind(code, **facts)


class UsageError(FruitVisionError):
    """A command or setting was used wrongly."""

    exit_code = 2


class ConfigError(UsageError):
    """Settings that are out of range or incompatible."""


class DataError(FruitVisionError):
    """A folder of pictures that cannot be used as it is."""


class PictureError(DataError):
    """One picture that cannot be read."""


class DownloadError(DataError):
    """A file that could not be downloaded, or is not the expected one."""


class CheckpointError(FruitVisionError):
    """A checkpoint folder that is incomplete, damaged, or does not fit."""


class TrainingError(FruitVisionError):
    """A training run that cannot go on."""


class RunError(FruitVisionError):
    """A run folder, or its process, is in a state that does not allow the requested action."""


class AccessError(FruitVisionError):
    """The visitor has no permission for the action."""
