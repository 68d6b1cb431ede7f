"""Fruit types: the type of a class of Fruits-360, its size, and Chinese names.

Fruits-360 names a class by its fruit, its variety and a number, in spellings that changed over the releases:
"Apple Golden 1", "apple_golden_1", "Cactus fruit green 1". The type is the longest sequence of leading words that is listed in
``fruit-types.csv``, under its name or another one ("Limes" are a "Lime"); a class that begins with no listed name is its own type,
without the number. ``fruit-varieties.csv`` has the Chinese names of varieties, which follow the type in a class name, and of classes
that are not named by type and variety.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

NOT_FRUIT = "not-fruit"
"""The fruit type of the class for pictures without fruit, and the folder name of such pictures."""
EMPTY_TABLE = "empty-table"
NO_FRUIT_NAMES = (NOT_FRUIT, EMPTY_TABLE)
"""Names for teaching pictures without fruit, whose verdict is "not-fruit"."""
MAX_CLASSES, MAX_NAME = 10_000, 200
"""Limits on the classes of a network, and on the letters of a class name."""

_NUMBER = re.compile(r"(?<![ _-])[ _-]++(\d++)$")  # each run of separators is looked at once, so that no name takes long


class FruitType(NamedTuple):
    """A row of ``fruit-types.csv``."""

    name: str
    chinese: str
    span: float
    """The typical longest side as sold, in centimetres, rounded."""
    release: str
    """"2020" for the 65 types of that release's 131 classes, else "later"."""
    other_names: tuple[str, ...]


@cache
def fruit_types() -> dict[str, FruitType]:
    """All listed types by name."""
    types = (
        FruitType(row["type"], row["chinese"], float(row["span_cm"]), row["release"], tuple(filter(None, row["other_names"].split("; "))))
        for row in _rows("fruit-types.csv")
    )
    return {own.name: own for own in types}


@cache
def fruit_type(class_name: str) -> str:
    """The type that a class belongs to: "Apple Braeburn" is an "Apple", "Limes" are a "Lime"."""
    known, _, _ = _parse(class_name)
    return known.name if known else _NUMBER.sub("", class_name.strip()) or class_name


def is_known_type(name: str) -> bool:
    """Whether a folder's name begins with the name of a listed type."""
    return _parse(name)[0] is not None


def span(name: str) -> float:
    """The typical longest side of a type or class in centimetres; that of an apple if unknown."""
    return fruit_types().get(fruit_type(name), fruit_types()["Apple"]).span


@cache
def chinese_name(name: str) -> str | None:
    """The Chinese name of a type or class, with variety and number in brackets; None if unknown."""
    known, variety, number = _parse(name)
    if known is None:
        return None
    own = _chinese("class").get(" ".join(_words(_NUMBER.sub("", name.strip()))).casefold())
    if own or not variety:
        return f"{own or known.chinese} {number}".strip()
    behind = f"{_chinese('variety').get(variety.casefold(), variety)} {number}".strip()
    return f"{known.chinese}（{behind}）"


def display_name(name: str, language: str) -> str:
    """The name of a type or class in ``language`` ("en" or "zh"); an unknown name is returned unchanged."""
    return (chinese_name(name) if language == "zh" else None) or name


def _parse(name: str) -> tuple[FruitType | None, str, str]:
    """(type, variety, number) of a class name; the type is None if unknown."""
    stem = name.strip()
    match = _NUMBER.search(stem)
    words = _words(stem[: match.start()] if match else stem)
    for length in range(min(len(words), _most_words()), 0, -1):
        known = _types_by_any_name().get(" ".join(words[:length]).casefold())
        if known is not None:
            return known, " ".join(words[length:]), match[1] if match else ""
    return None, "", ""


def _words(name: str) -> list[str]:
    return name.replace("_", " ").split()


@cache
def _types_by_any_name() -> dict[str, FruitType]:
    return {name.casefold(): own for own in fruit_types().values() for name in (own.name, *own.other_names)}


@cache
def _most_words() -> int:
    return max(len(name.split()) for name in _types_by_any_name())


@cache
def _chinese(what: str) -> dict[str, str]:
    """Chinese names of all varieties, or of classes, by English name in lower case."""
    return {row["name"].casefold(): row["chinese"] for row in _rows("fruit-varieties.csv") if row["is"] == what}


def _rows(file: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(file).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
