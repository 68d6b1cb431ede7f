"""Every sentence stands in both languages, and every code, setting and key that is used has one."""

from __future__ import annotations

import ast
import json
import pickle
import re
from functools import cache
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

import fruitvision
from fruitvision import errors
from fruitvision.errors import DataError
from fruitvision.models import ARCHITECTURES, OWN
from fruitvision.runs.status import State
from fruitvision.training.config import PRESETS, TrainConfig
from fruitvision.wording.text import LANGUAGES, duration, language_of, number, plain, say, say_error, sentences, setting

PACKAGE = Path(fruitvision.__file__).parent
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.FruitVisionError)}
# A norm of one's own needs no sentences: it goes by its title and its docstring.
DESCRIBED = ("batch", "layer", "instance", "group", "group-ws", "none")
PROSE = re.compile("[a-z]{2,} [a-z]{2,} [a-z]")
CHINESE = re.compile("[\u4e00-\u9fff]")


@cache
def nodes() -> list[tuple[Path, ast.Call | ast.Dict]]:
    """Every call and every dictionary in the package, with the file it stands in."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        found += [(path, node) for node in tree if isinstance(node, ast.Call | ast.Dict)]
    return found


def calls(names):
    """Every call in the package to one of these names, with the file it stands in."""
    for path, node in nodes():
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
            yield path, node


def facts(sentence: str) -> set[str]:
    """The names in braces; raises ValueError where a brace is left open."""
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def codes() -> set[str]:
    found = set()
    for path, call in calls(ERRORS):
        if call.args and isinstance(call.args[0], ast.Constant):
            found.add(call.args[0].value)
        elif call.args and path.name != "errors.py":
            pytest.fail(f"{path.name}:{call.lineno}: write the code as a literal, so that its sentence can be found")
    for _, node in nodes():  # a status is written with a code of its own where nothing of ours was raised
        for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                found.add(value.value)
    return found


def test_every_sentence_has_both_languages_and_fills_in_the_same_facts():
    assert len(sentences()) > 200
    for key, languages in sentences().items():
        assert set(languages) == set(LANGUAGES), key
        assert all(text.strip() for text in languages.values()), key
        assert facts(languages["en"]) == facts(languages["zh"]), key
        assert "" not in facts(languages["en"]), key


def test_chinese_is_chinese():
    same = {key for key, languages in sentences().items() if not CHINESE.search(languages["zh"])}
    technical = {key for key in same if sentences()[key]["en"] == sentences()[key]["zh"]}
    assert same == technical


def test_every_error_code_has_a_sentence_and_every_sentence_a_code():
    written = {key.split(".")[1] for key in sentences() if key.startswith("errors.")}
    assert {"internal", "disk-full", "cannot-write", "bad-settings"} <= codes()
    assert codes() - written == set(), "no sentence"
    assert written - codes() == set(), "nothing raises it"


def test_every_fault_has_words_with_its_facts_and_no_fact_is_a_sentence():
    source = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    words = {key.removeprefix("faults.") for key in sentences() if key.startswith("faults.")}
    unused = {code for code in words if "_" not in code and f'"{code}"' not in source}
    assert not unused, "nothing says it; pydantic's own have underscores"
    for path, call in calls({"Fault", "UnsupportedOnnx"}):
        if call.args and isinstance(call.args[0], ast.Constant):
            assert call.args[0].value in words, f"{path.name}:{call.lineno}"
            assert facts(say(f"faults.{call.args[0].value}", "en")) == {keyword.arg for keyword in call.keywords if keyword.arg}
    for path, call in calls({*ERRORS, "Fault", "UnsupportedOnnx"}):
        for keyword in call.keywords:
            for part in ast.walk(keyword.value):
                text = part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else ""
                assert not PROSE.search(text), f"{path.name}:{call.lineno}: {keyword.arg} is a sentence: give it as a Fault"


def test_faults_are_said_in_the_readers_language_also_from_a_status_file():
    with pytest.raises(errors.ConfigError) as caught:
        TrainConfig.parse({"epochs": 0, "eval_resize": 100, "image_size": 224, "norm": "batch"})
    kept = json.loads(json.dumps(caught.value.as_dict()))
    assert "epochs: must be at least 1 (given: 0)" in say_error(kept, "en", "terminal")
    assert "epochs 项：不能小于 1（给出的值：0）" in say_error(kept, "zh", "terminal")
    unsafe = errors.DownloadError("archive-unsafe", file="a.zip", name="../a", reason=errors.Fault("path-outside"))
    assert "路径指向文件夹之外" in say_error(pickle.loads(pickle.dumps(unsafe)), "zh")
    ended = errors.TrainingError("process-ended", reason=unsafe.as_dict())
    assert "路径指向文件夹之外" in say_error(ended.as_dict(), "zh") and "a path out of the folder" in str(ended)


def test_settings_go_by_their_names_on_the_page_and_by_their_flags_on_a_terminal():
    wrong = (
        {"batch_size": 0, "learning_rate": -1.0},
        {"eval_resize": 100, "image_size": 224},
        {"first_image_size": 9},
        {"start_share": 0.5},
    )
    for values in wrong:
        with pytest.raises(errors.ConfigError) as caught:
            TrainConfig.parse(values)
        for language in LANGUAGES:
            page, terminal = (say_error(caught.value, language, place) for place in ("page", "terminal"))
            for name in values:
                assert setting(name, language)[0] in page and name in terminal and name not in page, (name, page, terminal)
    assert "“批大小”" in say_error(errors.ConfigError("bad-settings", faults=[errors.Fault("setting", name="batch_size")]), "zh")
    entry = errors.Fault("in-entry", name="norm", fault=errors.Fault("missing"))
    assert "norm: is missing" in say_error(errors.CheckpointError("checkpoint-config", path="x", faults=[entry]), "en")


def test_a_sentence_mentions_only_facts_that_its_error_always_has():
    for path, call in calls(ERRORS):
        if call.args and isinstance(call.args[0], ast.Constant):
            known = {keyword.arg for keyword in call.keywords}
            code = call.args[0].value
            mentioned = {fact for key in sentences() if key.split(".")[:2] == ["errors", code] for fact in facts(say(key, "en"))}
            assert mentioned <= known, f"{path.name}:{call.lineno}: {code}"


def test_a_number_has_a_true_minus_sign_and_zero_has_none():
    assert [number(value, ".3f") for value in (-1.4715, 0.5, -0.0001, 0.0)] == ["−1.472", "0.500", "0.000", "0.000"]
    assert (number(-9.4, ".3g"), number(-1e-7, ".1g"), number(-1234.0, ",.0f")) == ("−9.4", "−1e−07", "−1,234")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_has_a_name_and_a_meaning(language):
    names = [setting(field, language)[0] for field in TrainConfig.model_fields]
    assert len(set(names)) == len(names)
    assert all(len(setting(field, language)[1]) > 5 for field in TrainConfig.model_fields)


def test_the_sentences_name_the_settings_and_choices_that_there_are_and_no_others():
    schema = TrainConfig.model_json_schema()["properties"]
    choices = {name: set(field["enum"]) for name, field in schema.items() if "enum" in field}
    choices |= {"architecture": set(ARCHITECTURES), "norm": {*DESCRIBED, OWN}, "start": {"imagenet", "shipped", "scratch"}}
    assert {preset.get("start", "imagenet") for preset in PRESETS.values()} <= choices["start"]
    expected = {f"settings.{name}.{word}" for name in schema for word in ("name", "meaning")}
    expected |= {f"settings.{name}.choices.{choice}" for name, options in choices.items() for choice in options}
    assert {key for key in sentences() if key.startswith("settings.")} == expected


def test_every_key_that_the_panels_use_is_there():
    used = set()
    for path, call in calls({"say", "say_html", "bind", "bilingual", "heading"}):
        values = [*call.args[:2], *(keyword.value for keyword in call.keywords)] if {"ui", "report"} & set(path.parts) else []
        used |= {v.value for v in values if isinstance(v, ast.Constant) and re.fullmatch(r"[a-z]+\.[\w.-]+", str(v.value))}
    assert len(used) > 50
    assert used - set(sentences()) == set()


def test_every_note_of_a_folder_has_a_sentence_with_its_facts_and_every_sentence_a_note():
    raised = {"unpacked"}  # the command says it
    for _, call in calls({"Note"}):
        code = call.args[0].value
        named = [key.value for one in call.args[1:] if isinstance(one, ast.Dict) for key in one.keys]
        assert facts(say(f"notes.{code}", "en")) <= set(named) or not isinstance(call.args[-1], ast.Constant | ast.Dict), code
        raised.add(code)
    assert raised == {key.removeprefix("notes.") for key in sentences() if key.startswith("notes.")}


def test_every_state_of_a_run_has_its_words():
    for state in get_args(State):
        assert say(f"train.status_{state}", "en", name="x", epoch=1, epochs=2, step=1, steps=2)
        assert say(f"train.state_{state}", "zh")


def test_an_error_is_said_in_the_readers_language():
    error = DataError("data-missing", folder="/水果")
    assert say_error(error, "zh") == "文件夹 /水果 不存在。请检查路径。"
    assert say_error(error.as_dict(), "en").startswith("There is no folder /水果")


@pytest.mark.parametrize("error", [{"code": "never-heard", "message": "Plain words."}, {"code": "busy", "message": "Plain words."}])
def test_an_error_without_a_sentence_or_without_its_facts_keeps_its_english(error):
    assert say_error(error, "zh") == "Plain words."


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("fr-FR,en;q=0.5", "en"),
        ("de", "en"),
        ("", "en"),
        (None, "en"),
        ("zh;q=0.1, en;q=0.9", "en"),
        ("en;q=0, zh;q=0.2", "zh"),
        ("zh;q=x", "en"),
        ("zhx", "en"),
        ("de, zh-Hant-TW;q=0.9;x=y", "zh"),
        ("en;q=0.5,zh;q=0.5", "en"),
        ("zh" + ",x" * 100_000, "zh"),
    ],
)
def test_the_browser_says_which_language(header, language):
    assert language_of(header) == language


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [(0.4, "0 s", "0 秒"), (75, "75 s", "75 秒"), (150, "2 min", "2 分钟"), (4800, "1 h 20 min", "1 小时 20 分钟")],
)
def test_a_length_of_time_is_said_as_people_say_it(seconds, english, chinese):
    assert (duration(seconds, "en"), duration(seconds, "zh")) == (english, chinese)


def test_a_terminal_gets_no_sequences_that_it_obeys():
    assert plain("a\x1b]0;b\x07\x9b2J\x7f\x00\rc\td\r\n苹果 é") == "a\ufffd]0;b\ufffd\ufffd2J\ufffd\ufffd\ufffdc\td\r\n苹果 é"
