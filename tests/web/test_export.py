"""The exported folder: what lies in it, what is refused, and that nothing is left where it fails."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import CheckpointError, DataError
from fruitvision.models.checkpoint import CheckpointConfig, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.web import export, network, runtime
from fruitvision.web.export import export_web
from fruitvision.web.network import WebNetwork, Weights, open_session, reference_picture, web_network
from fruitvision.web.runtime import FILES, runtime_files

CLASSES = ("Apple Red", "Banana", "Kiwi", "not-fruit")
PICTURES = [np.asarray(draw_fruit(kind, np.random.default_rng(n), 64)) for n, kind in enumerate(("Apple", "Banana", "Kiwi") * 2)]


@pytest.fixture(scope="module")
def made() -> dict[Weights, WebNetwork]:
    """One small network, exported both ways."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    return {weights: web_network(*small(), PICTURES, weights) for weights in get_args(Weights)}


def small(norm: str = "batch") -> tuple[torch.nn.Module, CheckpointConfig]:
    torch.manual_seed(0)
    types = ("Apple", "Banana", "Kiwi", "not-fruit")
    config = CheckpointConfig(width=16, norm=norm, classes=CLASSES, fruit_types=types, transform=EvalTransform(resize=72, crop=64))
    return build_network(num_classes=len(CLASSES), norm=norm, width=16).eval(), config


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "runs" / "mine" / "best", *small())


