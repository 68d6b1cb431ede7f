"""What the terminal says of this computer: a card that torch cannot use, and OpenVINO once."""

from __future__ import annotations

import sys

import pytest
import torch

from fruitvision.training import device
from fruitvision.training.device import UnusedCard, unused_card
from fruitvision.ui import announce


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """An nvidia-smi that says what a real one would of a card."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 4060'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_card_that_this_torch_cannot_use_is_said_with_the_line_that_helps(driver, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert unused_card() == UnusedCard("NVIDIA GeForce RTX 4060", torch.__version__, "cpu_build")
    (english,), (chinese,) = announce.hints("en"), announce.hints("zh")
    assert "RTX 4060" in english and "--index-url https://download.pytorch.org/whl/cu" in english
    assert "RTX 4060" in chinese and torch.__version__ in chinese
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert unused_card().reason == "old_driver" and "driver" in announce.hints("en")[0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # somebody hides it on purpose
    assert unused_card() is None


def test_a_computer_without_a_card_is_not_spoken_of(monkeypatch):
    monkeypatch.setattr(device.shutil, "which", lambda name: None)
    assert unused_card() is None


def test_openvino_is_recommended_once_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path))
    monkeypatch.setattr(device, "unused_card", lambda: None)
    monkeypatch.setattr(announce.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(announce, "find_spec", lambda name: name)
    assert announce.hints("en") == []
    monkeypatch.setattr(announce, "find_spec", lambda name: None)
    assert "pip install openvino" in announce.hints("en")[0] and announce.hints("en") == []
