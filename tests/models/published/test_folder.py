"""A published folder: FruitVision's own checkpoint, and timm's network of the same outputs."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

from fruitvision.compat import import_timm
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.errors import CheckpointError
from fruitvision.models.checkpoint import CheckpointConfig, load_checkpoint, read_config, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.models.published.folder import write_published

NAMES = ("Apple", "Banana", "Kiwi")


def saved(folder, architecture: str, norm: str, width: int = 64):
    """A checkpoint of random weights, among which the statistics of batch norm."""
    torch.manual_seed(0)
    network = build_network(architecture, num_classes=3, norm=norm, width=width)
    for name, value in network.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    metrics = {"test": {"images": 10, "top1": 0.9}}
    config = CheckpointConfig(
        architecture=architecture,
        norm=norm,
        width=width,
        classes=NAMES,
        fruit_types=NAMES,
        transform=EvalTransform(resize=40, crop=32),
        dataset={"name": "fruits-360"},
        metrics=metrics,
    )
    return save_checkpoint(folder, network, config)


@pytest.mark.parametrize(("architecture", "norm"), [("resnet18", "batch"), ("test_efficientnet", "own")])
def test_fruitvision_and_timm_load_the_same_network(tmp_path, architecture, norm):
    out = tmp_path / "out"
    write_published(saved(tmp_path / "mine", architecture, norm), out, half=False)
    expected, config = load_checkpoint(tmp_path / "mine")
    found, read = load_checkpoint(out)
    theirs = import_timm().create_model(f"local-dir:{out}", pretrained=True).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        logits = expected(x).logits
        assert torch.equal(found(x).logits, logits)
        assert torch.allclose(theirs(x), logits, atol=1e-4)
    assert read.classes == NAMES and read.transform == config.transform
    assert theirs.pretrained_cfg["input_size"] in ([3, 32, 32], (3, 32, 32)) and list(theirs.pretrained_cfg["label_names"]) == list(NAMES)


def test_a_network_that_timm_has_not_is_published_for_fruitvision_alone(tmp_path):
    out = tmp_path / "out"
    write_published(saved(tmp_path / "mine", "resnet18", "group", 8), out)
    assert set(json.loads((out / "config.json").read_text(encoding="utf-8"))) == {"fruitvision"}
    assert load_checkpoint(out)[1].norm == "group"


def test_the_card_begins_with_what_the_hub_reads(tmp_path):
    out = tmp_path / "out"
    write_published(saved(tmp_path / "mine", "resnet18", "batch", 8), out)
    _, front, card = (out / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["license"] == "cc-by-sa-4.0" and values["pipeline_tag"] == "image-classification"
    assert values["datasets"] == ["fruits-360"] and values["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.9
    assert card.strip().startswith("# resnet18")


def test_weights_that_were_exchanged_since_are_refused(tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    write_published(saved(tmp_path / "mine", "resnet18", "batch", 8), out)
    write_published(saved(tmp_path / "mine", "resnet18", "batch", 8), other, half=False)
    (out / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(out)
    assert caught.value.code == "checkpoint-damaged" and read_config(out).classes == NAMES


def test_an_onnx_file_is_not_published(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        write_published(tmp_path / "a.onnx", tmp_path / "out")
    assert caught.value.code == "hub-needs-folder"
