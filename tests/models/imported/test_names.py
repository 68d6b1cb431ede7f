"""The names of classes, in the order of the outputs, however somebody wrote them down."""

from __future__ import annotations

import json
import time

import pytest

from fruitvision.errors import CheckpointError
from fruitvision.models.imported.names import class_names, read_class_names
from tests.sentences import is_worded

NAMES = ("Apple", "Banana", "香蕉")


@pytest.mark.parametrize(
    "text",
    [
        "Apple\nBanana\n香蕉\n",
        "\ufeffApple\r\n\r\nBanana\r\n香蕉",
        json.dumps(NAMES),
        json.dumps({"Banana": 1, "Apple": 0, "香蕉": 2}),
        json.dumps({"2": "香蕉", "0": "Apple", "1": "Banana"}),
        json.dumps({"class_to_idx": {"Banana": 1, "Apple": 0, "香蕉": 2}}),
        json.dumps({"id2label": {"0": "Apple", "1": "Banana", "2": "香蕉"}, "model": "x"}),
    ],
)
def test_every_way_to_write_them_gives_the_same(tmp_path, text):
    (tmp_path / "names.txt").write_text(text, encoding="utf-8", newline="")
    assert read_class_names(tmp_path / "names.txt") == NAMES


@pytest.mark.parametrize(
    "text", ["", "Apple", "Apple\nApple", '["a"', '{"Apple": 0, "Banana": 2}', '{"0": 1, "1": 2}', "[[[]]]", '["a", 1]']
)
def test_what_names_no_classes_is_refused(tmp_path, text):
    (tmp_path / "names.txt").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_class_names(tmp_path / "names.txt")
    assert caught.value.code == "import-names" and is_worded(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "names.txt", tmp_path / "nothing", tmp_path):
        with pytest.raises(CheckpointError) as caught:
            read_class_names(path)
        assert caught.value.code == "import-names-missing" and is_worded(caught.value)


@pytest.mark.parametrize("names", [["Apple", "_" * 201], [f"c{n}" for n in range(10_001)]], ids=["long", "many"])
def test_names_that_no_checkpoint_may_have_are_refused(names):
    with pytest.raises(CheckpointError) as caught:
        class_names(names, "names.txt")
    assert caught.value.code == "import-names-large" and is_worded(caught.value)
    assert class_names([f"{n:0200}" for n in range(10_000)], "names.txt")[1] == f"{1:0200}"


def test_numbers_of_one_hash_are_not_compared_with_each_other():
    start = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        class_names({f"c{n}": n * (2**61 - 1) for n in range(30_000)}, "names.json")
    assert caught.value.code == "import-names" and time.process_time() - start < 2