@pytest.fixture
def given(made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network as it was exported, which takes seconds, and a runtime that is not one: neither is looked into here."""
    monkeypatch.setattr("fruitvision.web.network.web_network", lambda network, config, pictures, weights: made[weights])
    names = [file.name for file in FILES]
    monkeypatch.setattr(export, "runtime_files", lambda *_, **__: {name: b"x\n//# sourceMappingURL=x.map" for name in names[:3]})


@pytest.mark.parametrize("weights", ["int8", "float32"])
def test_the_file_gives_torchs_logits_features_maps_at_two_sizes_and_the_head(made, weights) -> None:
    made = made[weights]
    session, (net, config) = open_session(made.content), small()
    assert made.zoom == 2 and made.features == 128
    for zoom in (1, 2):
        batch = config.transform.enlarged(zoom).batch(PICTURES[:2]).contiguous()
        with torch.inference_mode():
            expected = net(batch)
        logits, features, maps, head = session.run(["logits", "features", "maps", "head"], {"image": batch.numpy()})
        within = 1e-3 if weights == "float32" else 0.1
        for found, wanted in ((logits, expected.logits), (features, expected.features), (maps, expected.maps), (head, net.head.weight)):
            np.testing.assert_allclose(found, wanted.detach().numpy(), atol=within * max(1.0, float(wanted.detach().abs().max())))
    known = session.run(["logits"], {"image": reference_picture(config.transform)})[0][0]
    np.testing.assert_allclose(made.reference, known, atol=1e-4)


def test_int8_is_a_third_of_the_size(made) -> None:
    assert len(made["int8"].content) < 0.35 * len(made["float32"].content)


@pytest.mark.slow
def test_a_file_that_answers_otherwise_is_not_written(checkpoint, made, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(export, "runtime_files", lambda *_, **__: {})
    monkeypatch.setattr(network, "_quantize", _break)
    with pytest.raises(CheckpointError, match="--weights float32") as caught:
        export_web(checkpoint, tmp_path / "site")
    assert caught.value.code == "web-differs" and not (tmp_path / "site").exists()


def _break(model) -> None:
    """Turn the last layer's weights round."""
    from onnx import numpy_helper

    last = next(node for node in model.graph.node if "logits" in node.output).input[1]
    held = next(one for one in model.graph.initializer if one.name == last)
    held.CopyFrom(numpy_helper.from_array(-100 * numpy_helper.to_array(held), last))


def test_the_folder_is_complete_names_nothing_from_elsewhere_and_says_what_it_is(checkpoint, given, tmp_path) -> None:
    out = export_web(checkpoint, tmp_path / "site").folder
    worker = (out / "sw.js").read_text(encoding="utf-8")
    kept = json.loads(re.search(r"FILES = (\[.*?\])", worker)[1])
    held = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(kept) - {"./"} <= held and {"network.onnx.gz", "js/app.js", "recognition/worker.js", "runtime/ort-wasm.wasm.gz"} <= set(kept)
    model = json.loads((out / "model.json").read_text(encoding="utf-8"))
    assert model["version"] in worker and model["name"] == "mine" and model["chinese"]["Banana"] == "香蕉"
    assert set(model["words"]) == {"en", "zh"} and model["words"]["zh"].keys() == model["words"]["en"].keys()
    assert gzip.decompress((out / "network.onnx.gz").read_bytes())[:1]
    for path in out.rglob("*"):
        if path.suffix in (".js", ".html", ".css", ".webmanifest"):
            text = path.read_text(encoding="utf-8")
            assert "sourceMappingURL" not in text and "http://" not in text and "https://" not in text, path.name


def test_every_sentence_that_the_page_says_is_in_its_description(checkpoint, given, tmp_path) -> None:
    out = export_web(checkpoint, tmp_path / "site").folder
    known = json.loads((out / "model.json").read_text(encoding="utf-8"))["words"]["en"]
    text = "".join(path.read_text(encoding="utf-8") for path in [out / "index.html", *out.glob("js/*.js")])
    said = set(re.findall(r"\"((?:web|classify|teach|header|errors)\.[\w.-]+)\"", text))
    assert len(said) > 40 and said - set(known) == set()
    codes = set(re.findall(r"\"(picture-[\w-]+)\"", (out / "recognition" / "picture.js").read_text(encoding="utf-8")))
    assert codes and {f"errors.{code}" for code in codes} <= set(known)


def test_any_change_makes_another_version_and_an_export_replaces_the_one_before(checkpoint, given, tmp_path) -> None:
    def version() -> str:
        return json.loads((tmp_path / "site" / "model.json").read_text(encoding="utf-8"))["version"]

    export_web(checkpoint, tmp_path / "site")
    first = version()
    (tmp_path / "site" / "left.txt").write_text("over", encoding="utf-8")
    export_web(checkpoint, tmp_path / "site", name="another")
    assert version() != first and not (tmp_path / "site" / "left.txt").exists()
    assert [path.name for path in tmp_path.iterdir() if "site" in path.name] == ["site"]


def test_a_folder_of_other_files_and_a_file_are_left_alone(checkpoint, given, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"x")
    for out in (tmp_path / "mine", tmp_path / "mine" / "photo.jpg"):
        with pytest.raises(DataError) as caught:
            export_web(checkpoint, out)
        assert caught.value.code == "web-out-foreign"
    assert (tmp_path / "mine" / "photo.jpg").read_bytes() == b"x"


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as package:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
    return path


def test_a_runtime_is_taken_from_a_package_or_a_folder_and_another_one_is_refused(tmp_path, monkeypatch) -> None:
    import hashlib

    contents = {file.name: file.name.encode() for file in FILES}
    pinned = tuple(file._replace(sha256=hashlib.sha256(contents[file.name]).hexdigest()) for file in FILES)
    monkeypatch.setattr(runtime, "FILES", pinned)
    whole = packed(tmp_path / "whole.tgz", contents)
    assert set(runtime_files(whole)) == {file.name for file in FILES if not file.webgpu}
    assert runtime_files(whole, webgpu=True) == contents
    folder = tmp_path / "node_modules" / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    assert runtime_files(tmp_path, webgpu=True) == contents
    other = packed(tmp_path / "other.tgz", {**contents, FILES[2].name: b"changed"})
    (tmp_path / "no.tgz").write_bytes(b"no archive")
    for source in (other, tmp_path / "no.tgz", tmp_path / "nothing"):
        with pytest.raises(DataError, match="npm pack") as caught:
            runtime_files(source)
        assert caught.value.code == "web-runtime-other"
