"""Errors carry a code, their facts and one line to read, and survive the way from one process to another."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
from pathlib import Path

import pytest

from fruitvision import errors
from fruitvision.errors import ConfigError, DataError, FruitVisionError, PictureError, UsageError, quoted

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FruitVisionError)]


def test_an_error_reads_as_one_line_that_ends_with_the_next_step():
    error = UsageError("bad-port", port="70\n000")
    assert str(error) == "70 000 is not a valid port. Choose a --port between 1 and 65535."


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_travels_between_processes_whole(kind):
    error = kind("small-quota", megabytes=3, least="苹果")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.code, str(copy), copy.facts) == ("small-quota", str(error), {"megabytes": 3, "least": "苹果"})


def test_an_error_can_be_written_as_json_whatever_its_facts():
    error = PictureError("some-code", path=Path("a.jpg"), share=0.5, missing=None)
    written = json.loads(json.dumps(error.as_dict()))
    assert written == {
        "code": "some-code",
        "message": str(error),
        "facts": {"path": "a.jpg", "share": 0.5, "missing": None},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_misuse_exits_with_2_and_failure_with_1(kind):
    assert kind.exit_code == (2 if issubclass(kind, UsageError) else 1)


def test_a_wrong_setting_is_misuse_and_a_broken_picture_belongs_to_the_data():
    assert issubclass(ConfigError, UsageError)
    assert issubclass(PictureError, DataError)


def test_the_tree_in_the_docstring_names_every_kind():
    assert all(kind.__name__ in errors.__doc__ for kind in KINDS)


@pytest.mark.skipif(os.name == "nt", reason="another shell")
def test_words_of_a_command_come_back_from_a_shell_as_they_were():
    words = ["train", "--data", "my pictures", "--set", "start=a b/best", "$HOME", 'say "it"', "back\\slash", "`x`", "it's", "", "ä"]
    told = subprocess.run(f"printf '%s\\n' {quoted(words)}", shell=True, capture_output=True, text=True, check=True).stdout
    assert told.split("\n")[:-1] == words
    assert quoted(["--run", "runs/first", "--set", "lr=1e-3"]) == "--run runs/first --set lr=1e-3"
