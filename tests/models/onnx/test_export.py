"""ONNX export: what the file answers, what it carries, and that nothing is left where it fails."""

from __future__ import annotations

import json
import pickle
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import fruitvision
from fruitvision.__main__ import main
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.read.picture import load_pixels
from fruitvision.errors import CheckpointError
from fruitvision.models.checkpoint import CheckpointConfig, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.models.onnx.export import METADATA, export_onnx, open_onnx
from fruitvision.recognition.classifier import Classifier

CLASSES = ("Apple", "Banana", "Kiwi")


def _small() -> tuple[torch.nn.Module, CheckpointConfig]:
    torch.manual_seed(0)
    config = CheckpointConfig(width=8, classes=CLASSES, fruit_types=CLASSES, transform=EvalTransform(resize=36, crop=32), temperature=1.5)
    return build_network(num_classes=len(CLASSES), width=8).eval(), config


def _pictures(sample_set: Path) -> list[Path]:
    return sorted(sample_set.rglob("*.jpg")) or sorted(sample_set.rglob("*.png"))


@pytest.fixture(scope="module")
def exported(sample_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network as an ONNX file."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path_factory.mktemp("exported") / "model.onnx"
    check = export_onnx(*_small(), _pictures(sample_set)[:6], out)
    assert check.pictures == 6 and check.largest_difference < 1e-3 and check.agreement == 1
    assert [p.name for p in out.parent.iterdir()] == ["model.onnx"]
    return out


def test_the_file_answers_as_torch_does_at_any_batch_and_carries_its_configuration(sample_set: Path, exported: Path) -> None:
    import onnxruntime

    (network, config), pictures = _small(), _pictures(sample_set)
    session = onnxruntime.InferenceSession(str(exported))
    assert [output.name for output in session.get_outputs()] == ["logits", "features"]
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


def test_an_exported_file_is_loaded_and_answers_as_its_checkpoint_does(sample_set: Path, exported: Path) -> None:
    (network, config), pictures = _small(), _pictures(sample_set)[:4]
    ours, theirs = Classifier(network, config), fruitvision.load(exported)
    assert not theirs.use_openvino()  # ONNX Runtime answers
    assert theirs.config == config and theirs.path == exported
    np.testing.assert_allclose(theirs.probabilities(pictures), ours.probabilities(pictures), atol=1e-4)
    np.testing.assert_allclose(theirs.embed(pictures), ours.embed(pictures), atol=1e-3)
    answer = theirs.predict(pictures[0])
    assert answer.label == ours.predict(pictures[0]).label
    with pytest.raises(CheckpointError, match="cannot draw a heatmap") as caught:
        answer.heatmap()
    assert caught.value.code == "onnx-answers-only"
    with pytest.raises(CheckpointError, match="or be taught"):
        _ = theirs.network.head


def test_int8_is_a_fraction_of_the_size_and_agrees(sample_set: Path, exported: Path, tmp_path: Path) -> None:
    (network, config), pictures = _small(), _pictures(sample_set)
    check = export_onnx(network, config, pictures[8:16], tmp_path / "int8.onnx", calibration=pictures[:8])
    assert check.agreement >= 0.9 and check.largest_difference > 0
    assert (tmp_path / "int8.onnx").stat().st_size < 0.6 * exported.stat().st_size  # of so small a network much is no weight
    found = Classifier.from_checkpoint(tmp_path / "int8.onnx")
    assert found.config == config
    assert np.abs(found.probabilities(pictures[:8]) - Classifier(network, config).probabilities(pictures[:8])).max() < 0.05


def test_the_command_asks_for_no_pictures_and_says_what_an_int8_file_was_calibrated_on(exported: Path, tmp_path: Path, capsys) -> None:
    network, config = _small()
    save_checkpoint(tmp_path / "small", network, config)
    where = ["--checkpoint", str(tmp_path / "small"), "--out", str(tmp_path / "int8.onnx")]
    assert main(["export", "--format", "onnx-int8", *where]) == 0
    assert (tmp_path / "int8.onnx").stat().st_size < 0.6 * exported.stat().st_size
    assert "Calibrated on drawn pictures" in capsys.readouterr().out


def test_a_file_that_is_damaged_foreign_or_a_pickle_is_named(exported: Path, tmp_path: Path) -> None:
    import onnx

    whole, content, dice = tmp_path / "model.onnx", exported.read_bytes(), random.Random(0)
    for _ in range(40):
        at = dice.randrange(len(content))
        whole.write_bytes(content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :])
        with pytest.raises(CheckpointError) as caught:
            open_onnx(whole)
        assert caught.value.code in ("onnx-damaged", "onnx-foreign")
    for wrong in (b"", content[: len(content) // 2], pickle.dumps(CLASSES)):
        whole.write_bytes(wrong)
        with pytest.raises(CheckpointError):
            open_onnx(whole)
    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    whole.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="not exported by FruitVision"):
        open_onnx(whole)
    with pytest.raises(CheckpointError, match="cannot be read"):
        Classifier.from_checkpoint(tmp_path / "missing.onnx")


def test_the_guide_s_program_answers_without_torch_as_the_classifier_does(sample_set: Path, exported: Path, tmp_path: Path) -> None:
    guide = (Path(__file__).resolve().parents[3] / "docs" / "guides" / "export-onnx.md").read_text(encoding="utf-8")
    (program,) = (one for one in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "import onnxruntime" in one)
    picture = _pictures(sample_set)[0]
    (tmp_path / "model.onnx").write_bytes(exported.read_bytes())
    (tmp_path / "banana.jpg").write_bytes(picture.read_bytes())
    program = "import sys\nsys.modules['torch'] = None\n" + program
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    label, probability = done.stdout.split()
    ours = fruitvision.load(exported).probabilities([picture])[0]
    assert label == CLASSES[int(ours.argmax())] and float(probability) == pytest.approx(float(ours.max()), abs=0.01)


@pytest.mark.parametrize("kind", ["labelled", "loose", "none"])
def test_any_folder_of_pictures_will_do_for_the_check_and_none_too(sample_set: Path, tmp_path: Path, kind: str, capsys) -> None:
    pytest.importorskip("onnxscript")
    folder = {"labelled": sample_set, "loose": tmp_path / "loose"}.get(kind)
    if kind == "loose":
        folder.mkdir()
        for number, path in enumerate(_pictures(sample_set)[:3]):
            shutil.copy(path, folder / f"{number}.jpg")
    save_checkpoint(tmp_path / "mine", *_small())
    words = ["export", "--checkpoint", str(tmp_path / "mine"), "--out", str(tmp_path / "model.onnx"), "--count", "4", "--json"]
    assert main([*words, *(["--data", str(folder)] if folder else [])]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["pictures"] >= 3 and said["agreement"] == 1 and (tmp_path / "model.onnx").is_file()
