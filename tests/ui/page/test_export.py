"""Networks as files to download: what is in them, and that nothing is left where it fails or once the app ends."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.read.picture import load_pixels
from fruitvision.data.synthetic.fruit import KINDS
from fruitvision.errors import CheckpointError, DataError, DownloadError
from fruitvision.models.checkpoint import CheckpointConfig, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.ui.page import downloads
from fruitvision.ui.page.export import files
from fruitvision.web import export, runtime
from fruitvision.web.network import WebNetwork
from fruitvision.wording.text import say_error


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    names = ("Apple", "Banana")
    config = CheckpointConfig(width=8, classes=names, fruit_types=names, transform=EvalTransform(resize=64, crop=64))
    return save_checkpoint(tmp_path / "best", build_network(num_classes=2, width=8), config)


def left(tmp_path: Path) -> list[str]:
    """The files and folders in the folder of downloads."""
    root = tmp_path / "gradio" / "fruitvision-downloads"
    return [path.relative_to(root).as_posix() for path in root.rglob("*")] if root.exists() else []


def test_an_onnx_file_is_compared_on_drawn_fruit_of_which_nothing_stays(checkpoint, tmp_path, monkeypatch):
    """That the file is one is tested in tests/models/onnx/test_export.py; making it takes seconds."""
    compared = []

    def write(network, config, pictures, out):
        compared.extend(len(load_pixels(path)) for path in pictures)
        out.write_bytes(b"onnx")

    monkeypatch.setattr("fruitvision.models.onnx.export.export_onnx", write)
    path = downloads.download_path("苹果 3", "onnx", fallback="x")
    files._onnx(checkpoint, path, "苹果 3", lambda *_: None)
    assert path.name == "苹果-3.onnx" and compared == [256] * len(KINDS)
    assert len(left(tmp_path)) == 2, "the file in its folder"
    downloads.clear_downloads()
    assert not left(tmp_path)


def test_a_page_of_its_own_is_one_folder_in_a_zip_file(checkpoint, tmp_path, monkeypatch):
    made = WebNetwork(b"network", 8, 1, 0.0, 1.0, (0.0, 0.0))
    monkeypatch.setattr("fruitvision.web.network.web_network", lambda *_: made)
    monkeypatch.setattr(export, "runtime_files", lambda *_, **__: {name: b"x" for name in list(export.RUNTIME)[:3]})
    path = downloads.download_path("my fruit", "zip", fallback="x")
    files._page(checkpoint, path, "my fruit", lambda *_: None)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert {"my-fruit/index.html", "my-fruit/model.json", "my-fruit/sw.js", "my-fruit/network.onnx.gz"} <= set(names)
    assert all(name.startswith("my-fruit/") for name in names) and [path.name for path in path.parent.iterdir()] == [path.name]


def test_the_files_of_one_run_can_be_told_apart_by_their_names(checkpoint, monkeypatch):
    monkeypatch.setattr(files, "call_in_subprocess", lambda work, folder, out, name: out.write_bytes(b"x"))
    made = [files.zip_folder(checkpoint, "my run", fallback="x")]
    made += [files.export_file(checkpoint, "my run", kind, fallback="x") for kind in ("page", "onnx")]
    assert [path.name for path in made] == ["my-run-checkpoint.zip", "my-run-web-page.zip", "my-run.onnx"]
    with zipfile.ZipFile(made[0]) as archive:
        assert "my-run-checkpoint/config.json" in archive.namelist()
    assert files.zip_folder(checkpoint, "x" * 100, fallback="x").name.endswith("-checkpoint.zip"), "a long name hides it not"


def test_what_fails_or_is_too_large_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(DataError) as caught:
        patch.setattr(files, "MAX_BYTES", 1000)
        files.zip_folder(checkpoint, "mine", fallback="x")
    assert caught.value.code == "download-over-limit" and not left(tmp_path)
    (checkpoint / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError):
        files.export_file(checkpoint, "mine", "onnx", fallback="x")
    assert not left(tmp_path)


def test_without_internet_the_sentence_says_what_is_missing_and_how_to_bring_it(tmp_path, monkeypatch):
    def refuse(url, *given, **named):
        raise DownloadError("download-offline", url=url, host="registry.npmjs.org", reason="no route", file="package.tgz")

    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path))
    monkeypatch.setattr(runtime, "fetch", refuse)
    with pytest.raises(DownloadError) as caught:
        runtime.runtime_files()
    assert caught.value.code == "web-runtime-offline"
    assert "onnxruntime-web" in say_error(caught.value, "zh") and "internet" in say_error(caught.value, "en")
