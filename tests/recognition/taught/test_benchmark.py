"""Teaching measured on pictures whose every answer can be worked out by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read.dataset import held_out
from fruitvision.errors import UsageError
from fruitvision.recognition.taught.benchmark import teach_benchmark


def put(folder: Path, colour: tuple[int, int, int], count: int) -> None:
    """Pictures of about one colour."""
    folder.mkdir(parents=True)
    for n in range(count):
        seed = int(hashlib.sha256(f"{folder}{n}".encode()).hexdigest()[:8], 16)
        pixels = np.array(colour) + np.random.default_rng(seed).integers(-12, 12, (24, 24, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{folder.name}-{n}.png")


@pytest.fixture
def kinds(tmp_path) -> Path:
    """Two kinds that the network does not know, and one that holds nothing."""
    put(tmp_path / "kinds" / "Lemon", (240, 240, 20), 14)
    put(tmp_path / "kinds" / "Plum", (150, 20, 150), 14)
    put(tmp_path / "kinds" / "not-fruit", (120, 120, 120), 1)
    return tmp_path / "kinds"


@pytest.fixture
def known(tmp_path) -> Path:
    """What the network does know."""
    for name, colour in (("Apple Red 1", (250, 20, 20)), ("Kiwi", (20, 250, 20)), ("Blueberry", (20, 20, 250))):
        put(tmp_path / "known" / name, colour, 6)
    return tmp_path / "known"


def test_unknown_kinds_are_learned_and_what_that_costs_is_said(colour_classifier, kinds, known):
    result = teach_benchmark(colour_classifier(), kinds, shots=(1, 5), seeds=2, untaught=known)
    assert (result["classes"], result["images"], result["untaught_images"]) == (2, 28, 18)
    assert result["known"]["5"]["top1"] == result["new"]["5"]["top1"] == 1.0
    cost = result["untaught"]["5"]  # three numbers a picture leave little room: yellow and purple are near to red
    assert cost["before"] == 1.0 and 0.6 < cost["after"] <= 1 and cost["change"] == pytest.approx(cost["after"] - 1)
    assert "others" not in result, "the network knows neither of these"
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_with_heldout_that_fifth_is_scored_and_never_taught(colour_classifier, kinds, monkeypatch):
    from fruitvision.recognition.taught import benchmark as module

    taught, scored = set(), set()

    def watch(name: str, seen: set[str]) -> None:
        method = getattr(module._Pictures, name)
        watched = lambda own, rows, *more: seen.update(own.paths[i] for i in rows) or method(own, rows, *more)  # noqa: E731
        monkeypatch.setattr(module._Pictures, name, watched)

    watch("teach", taught)
    watch("ask", scored)
    teach_benchmark(colour_classifier(), kinds, shots=(5,), seeds=3, split="heldout")
    assert taught and scored and not any(map(held_out, taught)) and all(map(held_out, scored))


def test_too_few_pictures_or_another_split_is_misuse(colour_classifier, kinds):
    for given, code in (({"shots": (15,)}, "too-few-to-teach"), ({"split": "val"}, "unknown-split")):
        with pytest.raises(UsageError) as caught:
            teach_benchmark(colour_classifier(), kinds, **given)
        assert caught.value.code == code


def test_of_one_taught_name_it_is_counted_what_is_found_and_what_is_taken(colour_classifier, kinds, known, tmp_path):
    put(tmp_path / "things" / "not-fruit", (20, 20, 250), 8)
    result = teach_benchmark(colour_classifier(), kinds, shots=(5,), seeds=1, unrelated=[known, tmp_path / "things"])
    alone = result["alone"]["5"]
    assert result["unrelated_images"] == 26 and alone["found"] == 1.0
    assert 0 <= alone["taken"] <= alone["most_taken"] <= 1
