"""A checkpoint folder comes back as it was saved, or says what is wrong with it."""

from __future__ import annotations

import errno
import json
import os
import pickle

import pytest
import torch

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.errors import CheckpointError, DataError
from fruitvision.files import previous_folder
from fruitvision.models import checkpoint, weights_header
from fruitvision.models.checkpoint import (
    CheckpointConfig,
    find_checkpoint,
    load_checkpoint,
    read_config,
    record_metrics,
    save_checkpoint,
    shipped,
)
from fruitvision.models.networks import build_network
from tests.sentences import is_worded

CLASSES = ("Apple Red 1", "Banana", "香蕉")


def config(**changes) -> CheckpointConfig:
    values = {"width": 8, "classes": CLASSES, "fruit_types": ("Apple", "Banana", "Banana"), "transform": EvalTransform(resize=64, crop=64)}
    return CheckpointConfig(**{**values, **changes})


def network(norm: str = "batch", classes: int = 3, seed: int = 0):
    return build_network(num_classes=classes, norm=norm, width=8, seed=seed).eval()


@pytest.fixture
def saved(tmp_path):
    return save_checkpoint(tmp_path / "best", network(), config())


def test_what_was_saved_comes_back_exactly(saved):
    loaded, found = load_checkpoint(saved)
    before = network().state_dict()
    assert all(torch.equal(before[name], value) for name, value in loaded.state_dict().items())
    assert found.classes == CLASSES and found.transform == EvalTransform(resize=64, crop=64)
    assert not loaded.training
    assert {p.name for p in saved.iterdir()} == {"model.safetensors", "config.json", "README.md"}


def test_half_precision_takes_half_the_room_and_answers_nearly_the_same(tmp_path):
    whole = save_checkpoint(tmp_path / "whole", network(), config())
    half = save_checkpoint(tmp_path / "half", network(), config(), half=True)
    assert (half / "model.safetensors").stat().st_size < 0.55 * (whole / "model.safetensors").stat().st_size
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(load_checkpoint(half)[0](x).logits, network()(x).logits, atol=2e-2, rtol=2e-2)
    assert load_checkpoint(half)[0].conv1.weight.dtype == torch.float32


def code_of(folder) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert is_worded(caught.value)
    return caught.value.code


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(saved, file):
    (saved / file).unlink()
    assert code_of(saved) == "checkpoint-incomplete"


def test_a_wrong_number_of_classes_is_said(saved):
    config_file = saved / "config.json"
    values = json.loads(config_file.read_text(encoding="utf-8"))
    del values["config_sha256"]  # as in an older checkpoint
    values["classes"].append("Kiwi")
    values["fruit_types"].append("Kiwi")
    config_file.write_text(json.dumps(values), encoding="utf-8")
    assert code_of(saved) == "checkpoint-classes"


def test_another_norms_weights_are_refused(saved, tmp_path):
    other = save_checkpoint(tmp_path / "group", network("group"), config(norm="group"))
    (other / "model.safetensors").replace(saved / "model.safetensors")
    assert code_of(saved) == "checkpoint-other-network"


def test_another_runs_weights_of_the_same_shape_are_refused(saved, tmp_path):
    other = save_checkpoint(tmp_path / "other", network(seed=5), config())
    (other / "model.safetensors").replace(saved / "model.safetensors")
    assert code_of(saved) == "checkpoint-damaged"


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap-has-sprung",)


def test_a_pickle_under_a_safetensors_name_is_refused_and_never_run(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (saved / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    assert code_of(saved) == "checkpoint-not-safetensors"
    torch.save({"a": torch.zeros(1)}, saved / "model.safetensors")
    assert code_of(saved) == "checkpoint-not-safetensors"
    assert not (tmp_path / "trap-has-sprung").exists()


def test_weights_with_a_header_of_countless_tensors_are_refused_before_they_are_read(saved, monkeypatch):
    monkeypatch.setattr(weights_header, "MAX_HEADER_BYTES", 100)
    assert code_of(saved) == "checkpoint-not-safetensors"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"classes": ["a"], "fruit_types": ["a"], "transform": {}}', '{"schema_version": 99}', "\x00"]
)
def test_a_damaged_description_is_said_to_be_one(saved, content):
    (saved / "config.json").write_text(content, encoding="utf-8")
    assert code_of(saved) == "checkpoint-config"


@pytest.mark.parametrize("place", [0.01, 0.5, 0.99])
def test_a_flipped_byte_in_the_weights_is_found(saved, place):
    file = saved / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 0x10
    file.write_bytes(content)
    assert code_of(saved) in ("checkpoint-damaged", "checkpoint-not-safetensors", "checkpoint-other-network")


