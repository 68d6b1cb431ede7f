"""A labelled folder scored: right, sure, refused, and what was left out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import fruit_type
from fruitvision.data.read.dataset import held_out
from fruitvision.errors import DataError, UsageError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.models.networks import build_network
from fruitvision.recognition.classifier import Classifier
from fruitvision.recognition.evaluate.evaluation import evaluate_folder
from tests.sentences import is_worded

RED, GREEN, BLUE, GREY = (250, 20, 20), (20, 250, 20), (20, 20, 250), (128, 128, 128)


def put(folder: Path, *colours: tuple[int, int, int], name: str = "") -> Path:
    """One picture of each colour; no two pictures of a test are the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, colour in enumerate(colours):
        picture = Image.new("RGB", (24 + number, 24), colour)
        picture.putpixel((0, 0), tuple(hashlib.sha256(str(folder).encode()).digest()[:3]))
        picture.save(folder / f"{name}{number}.png")
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    """By type: 4 apples of which one is blue and one grey, 2 kiwis, a stranger, and 2 that hold no fruit."""
    root = tmp_path / "photos"
    put(root / "Apple", RED, RED, BLUE, GREY)
    put(root / "Kiwi", GREEN, GREEN)
    put(root / "Dragon Egg", RED)
    put(root / "not-fruit", GREY, BLUE)
    return root


def test_figures_by_type_are_those_worked_out_by_hand(colour_classifier, photos):
    result = evaluate_folder(colour_classifier(), photos, by="type")
    assert result["images"] == 6
    assert result["top1"] == pytest.approx(5 / 6)  # the blue apple; grey is nearest to the two red varieties
    assert result["top3"] == 1.0
    assert result["macro_recall"] == pytest.approx((3 / 4 + 1) / 2)
    assert result["answered"] == pytest.approx(5 / 6)  # all but the grey one
    assert result["answered_top1"] == pytest.approx(4 / 5)
    assert result["not_fruit_images"] == 2
    assert result["not_fruit_accepted"] == pytest.approx(1 / 2)
    assert result["unknown_folders"] == ["Dragon Egg"]
    assert result["per_class"]["Apple"] == {"images": 4, "recall": 0.75, "precision": 1.0}
    assert result["per_class"]["Kiwi"] == {"images": 2, "recall": 1.0, "precision": 1.0}
    assert set(result["per_class"]) == {"Apple", "Kiwi"}
    assert 0 <= result["ece"] <= 1
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_by_class_tells_varieties_apart_and_by_type_puts_them_together(colour_classifier, tmp_path):
    put(tmp_path / "Apple Red 1", RED, RED)
    put(tmp_path / "Apple Red 2", RED)
    put(tmp_path / "Kiwi", GREEN)
    by_class = evaluate_folder(colour_classifier(), tmp_path, by="class")
    assert by_class["top1"] == pytest.approx(3 / 4)
    assert by_class["per_class"]["Apple Red 2"] == {"images": 1, "recall": 0.0, "precision": None}
    by_type = evaluate_folder(colour_classifier(), tmp_path, by="type")
    assert (by_type["top1"], by_type["unknown_folders"]) == (1.0, [])
    assert by_type["per_class"]["Apple"]["images"] == 3


def test_a_folder_that_is_a_type_only_is_unknown_by_class(colour_classifier, photos):
    result = evaluate_folder(colour_classifier(), photos, by="class")
    assert result["unknown_folders"] == ["Apple", "Dragon Egg"]
    assert result["images"] == 2


def test_negatives_may_lie_in_a_folder_of_their_own(colour_classifier, tmp_path):
    put(tmp_path / "fruit" / "Apple", RED, RED)
    put(tmp_path / "fruit" / "Kiwi", GREEN)
    assert evaluate_folder(colour_classifier(), tmp_path / "fruit", by="type")["not_fruit_accepted"] is None
    put(tmp_path / "other" / "chairs", GREY, BLUE)
    put(tmp_path / "other" / "walls", GREY, GREY)
    for folder, share in ((tmp_path / "other", 1 / 4), (tmp_path / "other" / "walls", 0.0)):
        result = evaluate_folder(colour_classifier(), tmp_path / "fruit", by="type", not_fruit=folder)
        assert result["not_fruit_accepted"] == pytest.approx(share)
        assert result["images"] == 3


