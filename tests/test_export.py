"""ONNX export: what the file answers, what it carries, and that nothing is left where it fails."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fruitvision.data.picture import load_pixels
from fruitvision.data.transforms import EvalTransform
from fruitvision.errors import CheckpointError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.models.export import METADATA, export_onnx
from fruitvision.models.networks import build_network

CLASSES = ("Apple", "Banana", "Kiwi")


def _small() -> tuple[torch.nn.Module, CheckpointConfig]:
    torch.manual_seed(0)
    config = CheckpointConfig(width=8, classes=CLASSES, fruit_types=CLASSES, transform=EvalTransform(resize=36, crop=32), temperature=1.5)
    return build_network(num_classes=len(CLASSES), width=8).eval(), config


def test_the_file_answers_as_torch_does_at_any_batch_and_carries_its_configuration(sample_set: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    (network, config), pictures = _small(), sorted(sample_set.rglob("*.jpg")) or sorted(sample_set.rglob("*.png"))
    out = tmp_path / "model.onnx"
    check = export_onnx(network, config, pictures[:6], out)
    assert check.pictures == 6 and check.largest_difference < 1e-3 and check.agreement == 1
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(str(out))
    assert CheckpointConfig.model_validate_json(session.get_modelmeta().custom_metadata_map[METADATA]) == config
    for count in (1, 5):
        batch = config.transform.batch([load_pixels(p) for p in pictures[:count]]).contiguous()
        with torch.inference_mode():
            expected = network(batch)
        logits, features = session.run(None, {"image": batch.numpy()})
        np.testing.assert_allclose(logits, expected.logits.numpy(), atol=1e-3)
        np.testing.assert_allclose(features, expected.features.numpy(), atol=1e-3)


@pytest.mark.parametrize(("gone", "code"), [(True, "onnx-missing"), (False, "onnx-no-pictures")])
def test_a_failure_names_the_next_step_and_writes_nothing(gone: bool, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if gone:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CheckpointError, match="pip install" if gone else "--data") as caught:
        export_onnx(*_small(), [tmp_path / "any.png"] if gone else [], tmp_path / "model.onnx")
    assert caught.value.code == code
    assert not list(tmp_path.iterdir())