def test_a_disk_that_fills_up_midway_leaves_the_old_checkpoint(saved, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(DataError) as caught:
        save_checkpoint(saved, network(seed=9), config())
    assert caught.value.code == "disk-full"
    assert torch.equal(load_checkpoint(saved)[0].conv1.weight, network().conv1.weight)
    assert [p.name for p in saved.parent.iterdir()] == ["best"], "nothing is left beside it"


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        save_checkpoint(tmp_path / "file" / "best", network(), config())
    assert caught.value.code == "cannot-write"


def test_figures_are_recorded_where_a_killed_process_left_the_checkpoint(saved):
    """Between the two renames of a replacement the old folder has another name; one without weights must not hide it."""
    saved.rename(previous_folder(saved))
    record_metrics(saved, "photos", {"images": 10, "top1": 0.25})
    assert load_checkpoint(saved)[1].metrics["photos"]["top1"] == 0.25 and not saved.exists()


def test_figures_are_recorded_in_the_description_and_the_card(saved):
    record_metrics(saved, "photos", {"images": 10, "top1": 0.25})
    assert read_config(saved).metrics["photos"]["top1"] == 0.25
    assert "| photos | 10 | 0.2500 |" in (saved / "README.md").read_text(encoding="utf-8")
    load_checkpoint(saved)


def test_a_name_that_is_no_checkpoint_is_said(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(tmp_path / "nothing")
    assert caught.value.code == "checkpoint-missing"


@pytest.mark.parametrize(("name", "lab", "photos"), [("fruits-360", 0.98, 0.85), ("fruits-webcam", 0.95, 0.9)])
def test_each_shipped_model_is_small_and_measured(shipped_checkpoint, name, lab, photos):
    folder = find_checkpoint(name)
    assert folder.parent == shipped_checkpoint.parent
    assert sum(p.stat().st_size for p in folder.iterdir()) < 50 * 2**20
    found = read_config(folder)
    assert found.metrics["test"]["top1"] >= lab and found.metrics["photos-ms-learn"]["top1"] >= photos
    assert "train" in found.training["command"]


def test_classify_answers_with_the_network_that_knows_photographs(shipped_checkpoint):
    assert find_checkpoint() == shipped()[0] == find_checkpoint("fruits-webcam")
    assert find_checkpoint("fruits-360") == shipped_checkpoint == shipped()[1]


@pytest.mark.parametrize(
    "named",
    [
        {"width": 4096},
        {"width": 1024},
        {"architecture": "vit_giant_patch14_clip_224", "norm": "own", "width": 64},
        {"architecture": "no such network", "norm": "own", "width": 64},
    ],
)
def test_a_network_much_larger_than_its_file_is_refused_before_it_takes_memory(saved, named, monkeypatch):
    """A width of 8192 took 180 GB before it was compared with what there is."""
    config_file = saved / "config.json"
    values = json.loads(config_file.read_text(encoding="utf-8"))
    del values["config_sha256"]
    config_file.write_text(json.dumps({**values, **named}), encoding="utf-8")
    monkeypatch.setattr("fruitvision.models.networks.build_network", lambda *given, **more: pytest.fail("it was made"))
    assert code_of(saved) in ("checkpoint-size", "checkpoint-network")


@pytest.mark.parametrize("width", [0, -1, 8192, 10**12, 1.5, "64x"])
def test_a_width_that_is_none_is_refused(saved, width):
    config_file = saved / "config.json"
    values = json.loads(config_file.read_text(encoding="utf-8"))
    del values["config_sha256"]
    config_file.write_text(json.dumps({**values, "width": width}), encoding="utf-8")
    assert code_of(saved).startswith("checkpoint-")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"classes": ("a", "_" * 201), "fruit_types": ("a", "b")}, "at most 200 characters"),
        ({"classes": ("a", "b"), "fruit_types": ("a", "_" * 201)}, "at most 200 characters"),
        ({"classes": [f"c{n}" for n in range(10_001)], "fruit_types": ["a"] * 10_001}, "at most 10000 entries"),
        ({"transform": {"resize": 2048, "crop": 2048, "views": 2}}, "2 views of 2048 × 2048"),
        ({"transform": {"resize": 1024, "crop": 1024, "scales": [1.0] * 8}}, "8 views of 1024 × 1024"),
    ],
    ids=["name", "type", "classes", "mirror", "scales"],
)
def test_a_description_that_would_take_far_more_memory_than_its_file_is_refused(saved, changes, word):
    """One of a few megabytes took (40 GB), for its views or for classes times fruit types; and a long name (hours)."""
    config_file = saved / "config.json"
    values = json.loads(config_file.read_text(encoding="utf-8"))
    del values["config_sha256"]
    config_file.write_text(json.dumps({**values, **changes}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=word) as caught:
        load_checkpoint(saved)
    assert caught.value.code == "checkpoint-config" and is_worded(caught.value)


def test_the_largest_description_of_each_kind_is_read(saved):
    for changes in (
        {"transform": EvalTransform(resize=2048, crop=2048)},
        {"transform": EvalTransform(crop=512, views=2, scales=(1.0,) * 8)},
    ):
        assert read_config(save_checkpoint(saved, network(), config(**changes))).transform == changes["transform"]
    names = tuple(f"{n:0200}" for n in range(10_000))
    assert len(config(classes=names, fruit_types=names).classes) == 10_000
