"""All sentences for users, in English and Chinese. Needs neither torch nor gradio.

The sentences are in ``sentences/``, both languages side by side, so that a translator needs no Python:

    [train]                  # say("train.start", language)
    start = { en = "Start training", zh = "开始训练" }

``settings.toml`` has a name and a meaning for each field of ``TrainConfig``. ``errors/`` has a file for each package that
raises errors, with what was found and what to do next for each code; ``next`` in general, or ``page`` and ``terminal`` where
the next step is a button in the one and a command in the other:

    [errors.busy]            # raise RunError("busy", run="mine")
    found = { en = "“{run}” is training, and one machine trains one at a time.", zh = "…" }
    page = { en = "Wait until it ends, or stop it.", zh = "…" }
    terminal = { en = "Wait until it ends, or stop it: python -m fruitvision stop --run {run}", zh = "…" }

A name in braces is filled in from the facts. A fact may be a fault, {"code": …, "facts": …}, or a list of them: ``faults.toml``
has their words, so that no sentence of one language carries words of another.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

Place = Literal["page", "terminal"]
LANGUAGES = {"en": "English", "zh": "中文"}
OF_SETTINGS = ("bad-settings", "settings-empty")
"""The errors whose facts ``name`` and ``other`` are settings: on the page they go by their display names, on a terminal by their flags'."""
SPACE = {"en": " ", "zh": ""}
"""What stands between two sentences."""
LIST_SEPARATOR = {"en": ", ", "zh": "、"}
"""What stands between the items of a list."""
MAX_LANGUAGES = 32  # the number of languages that are read from a header
FOLDER = Path(__file__).with_name("sentences")


@cache
def sentences() -> dict[str, dict[str, str]]:
    """All sentences: key → language → sentence."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(FOLDER.rglob("*.toml")):
        _flatten(tomllib.loads(path.read_text(encoding="utf-8")), "", found)
    return found


def _flatten(table: Mapping[str, Any], prefix: str, found: dict[str, dict[str, str]]) -> None:
    if "en" in table:
        found[prefix] = dict(table)
        return
    for key, value in table.items():
        _flatten(value, f"{prefix}.{key}" if prefix else key, found)


def say(key: str, language: str, **facts: Any) -> str:
    """The sentence for a key. Raises KeyError if there is none, which a test checks for."""
    sentence = sentences()[key][language]
    return sentence.format_map(facts) if facts else sentence


def error_sentence(code: str, facts: Mapping[str, Any], language: str, place: Place) -> str | None:
    """What was found and what to do next, in one line; None for an unknown code, or if facts of its sentences are missing."""
    known = sentences()
    found = known.get(f"errors.{code}.found")
    step = known.get(f"errors.{code}.{place}") or known.get(f"errors.{code}.next")
    if found is None:
        return None
    display = place == "page" and code in OF_SETTINGS
    try:
        facts = {name: _worded(fact, language, display) for name, fact in facts.items()}
        parts = [words[language].format_map(facts) for words in (found, step) if words]
    except (KeyError, ValueError, IndexError, TypeError, AttributeError):
        return None
    return " ".join(SPACE[language].join(parts).split())


def say_error(error: Any, language: str, place: Place = "page") -> str:
    """A FruitVisionError, or its ``as_dict`` (possibly from a version with other codes), in a language."""
    kept = error if isinstance(error, Mapping) else error.as_dict()
    return error_sentence(str(kept.get("code", "")), kept.get("facts", {}), language, place) or str(kept.get("message", ""))


def say_fault(fault: Mapping[str, Any], language: str, display: bool = False) -> str:
    """A fault in words, or the first sentence of an error. Raises KeyError for an unknown code or a missing fact.

    ``display``: whether settings go by their display names.
    """
    known, code = sentences(), fault["code"]
    words = known.get(f"faults.{code}") or known[f"errors.{code}.found"]
    facts = {name: _worded(fact, language, display) for name, fact in fault["facts"].items()}
    for name in {"name", "other"} & facts.keys() if display else ():
        if f"settings.{facts[name]}.name" in known:
            facts[name] = f"“{setting(facts[name], language)[0]}”"
    return " ".join(words[language].format_map(facts).split())


def _worded(fact: Any, language: str, display: bool = False) -> Any:
    if isinstance(fact, Mapping):
        return say_error(fact, language, "terminal") if "message" in fact else say_fault(fact, language, display)
    if isinstance(fact, list | tuple):
        return ("; " if language == "en" else "；").join(str(_worded(one, language, display)) for one in fact)
    return fact


def setting(name: str, language: str) -> tuple[str, str]:
    """A training setting's name and its meaning in one sentence."""
    return say(f"settings.{name}.name", language), say(f"settings.{name}.meaning", language)


def language_of(accepted: str | None) -> str:
    """The available language that an Accept-Language header prefers (RFC 9110); English if it names none of them."""
    best, weight = "en", 0.0
    for part in (accepted or "").split(",")[:MAX_LANGUAGES]:
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        code = name.partition("-")[0]
        quality = next((word.partition("=")[2].strip() for word in parameters if word.startswith("q")), "1")
        own = float(quality) if re.fullmatch(r"[01](?:\.\d{0,3})?", quality) else 0.0
        if code in LANGUAGES and own > weight:
            best, weight = code, own
    return best


def duration(seconds: float, language: str) -> str:
    """A duration in words: "40 s", "3 min", "1 h 20 min"."""
    seconds = max(int(round(seconds)), 0)
    second, minute, hour = (" s", " min", " h ") if language == "en" else (" 秒", " 分钟", " 小时 ")
    if seconds < 90:
        return f"{seconds}{second}"
    minutes = round(seconds / 60)
    return f"{minutes}{minute}" if minutes < 60 else f"{minutes // 60}{hour}{minutes % 60}{minute}"


def number(value: float, form: str) -> str:
    """A number in a format such as ".3f", with a true minus sign (U+2212), and none before a zero: "−1.472", "0.000"."""
    words = format(value, form)
    return words.replace("-", "−") if any(digit in words for digit in "123456789") or not math.isfinite(value) else words.lstrip("-")


def abbreviate(names: Sequence[str], limit: int = 5, *, more: str = "+{}") -> str:
    """The first ``limit`` names, and how many others there are: "Apple, Banana, … (+3)". ``more`` words their number."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f", … ({more.format(rest)})" if rest > 0 else "")


def plain(text: str) -> str:
    """A text for a terminal, in which control characters but line ends and tabs are shown as "\ufffd".

    The name of a class in somebody else's checkpoint, or of a file, may hold sequences that a terminal obeys.
    """
    return _CONTROL.sub("\ufffd", text)


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
