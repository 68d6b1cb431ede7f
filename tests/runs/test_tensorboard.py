"""TensorBoard is an extra: written where it is installed, named where it is not."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from fruitvision.errors import TrainingError
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute


def test_without_it_the_error_says_what_to_install(tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = RunFolder(tmp_path / "runs" / "a").create(tiny(epochs=1, tensorboard=True))
    with pytest.raises(TrainingError) as caught:
        execute(run.path)
    assert caught.value.code == "tensorboard-missing" and "pip install tensorboard" in str(caught.value)
    assert run.status().state == "failed"


def test_with_it_every_step_and_epoch_is_written(tmp_path, tiny, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder, purge_step=None):
            written.append(("folder", folder.name, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            written.append(("closed",))

    stand_in = ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    run = RunFolder(tmp_path / "runs" / "a").create(tiny(epochs=2, tensorboard=True))
    execute(run.path)
    steps = [step for name, *_, step in (one for one in written if len(one) == 3) if name == "step/loss"]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) == len(run.metrics("step"))
    assert [step for name, _, step in (one for one in written if len(one) == 3) if name == "epoch/val_accuracy"] == [1, 2]
    assert written[-1] == ("closed",)