def test_heldout_is_a_fifth_by_file_name_alone(colour_classifier, tmp_path):
    names = [f"photo {i}.jpg" for i in range(1000)]
    chosen = {name for name in names if held_out(f"some/where/{name}")}
    assert chosen == {n for n in names if int(hashlib.sha256(n.encode()).hexdigest(), 16) % 5 == 0}
    assert 150 < len(chosen) < 250
    put(tmp_path / "Apple", *[RED] * 12, name="a")
    put(tmp_path / "Kiwi", *[GREEN] * 12, name="k")
    put(tmp_path / "not-fruit", *[GREY] * 12, name="n")
    expected = [sum(held_out(f"{kind}{i}.png") for i in range(12)) for kind in "akn"]
    result = evaluate_folder(colour_classifier(), tmp_path, by="type", split="heldout")
    assert result["images"] == expected[0] + expected[1]
    assert result["not_fruit_images"] == expected[2]
    assert result["split"] == "heldout"


@pytest.fixture(scope="module")
def untrained() -> Classifier:
    classes = ("Apple", "Banana", "Kiwi", "Orange")
    config = CheckpointConfig(classes=classes, fruit_types=classes, transform=EvalTransform(resize=40, crop=32), width=8)
    return Classifier(build_network(num_classes=4, width=8, seed=2), config)


def test_score_is_what_predict_says_of_each_file(untrained, sample_set, monkeypatch):
    monkeypatch.setattr("fruitvision.recognition.evaluate.evaluation.BATCH_SIZE", 5)
    files = sorted((sample_set / "Test").rglob("*.jpg"))
    answers = untrained.predict_batch(files)
    result = evaluate_folder(untrained, sample_set, split="test")
    assert result["images"] == len(files) == 16
    assert result["top1"] == pytest.approx(np.mean([a.label == f.parent.name for a, f in zip(answers, files, strict=True)]))
    assert result["top3"] == pytest.approx(
        np.mean([f.parent.name in [g.label for g in a.top[:3]] for a, f in zip(answers, files, strict=True)])
    )
    assert result["answered"] == pytest.approx(np.mean([a.verdict == "sure" for a in answers]))


def test_splits_are_scored_one_by_one_or_all_together(untrained, sample_set):
    counts = {split: evaluate_folder(untrained, sample_set, split=split)["images"] for split in ("train", "test", None, "all")}
    assert counts == {"train": 32, "test": 16, None: 48, "all": 48}


def test_progress_is_told_up_to_the_end(colour_classifier, photos, monkeypatch):
    monkeypatch.setattr("fruitvision.recognition.evaluate.evaluation.BATCH_SIZE", 4)
    told = []
    evaluate_folder(colour_classifier(), photos, by="type", progress=lambda done, total: told.append((done, total)))
    assert told == [(4, 8), (6, 8), (8, 8)]


def test_what_cannot_be_scored_is_said(colour_classifier, photos, tmp_path):
    put(tmp_path / "strangers" / "Dragon Egg", RED)
    put(tmp_path / "strangers" / "Moon", GREY)
    for call, code in (
        (lambda: evaluate_folder(colour_classifier(), tmp_path / "strangers"), "no-known-class"),
        (lambda: evaluate_folder(colour_classifier(), photos, split="val"), "unknown-split"),
        (lambda: evaluate_folder(colour_classifier(), photos, by="colour"), "unknown-by"),
        (lambda: evaluate_folder(colour_classifier(), tmp_path / "nowhere"), "data-missing"),
    ):
        with pytest.raises((DataError, UsageError)) as caught:
            call()
        assert caught.value.code == code
        assert code not in str(caught.value) and is_worded(caught.value)


def test_real_folders_are_understood_by_type(real_data):
    names = [folder.name for folder in (real_data / "fruits-360" / "Training").iterdir() if folder.is_dir()]
    types = {fruit_type(name) for name in names}
    assert {"Apple", "Banana", "Orange"} <= types
    assert len(types) < len(names)
