"""Every sentence a person reads in the browser, in English and Chinese.

The sentences lie side by side in ``sentences/*.toml``, one file a panel, so that a translator needs no Python:

    [train.start]            # say("train.start", language)
    en = "Start training"
    zh = "开始训练"

``errors.toml`` has a sentence for each error code of the lower rooms, ``settings.toml`` a name and a meaning for each
field of ``TrainConfig``. A name in braces is filled in from the facts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fruitvision.errors import FruitVisionError

LANGUAGES = {"en": "English", "zh": "中文"}
MOST_LANGUAGES = 32  # of a header that are looked at
FOLDER = Path(__file__).with_name("sentences")


@cache
def sentences() -> dict[str, dict[str, str]]:
    """All of them: key → language → sentence."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        _flatten(tomllib.loads(path.read_text(encoding="utf-8")), "", found)
    return found


def _flatten(table: Mapping[str, Any], prefix: str, found: dict[str, dict[str, str]]) -> None:
    if "en" in table:
        found[prefix] = dict(table)
        return
    for key, value in table.items():
        _flatten(value, f"{prefix}.{key}" if prefix else key, found)


def say(key: str, language: str, **facts: Any) -> str:
    """The sentence of that key. Raises KeyError where there is none: a mistake of ours, that a test finds."""
    sentence = sentences()[key][language]
    return sentence.format_map(facts) if facts else sentence


def say_error(error: FruitVisionError | Mapping[str, Any], language: str) -> str:
    """An error, or what :meth:`FruitVisionError.as_dict` kept of one, in the reader's language.

    A code without a sentence here, or one whose facts are not what the sentence mentions, falls back to its English.
    """
    known = error.as_dict() if isinstance(error, FruitVisionError) else error
    found = sentences().get(f"errors.{known.get('code', '')}")
    english = str(known.get("message", ""))
    if found is None:
        return english
    try:
        return found[language].format_map(known.get("facts", {}))
    except (KeyError, ValueError, IndexError):
        return english


def setting(name: str, language: str) -> tuple[str, str]:
    """A training setting's name and its meaning in one sentence."""
    return say(f"settings.{name}.name", language), say(f"settings.{name}.meaning", language)


def language_of(accepted: str | None) -> str:
    """The language that an Accept-Language header prefers (RFC 9110) of those that there are; English where it names none."""
    best, weight = "en", 0.0
    for part in (accepted or "").split(",")[:MOST_LANGUAGES]:
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        code = name.partition("-")[0]
        quality = next((word.partition("=")[2].strip() for word in parameters if word.startswith("q")), "1")
        own = float(quality) if re.fullmatch(r"[01](?:\.\d{0,3})?", quality) else 0.0
        if code in LANGUAGES and own > weight:
            best, weight = code, own
    return best


def duration(seconds: float, language: str) -> str:
    """A length of time as people say it: "40 s", "3 min", "1 h 20 min"."""
    seconds = max(int(round(seconds)), 0)
    second, minute, hour = (" s", " min", " h ") if language == "en" else (" 秒", " 分钟", " 小时 ")
    if seconds < 90:
        return f"{seconds}{second}"
    minutes = round(seconds / 60)
    return f"{minutes}{minute}" if minutes < 60 else f"{minutes // 60}{hour}{minutes % 60}{minute}"
