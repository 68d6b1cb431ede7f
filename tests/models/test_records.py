"""What a checkpoint of somebody else records of itself has the types that cards and answers format."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.errors import CheckpointError
from fruitvision.models.card import model_card
from fruitvision.models.checkpoint import CheckpointConfig, read_config
from fruitvision.report.answers import accuracy, confused_with, very_sure_from

SOURCE = {"images": 50, "top1": 0.7, "top3": 0.9, "sure": 0.4, "sure_right": 0.95}
LEFT_OUT = {
    "sources": 1,
    "images": 50,
    "top1": 0.7,
    "top3": 0.9,
    "ece": 0.05,
    "sure": 0.4,
    "sure_right": 0.95,
    "very_sure_from": 0.98,
    "very_sure": 0.2,
    "very_sure_right": 0.99,
    "unknown_kinds_sure": None,
    "not_fruit_sure": 0.01,
    "per_source": {"market": SOURCE},
    "per_kind": {"Apple": {"images": 30, "recall": 0.6, "taken_for": {"Pear": 5}}},
}
WHOLE: dict[str, Any] = {
    "classes": ["Apple", "Pear"],
    "fruit_types": ["Apple", "Pear"],
    "transform": EvalTransform().model_dump(mode="json"),
    "training": {"command": "train", "seed": 3, "box_margin": 0.1},
    "dataset": {
        "name": "fruits-360",
        "images": 20,
        "photographed": {"Apple": 3},
        "sources": ["market"],
        "beside": ["clothing"],
        "credits": [{"source": "market", "repository": "somebody/market", "licence": "MIT"}],
    },
    "metrics": {"test": {"images": 10, "top1": 0.9, "loss": 1}, "photos-market": {"images": 5, "top1": 0.8}},
    "left_out": LEFT_OUT,
    "imported": {"file": "a.pth", "sha256": "0" * 64, "head": ["fc"], "classes_from": "a.txt", "calibrated_on": ""},
}
ODD: tuple[Any, ...] = ("many", -1, [], {}, [{}], {"x": "y"}, True, None, 1.5, [["x"]])


def entries(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values in nested dictionaries and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(one for key, own in inner for one in entries(own, (*place, key)))]


def with_value(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(WHOLE)
    inner: Any = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def write(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def shown(config: CheckpointConfig) -> None:
    """Everything that is written of a checkpoint's records, in the app and in its card."""
    model_card(config.model_dump(mode="json"))
    for language in ("en", "zh"):
        accuracy(config, "own", language)
        accuracy(config.model_copy(update={"left_out": {}}), "own", language)
    confused_with(config, "Apple")
    very_sure_from(config)


RECORDS = [place for place in entries(WHOLE) if place and place[0] in ("training", "dataset", "metrics", "left_out", "imported")]


@pytest.mark.parametrize("place", RECORDS, ids=lambda place: ".".join(map(str, place)))
def test_whatever_stands_in_the_place_of_a_record_is_refused_or_can_be_shown(tmp_path: Path, place: tuple[Any, ...]) -> None:
    for value in ODD:
        folder = write(tmp_path, with_value(place, value))
        try:
            config = read_config(folder)
        except CheckpointError as error:
            assert error.code == "checkpoint-config" and place[0] in str(error)
        else:
            shown(config)


def test_a_missing_record_is_refused_or_what_remains_can_be_shown(tmp_path: Path) -> None:
    for place in RECORDS:
        changed = copy.deepcopy(WHOLE)
        inner: Any = changed
        for key in place[:-1]:
            inner = inner[key]
        del inner[place[-1]]
        try:
            config = read_config(write(tmp_path, changed))
        except CheckpointError as error:
            assert error.code == "checkpoint-config"
        else:
            shown(config)


def test_a_text_in_the_place_of_an_accuracy_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="left_out.top1"):
        read_config(write(tmp_path, with_value(("left_out", "top1"), "70%")))
    assert read_config(write(tmp_path, WHOLE)).left_out["top1"] == 0.7


def test_entries_that_no_version_knows_are_kept(tmp_path: Path) -> None:
    folder = write(tmp_path, with_value(("metrics", "test", "later"), {"any": ["thing"]}))
    assert read_config(folder).metrics["test"]["later"] == {"any": ["thing"]}
