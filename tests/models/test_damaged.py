"""A checkpoint folder that was damaged anywhere is refused by name, or answers exactly as before; nothing in it is run."""

from __future__ import annotations

import json
import os
import pickle
import random
from pathlib import Path

import pytest
import torch

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.errors import CheckpointError
from fruitvision.models.checkpoint import CheckpointConfig, load_checkpoint, read_config, record_metrics, save_checkpoint
from fruitvision.models.networks import build_network
from tests.sentences import is_worded

SEED = 7
FILES = ("model.safetensors", "config.json", "README.md")
DAMAGED = {
    "config.json": {"checkpoint-config", "checkpoint-config-changed"},
    "model.safetensors": {"checkpoint-damaged", "checkpoint-not-safetensors", "checkpoint-other-network", "checkpoint-classes"},
}


@pytest.fixture(scope="module")
def network():
    return build_network(num_classes=3, width=8, seed=3).eval()


@pytest.fixture
def saved(tmp_path, network) -> Path:
    config = CheckpointConfig(
        width=8,
        classes=("Apple Red 1", "Banana", "香蕉"),
        fruit_types=("Apple", "Banana", "Banana"),
        transform=EvalTransform(resize=64, crop=64),
        temperature=1.25,
        training={"epochs": 3, "command": "train"},
    )
    return save_checkpoint(tmp_path / "best", network, config)


def flips(content: bytes, count: int) -> list[bytes]:
    """Copies with one bit flipped, at places of their own; a third of them in the first kilobyte."""
    chance = random.Random(SEED)
    copies = []
    for i in range(count):
        copy = bytearray(content)
        copy[chance.randrange(min(1024, len(copy)) if i % 3 == 0 else len(copy))] ^= 1 << chance.randrange(8)
        copies.append(bytes(copy))
    return copies


def refusal(folder: Path, load=load_checkpoint) -> str | None:
    try:
        load(folder)
    except CheckpointError as error:
        assert is_worded(error)
        return error.code
    return None


@pytest.mark.parametrize("record", [False, True])
def test_a_flipped_bit_in_the_description_is_found_or_means_nothing(saved, record):
    if record:
        record_metrics(saved, "photos", {"images": 10, "top1": 0.25})
    before, file = read_config(saved), saved / "config.json"
    found = []
    for content in flips(file.read_bytes(), 600):
        file.write_bytes(content)
        found.append(refusal(saved, read_config))
        if found[-1] is None:  # a space became another space
            assert read_config(saved) == before
    assert set(found) - {None} == DAMAGED["config.json"] and found.count(None) < 60


def test_each_setting_that_answers_depend_on_is_held(saved):
    file = saved / "config.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    others = {"classes": values["classes"][::-1], "temperature": 2.0, "fruit_types": ["Banana", "Banana", "Apple"], "weights_sha256": ""}
    others["transform"] = {**values["transform"], "resize": 72}
    others["thresholds"] = {**values["thresholds"], "unsure": 0.1}
    for name, value in others.items():
        assert value != values[name]
        file.write_text(json.dumps({**values, name: value}), encoding="utf-8")
        assert refusal(saved) == "checkpoint-config-changed"


def test_a_description_without_a_digest_still_loads(saved):
    file = saved / "config.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    del values["config_sha256"]
    file.write_text(json.dumps(values, indent=3), encoding="utf-8")
    assert load_checkpoint(saved)[1].temperature == 1.25


def test_a_flipped_bit_in_the_weights_is_found(saved):
    file = saved / "model.safetensors"
    for content in flips(file.read_bytes(), 240):
        file.write_bytes(content)
        assert refusal(saved) in DAMAGED["model.safetensors"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_cut_short_or_with_more_behind_it_is_found(saved, name):
    whole = (saved / name).read_bytes()
    chance = random.Random(SEED)
    cuts = [whole[:at] for at in (0, 1, 8, len(whole) - 2, *(chance.randrange(len(whole)) for _ in range(16)))]
    for content in [*cuts, whole + b"\1", whole + whole]:
        (saved / name).write_bytes(content)
        assert refusal(saved) in DAMAGED[name]


def test_what_becomes_of_the_card_changes_no_answer(saved, network):
    for content in (b"", b"\xff" * 99, None):
        (saved / "README.md").write_bytes(content) if content is not None else (saved / "README.md").unlink()
        loaded, _ = load_checkpoint(saved)
        assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.state_dict().items())


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap-has-sprung",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_under_any_name_is_never_run(saved, tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    trap = pickle.dumps(Trap(), protocol)
    for name in (*FILES, "pytorch_model.bin", "model.pt", "config.pkl", "__init__.py"):
        whole = (saved / name).read_bytes() if (saved / name).exists() else None
        (saved / name).write_bytes(trap)
        assert refusal(saved) in DAMAGED.get(name, {None})
        (saved / name).unlink() if whole is None else (saved / name).write_bytes(whole)
    assert not (tmp_path / "trap-has-sprung").exists()
    pickle.loads(trap)
    assert (tmp_path / "trap-has-sprung").exists(), "the trap is one"
