"""A tutorial's weights become a checkpoint that answers as the tutorial's own code did, from the command line to the panels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import fruitvision
from fruitvision.__main__ import main
from fruitvision.compat import import_torchvision
from fruitvision.data.read.picture import load_pixels
from fruitvision.errors import CheckpointError
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.runs.config import RunConfig
from fruitvision.runs.prepare.check import check_run
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.models import Models
from tests.sentences import is_worded

import_torchvision()
from torchvision import models, transforms  # noqa: E402

CLASSES = ("Apple", "Banana", "Kiwi", "Orange")
TINY = ["image_size=32", "eval_resize=32", "batch_size=8", "augmentation=none", "epochs=1", "architecture=resnet18"]


class FruitsClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = models.resnet18()
        self.model.fc = nn.Linear(self.model.fc.in_features, len(CLASSES))

    def forward(self, x):
        return self.model(x)


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory, sample_set) -> tuple[Path, nn.Module]:
    """What a tutorial leaves, and its network: here with a last layer fitted to the drawn pictures, so that it names them."""
    torch.manual_seed(0)
    network = FruitsClassifier().eval()
    files = [(path, label) for label, name in enumerate(CLASSES) for path in sorted((sample_set / "Test" / name).iterdir())]
    inputs, labels = torch.stack([textbook(path) for path, _ in files]), torch.tensor([label for _, label in files])
    head, network.model.fc = network.model.fc, nn.Identity()
    with torch.inference_mode():
        features = network(inputs)
        centred = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        found = torch.linalg.pinv(centred) @ (10 * nn.functional.one_hot(labels).float() - 5)
        head.weight.copy_(found[:-1].T)
        head.bias.copy_(found[-1])
    network.model.fc = head
    path = tmp_path_factory.mktemp("tutorial") / "fruits_classifier.pth"
    torch.save(network.state_dict(), path)
    return path, network


def textbook(picture: Path | Image.Image) -> torch.Tensor:
    """The evaluation code of the tutorial."""
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    steps.append(transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    image = picture if isinstance(picture, Image.Image) else Image.open(picture)
    return transforms.Compose(steps)(image.convert("RGB"))


@pytest.fixture(scope="module")
def imported(tutorial, sample_set, tmp_path_factory) -> Path:
    """The checkpoint that the command makes of it."""
    runs = tmp_path_factory.mktemp("work") / "runs"
    assert main(["import", str(tutorial[0]), "--data", str(sample_set), "--out", str(runs / "fruits"), "--json"]) == 0
    return runs / "fruits"


def photograph(size: tuple[int, int]) -> Image.Image:
    """Smooth colours and an edge, of a photograph's size."""
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    picture.paste((250, 220, 20), (size[0] // 3, size[1] // 3, size[0] // 2, size[1] // 2))
    return picture


@pytest.mark.parametrize(("size", "tolerance"), [((640, 427), 1e-4), ((300, 400), 1e-4), ((256, 256), 1e-4), ((100, 100), 5e-2)])
def test_it_answers_a_picture_as_the_tutorials_own_code_does(imported, tutorial, size, tolerance):
    """The same pixels, so the same logits; only an enlarged picture may differ, by rounding, in single levels."""
    picture = photograph(size)
    classifier = fruitvision.load(imported)
    with torch.inference_mode():
        expected = tutorial[1](textbook(picture)[None])
        found = classifier.network(classifier.config.transform.batch([load_pixels(picture, classifier.short_side)])).logits
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    probabilities = classifier.probabilities([picture])[0]
    np.testing.assert_allclose(probabilities, expected.softmax(dim=1)[0].numpy(), atol=max(tolerance, 1e-3))
    assert classifier.predict(picture).label == CLASSES[int(expected.argmax())]


def test_the_command_checks_it_on_pictures_of_every_class(run, tutorial, sample_set, tmp_path):
    code, out, err = run("import", tutorial[0], "--data", sample_set, "--out", tmp_path / "net", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["classes"] == list(CLASSES) and told["architecture"] == "resnet18" and told["head"] == ["fc"]
    assert told["checked"]["pictures"] == told["checked"]["right"] == 16 and told["checked"]["order_fits"]
    assert (told["calibrated"], told["temperature"], told["warnings"]) == (False, 1.0, [])
    card = (tmp_path / "net" / "README.md").read_text(encoding="utf-8")
    assert "Imported by FruitVision from fruits_classifier.pth" in card and "not calibrated" in card and "1.0000" in card
    assert load_checkpoint(tmp_path / "net")[1].transform.resize == 256


def test_another_order_of_the_classes_is_noticed(run, tutorial, sample_set, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("Banana\nKiwi\nOrange\nApple\n", encoding="utf-8")
    code, out, _ = run("import", tutorial[0], "--data", sample_set, "--classes", names, "--out", tmp_path / "net")
    assert code == 0
    assert "Warning: the classes seem to be in another order" in out and "Apple is answered as Banana" in out


def test_pictures_enough_calibrate_it(run, tutorial, sample_set, tmp_path):
    data = tmp_path / "data"
    for name in CLASSES:
        for number in range(26):
            (data / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(sorted((sample_set / "Test" / name).iterdir())[number % 4], data / name / f"{number}.jpg")
    code, out, _ = run("import", tutorial[0], "--data", data, "--out", tmp_path / "net", "--json")
    told = json.loads(out)
    assert code == 0 and told["calibrated"] and told["temperature"] != 1
    assert "104 pictures that it may have been trained on" in (tmp_path / "net" / "README.md").read_text(encoding="utf-8")


def test_a_number_of_names_that_is_not_the_heads_is_said_with_both(run, tutorial, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("Apple\nBanana\nKiwi", encoding="utf-8")
    code, _, err = run("import", tutorial[0], "--classes", names, "--out", tmp_path / "net")
    assert code == 1 and "4 outputs" in err and "names.txt names 3 classes" in err
    code, _, err = run("import", tutorial[0], "--out", tmp_path / "net")
    assert code == 2 and "--data DIR" in err and "--classes" in err
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    "options", [("--crop", "300"), ("--mean", "123,116,103"), ("--std", "0,0,0"), ("--mean", "a,b,c"), ("--resize", "4"), ("--std", "0.5")]
)
def test_a_preparation_that_cannot_be_is_refused(run, tutorial, sample_set, tmp_path, options):
    code, _, err = run("import", tutorial[0], "--data", sample_set, "--out", tmp_path / "net", *options)
    assert code == 2 and "Pictures cannot be prepared this way" in err and not (tmp_path / "net").exists()


def test_another_preparation_is_kept(run, tutorial, sample_set, tmp_path):
    options = ("--resize", "160", "--crop", "144", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--interpolation", "bicubic")
    assert run("import", tutorial[0], "--data", sample_set, "--out", tmp_path / "net", *options)[0] == 0
    picture = photograph((320, 240))
    steps = [transforms.Resize(160, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(144), transforms.ToTensor()]
    steps.append(transforms.Normalize([0.5] * 3, [0.5] * 3))
    with torch.inference_mode():
        expected = tutorial[1](transforms.Compose(steps)(picture)[None]).softmax(dim=1)[0].numpy()
    np.testing.assert_allclose(fruitvision.load(tmp_path / "net").probabilities([picture])[0], expected, atol=2e-2)


def test_nothing_but_an_imported_checkpoint_is_replaced(run, tutorial, sample_set, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years", encoding="utf-8")
    code, _, err = run("import", tutorial[0], "--data", sample_set, "--out", tmp_path / "mine")
    assert code == 1 and "--out DIR" in err and (tmp_path / "mine" / "thesis.txt").exists()
    for _ in range(2):
        assert run("import", tutorial[0], "--data", sample_set, "--out", tmp_path / "net")[0] == 0


# A file of weights in place of a checkpoint folder -------------------------------------------------------------------


def test_wherever_a_checkpoint_is_taken_a_file_of_weights_is_answered_with_the_command_that_imports_it(run, tutorial, sample_set, tmp_path):
    path = tutorial[0]
    command = f"python -m fruitvision import {path} --data DIR"
    out = tmp_path / "out"
    for words in (
        ("predict", tmp_path / "x.jpg", "--checkpoint", path),
        ("evaluate", "--data", sample_set, "--checkpoint", path),
        ("export", "--data", sample_set, "--checkpoint", path, "--out", out),
        ("teach-benchmark", "--data", sample_set, "--checkpoint", path),
        ("app", "--no-browser", "--checkpoint", path),
        ("train", "--run", out, "--data", sample_set, "--set", f"start={path}"),
        ("train", "--run", out, "--data", sample_set, "--set", f"teacher={path}", *TINY, "start=scratch"),
        ("compare", "--out", out, "--data", sample_set, "--set", f"start={path}"),
    ):
        code, _, err = run(*words)
        assert code == 1 and command in err, (words, err)
        assert not out.exists(), words
    for load in (fruitvision.load, load_checkpoint, lambda given: Models(tmp_path, given)):
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert caught.value.code == "checkpoint-weights-file" and is_worded(caught.value)


def test_a_folder_of_the_hub_is_answered_so_too(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "resnet18", "num_classes": 3}', encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        fruitvision.load(tmp_path)
    assert caught.value.code == "checkpoint-weights-file"


@pytest.mark.parametrize(
    "settings",
    [
        {"start": "no such folder"},
        {"start": "{imported}", "norm": "group"},
        {"start": "{imported}", "width": 32},
        {"start": "scratch", "teacher": "no such folder"},
        {"start": "scratch", "teacher": "{few}"},
        {"start": "scratch", "average_with": "no such folder"},
        {"start": "scratch", "average_with": "{imported}", "norm": "group"},
    ],
)
def test_a_run_whose_networks_would_fail_it_is_never_made(run, imported, sample_set, tmp_path, settings):
    few = tmp_path / "few"
    names = tmp_path / "names.json"
    names.write_text(json.dumps(["Plum", "Banana", "Kiwi", "Orange"]), encoding="utf-8")
    if "{few}" in settings.values():
        torch.save(FruitsClassifier().state_dict(), tmp_path / "few.pth")
        assert run("import", tmp_path / "few.pth", "--classes", names, "--out", few)[0] == 0
    given = [f"{name}={str(value).format(imported=imported, few=few)}" for name, value in settings.items()]
    words = [word for one in given for word in ("--set", one)]
    code, _, err = run("train", "--run", tmp_path / "run", "--data", sample_set, *words)
    assert code in (1, 2) and err.startswith("Error: ") and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_study_to_calibrate_on_is_looked_for_before_a_run_is_made(run, sample_set, tmp_path):
    code, _, err = run("train", "--run", tmp_path / "run", "--data", sample_set, "--set", "start=scratch", "--study", tmp_path / "no")
    assert code == 1 and err.startswith("Error: ") and not (tmp_path / "run").exists()


# What comes of it ----------------------------------------------------------------------------------------------------


def test_training_starts_from_it(run, imported, sample_set, tmp_path):
    words = [word for one in [*TINY, f"start={imported}", "max_train_images=8"] for word in ("--set", one)]
    code, out, err = run("train", "--run", tmp_path / "run", "--data", sample_set, *words, "--json")
    assert (code, err) == (0, "") and json.loads(out)["state"] == "finished"
    assert load_checkpoint(tmp_path / "run" / "best")[1].start == str(imported)


def test_a_run_may_start_from_it_as_the_panel_checks(imported, sample_set):
    training = TrainConfig.from_preset("plain", start=str(imported))
    assert check_run(RunConfig(data=str(sample_set), training=training)).files


def test_the_panels_offer_it(imported, sample_set):
    known = Models(imported.parent)
    assert ("fruits (imported)", "imported:fruits") in known.choices("en")
    assert ("fruits（导入）", "imported:fruits") in known.choices("zh")
    assert known.folder("imported:fruits") == imported
    assert known.batcher("imported:fruits").submit(next((sample_set / "Test" / "Kiwi").iterdir())).label == "Kiwi"
    for unknown in ("imported:../fruits", f"imported:{imported}", "imported:"):
        with pytest.raises(CheckpointError):
            known.folder(unknown)
