"""Errors that are meant for the person: what was found, what was expected, what to do next.

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
    """The base of all errors that FruitVision raises on purpose.

    Args:
        code: a short name in kebab-case, with sentences in ``wording/sentences/errors``.
        facts: what the sentences mention, by name.
    """

    exit_code = 1

    def __init__(self, code: str, /, **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.facts = {name: _plain(fact) for name, fact in facts.items()}

    def __str__(self) -> str:
        """What was found and what to do next, in one English line for a terminal or a log."""
        return printable(error_sentence(self.code, self.facts, "en", "terminal") or f"{self.code} {self.facts}")

    def __reduce__(self):
        return _rebuild, (type(self), self.code, self.facts)

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON can hold it, for ``status.json`` and ``--json``."""
        facts = {k: v if isinstance(v, int | float | str | bool | dict | list | None) else str(v) for k, v in self.facts.items()}
        return {"code": self.code, "message": str(self), "facts": facts}


class Fault(ValueError):
    """What is wrong in one place, as a fact of an error: a code with facts, and words in ``wording/sentences/faults.toml``.

    Raised in a validator of pydantic's, it is among what :func:`faults_of` finds.
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
    """Everything that a ValidationError of pydantic's found, with the name and the value that it is about."""
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
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return Fault("very-large-number")


def _plain(fact: Any) -> Any:
    """A fact without objects of ours."""
    if isinstance(fact, Fault):
        return fact.as_dict()
    if isinstance(fact, list | tuple):
        return [_plain(one) if isinstance(one, Fault | dict | int | float) else printable(str(one)) for one in fact]
    return printable(fact) if isinstance(fact, str) else fact


def unexpected(error: Exception) -> FruitVisionError:
    """An exception that nobody foresaw, as an error that can be said and written down: code "internal"."""
    return FruitVisionError("internal", error=f"{type(error).__name__}: {error}"[:300])


def printable(text: str) -> str:
    """The text with what UTF-8 cannot hold written out: bytes of a file's name that are no text on this system."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def quoted(words: Iterable[str]) -> str:
    """A command's words as typed at a terminal: in double quotes, which Windows knows too, where a shell would part or change them."""
    return " ".join(word if re.fullmatch(r"[\w@%+=:,./~-]+", word) else '"' + re.sub(r'(["\\$`])', r"\\\1", word) + '"' for word in words)


def _rebuild(kind: type[FruitVisionError | Fault], code: str, facts: dict) -> FruitVisionError | Fault:
    return kind(code, **facts)


class UsageError(FruitVisionError):
    """Something was asked for in a way that cannot be done."""

    exit_code = 2


class ConfigError(UsageError):
    """Settings out of range, or settings that do not fit together."""


class DataError(FruitVisionError):
    """A folder of pictures that cannot be used as it is."""


class PictureError(DataError):
    """One picture that cannot be read."""


class DownloadError(DataError):
    """A file that could not be fetched, or did not arrive as promised."""


class CheckpointError(FruitVisionError):
    """A checkpoint folder that is incomplete, damaged, or does not fit."""


class TrainingError(FruitVisionError):
    """A training run that cannot go on."""


class RunError(FruitVisionError):
    """A run folder, or the process behind it, in a state that does not allow what was asked."""


class AccessError(FruitVisionError):
    """Asked for by somebody who may only look."""
