"""Collecting and dropping, as the page's scripts call them: what is kept, refused and said; and that only the owner may."""

from __future__ import annotations

import base64
import io
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read.store import open_dataset
from fruitvision.ui.page.client.handlers import call
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import COOKIE, Access
from fruitvision.ui.train.pictures.collect import (
    HANDLERS,
    collect_add,
    collect_remove,
    collect_rename,
    collect_state,
    collect_taught,
    collect_use,
)
from fruitvision.ui.train.pictures.drop import DatasetUploads
from tests.ui.visitor import data_url

OWNER = SimpleNamespace(headers={"cookie": f"{COOKIE}=token"})
VISITOR = SimpleNamespace(headers={"cookie": ""})


@pytest.fixture
def context(tmp_path, shipped_checkpoint) -> Context:
    runs = tmp_path / "runs"
    data = tmp_path / "data"
    return Context(runs=runs, taught=tmp_path / "taught", access=Access("token"), models=Models(runs, shipped_checkpoint), data=data)


@pytest.fixture
def drops(context) -> DatasetUploads:
    return DatasetUploads(context)


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (60, 50, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def owner(context, handler, **given):
    return call(context, handler, given, OWNER)


def add(context, name: str, *seeds: int) -> dict:
    return owner(context, collect_add, name=name, images=[data_url(png(seed)) for seed in seeds])


def kinds(context) -> dict[str, int]:
    return {kind["name"]: kind["count"] for kind in owner(context, collect_state)["kinds"]}


# Collecting ------------------------------------------------------------------------------------------------------


def test_what_is_collected_is_an_ordinary_folder_of_class_folders(context):
    assert owner(context, collect_state) == {"kinds": [], "taught": 0}
    answer = add(context, " Quitte ", 1, 2, 2)
    assert answer["name"] == "Quitte" and answer["count"] == 2 and answer["ids"][1] == answer["ids"][2], "the same picture is kept once"
    assert answer["kept"] == 2 and add(context, "quitte", 1, 5)["kept"] == 1, "and it is said how many are new"
    owner(context, collect_remove, picture=context.collected.index().names["Quitte"][-1])
    assert owner(context, collect_use)["code"] == "collected-one-kind"
    add(context, "苹果", 3, 4)
    assert owner(context, collect_use) == {"choice": "folder:collected"}
    dataset, _ = open_dataset(context.data / "collected")
    assert dataset.classes == ("Quitte", "苹果") and not dataset.problems
    pictures = owner(context, collect_state)["kinds"][0]["pictures"]
    assert len(pictures) == 2 and all(one["url"].startswith("data:image/jpeg;base64,") for one in pictures)


def test_kinds_that_are_called_as_splits_are_kinds(context):
    add(context, "test 1", 1, 2)
    add(context, "测试2", 3, 4)
    assert owner(context, collect_use) == {"choice": "folder:collected"}
    dataset, _ = open_dataset(context.data / "collected")
    assert len(dataset.classes) == 2 and not dataset.problems


def test_one_kind_in_two_spellings_is_one_and_pictures_that_move_are_counted_where_they_are(context):
    add(context, "Apple", 1)
    answer = add(context, "apple", 2)
    assert (answer["name"], answer["count"], answer["kept"]) == ("Apple", 2, 1)
    assert add(context, "b", 1)["counts"] == {"Apple": 1, "b": 1} == kinds(context)


def test_pictures_and_kinds_are_taken_away_and_renamed_and_the_folder_follows(context):
    add(context, "a", 1, 2)
    add(context, "b", 3, 4)
    add(context, "c", 5)
    first = context.collected.index().names["a"][0]
    owner(context, collect_remove, picture=first)
    owner(context, collect_remove, name="c")
    assert owner(context, collect_rename, name="b", to=" Pear ")["name"] == "Pear" and kinds(context) == {"a": 1, "Pear": 2}
    assert list(kinds(context)) == ["a", "Pear"], "a renamed kind keeps its place"
    owner(context, collect_use)
    found = {path.name: len(list(path.iterdir())) for path in (context.data / "collected").iterdir() if path.is_dir()}
    assert found == {"a": 1, "Pear": 2}
    assert owner(context, collect_rename, name="a", to="PEAR")["name"] == "PEAR" and kinds(context) == {"Pear": 3}
    assert owner(context, collect_rename, name="Pear", to=" ")["code"] == "taught-name-empty"


def test_a_persons_own_folder_of_that_name_is_left_alone(context):
    (context.data / "collected" / "mine").mkdir(parents=True)
    (context.data / "collected" / "mine" / "1.png").write_bytes(png())
    add(context, "a", 1)
    add(context, "b", 2)
    for _ in range(2):
        assert owner(context, collect_use) == {"choice": "folder:collected 2"}
    assert (context.data / "collected" / "mine" / "1.png").read_bytes() == png()


def test_what_cannot_be_read_is_said_and_the_rest_is_kept(context):
    images = [data_url(png(1)), data_url(b"no picture"), "/etc/passwd", 3, data_url(b"\0" * 11_000_000), data_url(png(2))]
    answer = owner(context, collect_add, name="a", images=images)
    assert [bool(one) for one in answer["ids"]] == [True, False, False, False, False, True] and answer["refused"]
    assert kinds(context) == {"a": 2}
    many = owner(context, collect_add, name="a", images=[data_url(png())] * 1000)
    assert len(many["ids"]) == 16, "no more than a few in a call"


def test_what_was_taught_joins_by_a_click(context):
    assert owner(context, collect_taught)["code"] == "nothing-taught"
    context.teaching.store.add("Quitte", png(1), png(2))
    assert owner(context, collect_state)["taught"] == 2
    assert owner(context, collect_taught) == {"count": 2, "kept": 2}
    assert kinds(context) == {"Quitte": 2} and context.teaching.store.index().pictures == 2
    assert owner(context, collect_taught) == {"count": 2, "kept": 0}, "they are here already, which is said"


# Dropping --------------------------------------------------------------------------------------------------------


def finished(context, drops, key: str) -> dict:
    assert owner(context, drops.drop_finish, key=key) == {}
    end = time.monotonic() + 30
    while "done" in (state := owner(context, drops.drop_state, key=key)) and time.monotonic() < end:
        time.sleep(0.01)
    return state


def test_a_zip_in_pieces_becomes_a_dataset_of_the_list(context, drops):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for kind in ("a", "b"):
            archive.writestr(f"{kind}/1.png", png())
    content = buffer.getvalue()
    begun = owner(context, drops.drop_begin, called="x.zip", files=[["x.zip", len(content)]])
    assert begun["came"] == [0]
    for at in range(0, len(content), 1000):
        piece = base64.b64encode(content[at : at + 1000]).decode()
        assert owner(context, drops.drop_pieces, key=begun["key"], pieces=[[0, at, piece]]) == {}
    answer = {"choice": "folder:x", "name": "x", "ready": True}
    assert finished(context, drops, begun["key"]) == answer
    assert ("x", "folder:x") in context.datasets.owners_choices("en")
    assert finished(context, drops, begun["key"]) == answer, "the answer was lost, and it is asked again"
    assert sorted(path.name for path in context.data.iterdir()) == [".brought", "x"]


def test_what_did_not_come_whole_is_said(context, drops):
    begun = owner(context, drops.drop_begin, called="x", files=[["a/1.png", 100]])
    assert finished(context, drops, begun["key"])["code"] == "upload-mismatch"
    assert owner(context, drops.drop_begin, called="x", files=[["a/1.txt", 100]])["code"] == "upload-empty"


def brought(context, drops, called: str, *paths: str) -> dict:
    """What comes of dropping pictures of these paths."""
    files, content = [[path, len(png())] for path in paths], base64.b64encode(png()).decode()
    key = owner(context, drops.drop_begin, called=called, files=files)["key"]
    owner(context, drops.drop_pieces, key=key, pieces=[[number, 0, content] for number in range(len(paths))])
    return finished(context, drops, key)


def test_a_data_folder_that_is_a_dataset_itself_gets_no_class_of_what_is_brought(context):
    for kind in ("Apple", "Pear"):
        (context.data / kind).mkdir(parents=True)
        (context.data / kind / "1.png").write_bytes(png())
    choice = brought(context, DatasetUploads(context), "data", "data/a/1.png", "data/b/1.png")["choice"]
    assert context.datasets.path(choice) == context.data.with_name("data-more") / "data 2", "not the dataset of that name"
    for kind, seed in (("c", 1), ("d", 2)):
        add(context, kind, seed)
    assert context.datasets.path(owner(context, collect_use)["choice"]).name == "collected"
    assert sorted(path.name for path in context.data.iterdir()) == ["Apple", "Pear"]
    offered = [name for name, _ in context.datasets.owners_choices("en")]
    assert {"data", "data 2", "collected"} <= set(offered)


def test_folders_of_one_kind_brought_one_by_one_hide_no_dataset(context, drops):
    first = brought(context, drops, "Fruit", "Fruit/a/1.png", "Fruit/b/1.png")["choice"]
    for kind in ("Apple", "Pear"):
        choice = brought(context, drops, kind, f"{kind}/{kind}/1.png", f"{kind}/more/{kind}/1.png")["choice"]
        assert context.datasets.path(choice) == context.data / kind
    assert context.datasets.path(first) == context.data / "Fruit"


def test_pictures_without_class_folders_are_not_taken_over_and_the_training_data_stays(context, drops):
    before = brought(context, drops, "Fruit", "Fruit/a/1.png", "Fruit/b/1.png")["choice"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", png(number))
    content = buffer.getvalue()
    key = owner(context, drops.drop_begin, called="flat.zip", files=[["flat.zip", len(content)]])["key"]
    owner(context, drops.drop_pieces, key=key, pieces=[[0, 0, base64.b64encode(content).decode()]])
    refused = finished(context, drops, key)
    assert refused["code"] == "upload-unusable" and "choice" not in refused
    assert "The 3 pictures in “flat” are not in class folders. So nothing was taken over" in refused["error"]
    assert str(context.data) not in refused["error"] and context.datasets.latest == before
    assert sorted(path.name for path in context.data.iterdir()) == [".brought", "Fruit"]


def test_what_a_setting_can_mend_is_kept_and_said_not_to_be_ready(context, drops):
    answer = brought(context, drops, "One", "One/a/1.png", "One/a/2.png")
    assert answer == {"choice": "folder:One", "name": "One", "ready": False}
    assert context.datasets.latest == "folder:One"


def test_two_pages_may_use_what_was_collected_at_once(context):
    add(context, "a", *range(20))
    add(context, "b", *range(20, 40))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: owner(context, collect_use), range(8)))
    assert all(answer == {"choice": "folder:collected"} for answer in answers)


