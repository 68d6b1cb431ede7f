"""Models are loaded once, beside those that answer, and visitors who switch between them keep nobody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from fruitvision.errors import CheckpointError
from fruitvision.ui.page import models as module
from fruitvision.ui.page.models import MAX_LOADED, Models
from fruitvision.ui.server.access import CALLER, Caller

ANN = Caller(False, "203.0.113.5", "ann")


class Loader:
    """Stands for a network: slow to load, and counted."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.closed: list[str] = []
        self.slow = threading.Event()
        self.slow.set()

    def from_checkpoint(self, folder: Path, **how: bool) -> SimpleNamespace:
        self.loaded.append(folder.name)
        assert self.slow.wait(10)
        return SimpleNamespace(name=folder.name)

    def batcher(self, classifier: SimpleNamespace, openvino: bool) -> SimpleNamespace:
        return SimpleNamespace(classifier=classifier, close=lambda: self.closed.append(classifier.name))


@pytest.fixture
def loader(monkeypatch) -> Loader:
    made = Loader()
    monkeypatch.setattr("fruitvision.recognition.classifier.Classifier", made)
    monkeypatch.setattr("fruitvision.recognition.batcher.Batcher", made.batcher)
    return made


@pytest.fixture
def models(tmp_path, loader, monkeypatch) -> Models:
    folders = {f"shipped:{n}": tmp_path / str(n) for n in range(10)}
    shelf = Models(tmp_path)
    monkeypatch.setattr(Models, "default", "shipped:0")
    monkeypatch.setattr(Models, "folder", lambda self, model_id: folders[model_id or "shipped:0"])
    return shelf


@contextmanager
def called_by(caller: Caller) -> Iterator[None]:
    token = CALLER.set(caller)
    try:
        yield
    finally:
        CALLER.reset(token)


def test_what_is_loaded_answers_while_another_one_is_loaded(models, loader):
    models.batcher("shipped:0")
    loader.slow.clear()
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(models.batcher, "shipped:1") for _ in range(3)]
        while len(loader.loaded) < 2:
            time.sleep(0.01)
        started = time.monotonic()
        assert models.batcher("shipped:0").classifier.name == "0" and time.monotonic() - started < 1
        loader.slow.set()
        assert {other.result(10).classifier.name for other in others} == {"1"}
    assert loader.loaded == ["0", "1"], "once each"


def test_a_visitor_who_switches_between_models_is_told_to_wait(models, loader, monkeypatch):
    monkeypatch.setattr(module, "LOAD_SECONDS", 0.3)
    with called_by(ANN):
        models.batcher("shipped:0")
        models.batcher("shipped:1")
        with pytest.raises(CheckpointError) as caught:
            models.batcher("shipped:2")
        assert caught.value.code == "model-busy" and models.batcher("shipped:1")
        time.sleep(0.35)
        models.batcher("shipped:2")
    models.batcher("shipped:3")  # the owner need not wait
    assert loader.loaded == ["0", "1", "2", "3"]


def test_visitors_push_out_neither_the_default_nor_the_owners_model(models, loader, monkeypatch):
    monkeypatch.setattr(module, "LOAD_SECONDS", 0.0)
    models.batcher("shipped:0")
    models.batcher("shipped:9")
    with called_by(ANN):
        for number in range(1, 9):
            models.batcher(f"shipped:{number}")
    assert len(models._loaded) == MAX_LOADED and not {"0", "9"} & set(loader.closed)
    assert loader.closed == [str(number) for number in range(1, 7)]


def test_a_model_that_cannot_be_loaded_is_tried_again(models, loader, monkeypatch):
    def broken(folder: Path, **how: bool) -> None:
        raise CheckpointError("model-gone")

    monkeypatch.setattr(loader, "from_checkpoint", broken)
    for _ in range(2):
        with pytest.raises(CheckpointError):
            models.batcher("shipped:1")
    assert not models._loading
