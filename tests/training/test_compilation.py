"""torch.compile is an option: the same network under the same names, exact when resumed, and no error where it is lacking.

The code is traced by torch's compiler and run as it is (its backend "eager"): generating it takes minutes.
"""

from __future__ import annotations

import pytest
import torch

from fruitvision.data.synthetic.sample import draw_sample
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.training import device
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import compile_error
from fruitvision.training.engine import StepDone

TINY = {"start": "scratch", "width": 8, "image_size": 32, "first_image_size": 32, "batch_size": 8, "epochs": 2, "ema": 0.9}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_sample(tmp_path_factory.mktemp("data") / "set", train_per_class=6, test_per_class=2, size=32, classes=("Apple", "Kiwi"))


def begun(folder, pictures, **settings) -> RunFolder:
    config = TrainConfig.from_preset("fast", **{**TINY, **settings})
    return RunFolder(folder / "run").create(RunConfig(data=str(pictures), training=config))


def test_a_compiled_run_is_the_plain_one_under_the_same_names_and_goes_on_to_the_bit(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "BACKEND", "eager")
    called = []
    original = device.torch.compile
    monkeypatch.setattr(device.torch, "compile", lambda *given, **how: called.append(given[0]) or original(*given, **how))
    plain, whole, parts = (begun(tmp_path / name, pictures, compile=name != "plain") for name in ("plain", "whole", "parts"))
    execute(plain.path)
    assert not called
    execute(whole.path)
    execute(parts.path, on_event=lambda event: parts.request_stop() if isinstance(event, StepDone) else None)
    assert parts.status().state == "stopped" and execute(parts.path).state == "finished"
    assert sum(isinstance(one, torch.nn.Module) for one in called) == 3 and "the network is compiled" in whole.log_tail()
    expected, *others = (load_checkpoint(run.last)[0].state_dict() for run in (plain, whole, parts))
    for found in others:
        assert found.keys() == expected.keys() and all(torch.equal(found[name], value) for name, value in expected.items())
    saved = torch.load(whole.resume_file, weights_only=True)
    assert not [name for name in (*saved["network"], *saved["averaged"]) if "_orig_mod" in name]


def test_without_a_compiler_training_goes_on_and_says_so(pictures, tmp_path, monkeypatch):
    def no_compiler(graph, inputs):
        raise RuntimeError("Compiler: cl is not found.\nand much more")

    monkeypatch.setattr(device, "BACKEND", no_compiler)
    assert "cl is not found" in compile_error(torch.device("cpu"))
    run = begun(tmp_path, pictures, compile=True, epochs=1)
    assert execute(run.path).state == "finished"
    assert "torch.compile does not work here" in run.log_tail()