def test_a_piece_is_not_larger_than_a_few_megabytes(context, drops):
    begun = owner(context, drops.drop_begin, called="x", files=[["a/1.png", 10 * 2**20]])
    piece = base64.b64encode(bytes(5 * 2**20)).decode()
    assert owner(context, drops.drop_pieces, key=begun["key"], pieces=[[0, 0, piece]])["code"] == "upload-mismatch"


# Whoever calls ---------------------------------------------------------------------------------------------------

NONSENSE = [
    None,
    [],
    {},
    {"name": 3, "images": 3, "picture": {}, "to": [], "files": 3, "pieces": 3, "key": 3, "called": [], "language": ["x"]},
    {"files": [["a.png"]], "pieces": [[0, 0]], "key": "../x", "images": [None, {}, "data:image/png;base64,!"], "name": "x"},
    {"files": [["a.png", "big"]], "pieces": [["x", 0, ""]], "key": "0" * 32, "called": "../../up"},
    {"files": [["a.png", -(2**70)]], "pieces": [[0, 0, "not base64"]]},
    {"pieces": [[float("inf"), 0, ""]]},
]


@pytest.mark.parametrize("given", NONSENSE)
def test_whatever_pretends_to_be_a_call_is_answered_and_nothing_is_written(context, drops, given, tmp_path):
    for handler in (*HANDLERS, drops.drop_begin, drops.drop_pieces, drops.drop_finish, drops.drop_state):
        assert isinstance(call(context, handler, given, OWNER), dict)
    assert not context.collected.index().names and not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("request_", [VISITOR, None, SimpleNamespace(headers={"cookie": f"{COOKIE}=guess"})])
def test_a_visitor_neither_collects_nor_drops_nor_sees(context, drops, request_):
    add(context, "a", 1)
    before = context.collected.index()
    given = {"name": "a", "to": "b", "images": [data_url(png(2))], "called": "x", "files": [["a/1.png", 10]], "language": "zh"}
    for handler in (*HANDLERS, drops.drop_begin, drops.drop_pieces, drops.drop_finish, drops.drop_state):
        answer = call(context, handler, given, request_)
        assert set(answer) == {"error", "code"} and answer["code"] == "owner-only"
    assert context.collected.index() == before and not list(context.data.glob(".incoming-*"))
