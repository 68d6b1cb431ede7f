"""Every sentence stands in both languages, and every code, setting and key that is used has one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fruitvision
from fruitvision import errors
from fruitvision.errors import DataError
from fruitvision.training.config import TrainConfig
from fruitvision.ui.text import LANGUAGES, duration, language_of, say, say_error, sentences, setting

PACKAGE = Path(fruitvision.__file__).parent
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
CHINESE = re.compile("[\u4e00-\u9fff]")


def calls(name_of_call):
    """Every call in the package to one of these names, with the file it stands in."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in name_of_call:
                yield path, node


def codes() -> set[str]:
    found = set()
    for path, call in calls(ERRORS):
        if call.args and isinstance(call.args[0], ast.Constant):
            found.add(call.args[0].value)
        elif call.args and path.name != "errors.py":
            pytest.fail(f"{path.name}:{call.lineno}: write the code as a literal, so that its sentence can be found")
    return found | {"internal"}  # runs/job.py writes it into a status without raising it


def test_every_sentence_has_both_languages_and_fills_in_the_same_facts():
    assert len(sentences()) > 200
    for key, languages in sentences().items():
        assert set(languages) == set(LANGUAGES), key
        assert all(text.strip() for text in languages.values()), key
        facts = [set(re.findall(r"{(\w+)}", text)) for text in languages.values()]
        assert facts[0] == facts[1], key


def test_chinese_is_chinese():
    same = {key for key, languages in sentences().items() if not CHINESE.search(languages["zh"])}
    technical = {key for key in same if sentences()[key]["en"] == sentences()[key]["zh"]}
    assert same == technical


def test_every_error_code_has_a_sentence_and_every_sentence_a_code():
    written = {key.removeprefix("errors.") for key in sentences() if key.startswith("errors.")}
    assert codes() - written == set(), "no sentence"
    assert written - codes() == set(), "nothing raises it"


def test_a_sentence_mentions_only_facts_that_its_error_always_has():
    for path, call in calls(ERRORS):
        if call.args and isinstance(call.args[0], ast.Constant):
            known = {keyword.arg for keyword in call.keywords}
            mentioned = set(re.findall(r"{(\w+)}", say(f"errors.{call.args[0].value}", "en")))
            assert mentioned <= known, f"{path.name}:{call.lineno}: {call.args[0].value}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_has_a_name_and_a_meaning(language):
    names = [setting(field, language)[0] for field in TrainConfig.model_fields]
    assert len(set(names)) == len(names)
    for field, schema in TrainConfig.model_json_schema()["properties"].items():
        assert len(setting(field, language)[1]) > 5
        for choice in schema.get("enum", ()):
            assert say(f"settings.{field}.choices.{choice}", language)


def test_every_key_that_the_panels_use_is_there():
    used = set()
    for path, call in calls({"say", "bind", "_heading"}):
        values = [*call.args[:2], *(keyword.value for keyword in call.keywords)] if path.parent.name == "ui" else []
        used |= {v.value for v in values if isinstance(v, ast.Constant) and re.fullmatch(r"[a-z]+\.[\w.-]+", str(v.value))}
    assert len(used) > 50
    assert used - set(sentences()) == set()


def test_every_state_of_a_run_has_its_words():
    from typing import get_args

    from fruitvision.runs.folder import State

    for state in get_args(State):
        assert say(f"train.status_{state}", "en", name="x", epoch=1, epochs=2, step=1, steps=2)
        assert say(f"train.state_{state}", "zh")


def test_an_error_is_said_in_the_readers_language():
    error = DataError("data-missing", "There is no folder here.", "Check it.", folder="/水果")
    assert say_error(error, "zh") == "没有文件夹 /水果，请检查名称。"
    assert say_error(error.as_dict(), "en").startswith("There is no folder /水果")


@pytest.mark.parametrize("error", [{"code": "never-heard", "message": "Plain words."}, {"code": "busy", "message": "Plain words."}])
def test_an_error_without_a_sentence_or_without_its_facts_keeps_its_english(error):
    assert say_error(error, "zh") == "Plain words."


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("fr-FR,en;q=0.5", "en"), ("de", "en"), ("", "en"), (None, "en")],
)
def test_the_browser_says_which_language(header, language):
    assert language_of(header) == language


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [(0.4, "0 s", "0 秒"), (75, "75 s", "75 秒"), (150, "2 min", "2 分钟"), (4800, "1 h 20 min", "1 小时 20 分钟")],
)
def test_a_length_of_time_is_said_as_people_say_it(seconds, english, chinese):
    assert (duration(seconds, "en"), duration(seconds, "zh")) == (english, chinese)
