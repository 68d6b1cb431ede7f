"""The page for visitors' browsers: when the app makes one, that it is kept, and what is said where it cannot be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.errors import DownloadError, UsageError
from fruitvision.models.checkpoint import CheckpointConfig, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.ui import device
from fruitvision.ui.device import AUTO, MAX_KEPT, device_html, device_page, load_page, make_page
from fruitvision.web import export, runtime
from fruitvision.web.device_page import DevicePage
from fruitvision.web.network import WebNetwork


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and exports in this process, of a network and a runtime that are none: tests/browser makes a real one."""
    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("fruitvision.models.find_spec", lambda name: name)
    monkeypatch.setattr(device, "call_in_subprocess", lambda function, *given: function(*given, None))
    monkeypatch.setattr("fruitvision.web.network.web_network", lambda *_: WebNetwork(b"network", 8, 1, 0.0, 1.0, (0.0, 0.0)))
    monkeypatch.setattr(export, "runtime_files", lambda *_, **__: {name: b"x" for name in list(export.RUNTIME)[:3]})
    return tmp_path / "cache" / "pages"


def checkpoint(folder: Path, name: str = "mine", types: tuple[str, ...] = ("Apple", "Banana")) -> Path:
    config = CheckpointConfig(width=8, classes=types, fruit_types=types, transform=EvalTransform(resize=64, crop=64))
    return save_checkpoint(folder / name, build_network(num_classes=len(types), width=8), config)


def kept(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.is_dir()}


def test_a_page_is_made_by_default_where_a_link_is_shared_and_can_be_switched_off(tmp_path):
    for wanted, share, page in ((None, True, True), (None, False, False), ("none", True, False), (AUTO, False, True)):
        found = device_page(wanted, share=share)
        assert (found is not None) == page and not (found and found.ready)
    with pytest.raises(UsageError) as caught:
        device_page(tmp_path, share=True)
    assert caught.value.code == "not-a-page"


def test_it_is_made_once_for_a_checkpoint_and_the_last_ones_are_kept(tmp_path, cache, monkeypatch, capsys):
    page, own = DevicePage(), checkpoint(tmp_path)
    make_page(page, lambda: own, "en").join(60)
    assert page.ready and page.has_file("/device/model.json") and "own browsers" in capsys.readouterr().out
    first = kept(cache)
    with monkeypatch.context() as patch:
        patch.setattr(device, "_export", None)
        load_page(again := DevicePage(), own)
    assert again.ready and len(first) == 1
    for n in range(MAX_KEPT):
        (cache / ".half.999999999.new").mkdir()
        load_page(DevicePage(), checkpoint(tmp_path, types=("Apple", *(f"Kiwi {one}" for one in range(n + 1)))))
    assert len(kept(cache)) == MAX_KEPT and not first & kept(cache) and ".half.999999999.new" not in kept(cache)


@pytest.mark.parametrize(("language", "words"), [("en", "could not be made"), ("zh", "无法生成")])
def test_without_the_packages_one_line_says_what_to_install_and_nothing_is_fetched(tmp_path, cache, monkeypatch, capsys, language, words):
    monkeypatch.setattr("fruitvision.models.find_spec", lambda name: None if name == "onnxscript" else name)
    monkeypatch.setattr(export, "runtime_files", lambda *_, **__: pytest.fail("fetched"))
    make_page(page := DevicePage(), lambda: checkpoint(tmp_path), language).join(60)
    (line,) = capsys.readouterr().out.splitlines()
    assert words in line and "python -m pip install onnx onnxscript onnxruntime" in line and not page.ready and not kept(cache)


def test_without_internet_one_line_says_how_to_bring_the_runtime(tmp_path, cache, monkeypatch, capsys):
    def refuse(url, *given, **named):
        raise DownloadError("download-offline", url=url, host="registry.npmjs.org", reason="no route", file="package.tgz")

    monkeypatch.setattr(export, "runtime_files", runtime.runtime_files)
    monkeypatch.setattr(runtime, "fetch", refuse)
    make_page(page := DevicePage(), lambda: checkpoint(tmp_path), "en").join(60)
    (line,) = capsys.readouterr().out.splitlines()
    assert "npm pack onnxruntime-web@" in line and "--device DIR" in line and not page.ready and not kept(cache)


@pytest.mark.parametrize(("language", "words"), [("en", "Answer on this device"), ("zh", "在本设备上识别")])
def test_the_headers_link_is_relative_for_proxies(language, words):
    link = device_html(language)
    assert words in link and 'href="device/?app"' in link
