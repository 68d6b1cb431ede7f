"""torchvision can be imported beside any torch, an install that works is left as it is, and OpenVINO reports to nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from fruitvision import compat
from fruitvision.compat import WORKER_DIED, prepacked_conv2d, prepacked_conv2d_weight


def python(code: str, *, path: Path | None = None, project: Path) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter in which every warning is an error; ``path`` comes first on sys.path."""
    folders = os.pathsep.join(str(folder) for folder in (path, project) if folder)
    environment = {**os.environ, "PYTHONPATH": folders}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120)


def fake_torchvision(folder: Path, *, init: str) -> Path:
    """A package called torchvision whose import runs ``init``."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(init, encoding="utf-8")
    (package / "extension.py").write_text("", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_the_installed_torchvision_builds_a_network_and_transforms_a_picture(project):
    result = python(
        """
from fruitvision.compat import import_torchvision
torchvision = import_torchvision()
assert import_torchvision() is torchvision

import torch
from torchvision.models import resnet18
from torchvision.transforms import v2
picture = v2.Resize(32)(torch.zeros(3, 40, 50, dtype=torch.uint8))
print(tuple(picture.shape), tuple(resnet18(num_classes=3).eval()(torch.zeros(1, 3, 32, 32)).shape))
""",
        project=project,
    )
    assert (result.stdout.strip(), result.stderr) == ("(3, 32, 40) (1, 3)", "")


def test_a_torchvision_that_loads_is_not_touched(project, tmp_path):
    folder = fake_torchvision(tmp_path, init="from . import extension")
    result = python(
        """
from fruitvision import compat
print(compat.import_torchvision().__name__, compat._declared)
""",
        path=folder,
        project=project,
    )
    assert (result.stdout.strip(), result.stderr) == ("torchvision []", "")


def test_operators_that_cannot_be_loaded_are_named_and_the_import_is_done_afresh(project, tmp_path):
    init = """
from . import extension
import torch, torchvision.extension
torchvision.extension  # an attribute of the package only when the submodule is imported anew
for name in ("nms", "qnms"):
    @torch.library.register_fake(f"torchvision::{name}")
    def describe(dets, scores, iou_threshold):
        return dets
"""
    result = python(
        "from fruitvision.compat import import_torchvision; print(import_torchvision().extension.__name__)",
        path=fake_torchvision(tmp_path, init=init),
        project=project,
    )
    assert (result.stdout.strip(), result.stderr) == ("torchvision.extension", "")


def test_another_failure_is_not_hidden(project, tmp_path):
    folder = fake_torchvision(tmp_path, init='raise RuntimeError("compiled for another CUDA")')
    result = python("import fruitvision.compat as compat; compat.import_torchvision()", path=folder, project=project)
    assert result.returncode == 1
    assert "RuntimeError: compiled for another CUDA" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_openvino_reports_to_nobody_that_it_is_used(project):
    result = python(
        """
import sys
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith(("socket.", "subprocess.")) else None)
import fruitvision
fruitvision.load().use_openvino()
print("openvino" in sys.modules, seen)
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__, "openvino_telemetry" in sys.modules)
""",
        project=project,
    )
    assert (result.stdout.split("\n")[:2], result.stderr) == (["True []", "openvino.tools.ovc.telemetry_stub False"], "")


@pytest.mark.parametrize(("activation", "bounds"), [("none", []), ("relu", []), ("hardtanh", [0.0, 6.0])])
def test_torch_2_13_convolves_with_prepacked_weights(activation, bounds):
    import torch

    conv, x = torch.nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), 4 * torch.randn(2, 4, 15, 15)
    arguments = ([1, 1], [2, 2], [1, 1], 2)
    with torch.inference_mode():
        expected = {"none": lambda y: y, "relu": torch.relu, "hardtanh": lambda y: y.clamp(0, 6)}[activation](conv(x))
        weight = prepacked_conv2d_weight(conv.weight, *arguments, list(x.shape))
        found = prepacked_conv2d(x, weight, conv.bias, *arguments, activation, bounds)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_torch_2_13_says_that_a_worker_of_its_dataloader_died():
    from torch.utils.data import DataLoader

    with pytest.raises(RuntimeError) as caught:
        list(DataLoader(Deadly(), num_workers=1))
    assert any(words in str(caught.value) for words in WORKER_DIED)


class Deadly:
    """Ends the process that asks for an item."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_a_closed_console_of_windows_is_heard_and_ctrl_c_left_to_python(monkeypatch):
    given, closed = [], []
    kernel = SimpleNamespace(SetConsoleCtrlHandler=lambda handler, add: given.append(handler) or add)
    monkeypatch.setattr(compat.ctypes, "WINFUNCTYPE", lambda *kinds: lambda function: function, raising=False)
    monkeypatch.setattr(compat.ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(compat.sys, "platform", "win32")
    assert compat.on_console_close(lambda: closed.append(True))
    assert [given[0](event) for event in (0, 1, 2, 5, 6)] == [False, False, True, True, True] and len(closed) == 3
