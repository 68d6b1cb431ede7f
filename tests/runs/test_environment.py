"""What a run was made with stands beside it; a network too large for the memory is answered with one that fits."""

from __future__ import annotations

import json
import subprocess

import pytest
import torch

from fruitvision.errors import TrainingError
from fruitvision.models.networks import ResNet18
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.environment import git_commit
from fruitvision.runs.job.loop import execute


def test_versions_commit_device_and_data_stand_in_the_run_folder(tmp_path, tiny, project):
    run = RunFolder(tmp_path / "runs" / "a").create(tiny(epochs=1, device="cpu"))
    execute(run.path)
    known = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))
    assert known["versions"]["torch"] == torch.__version__ and known["device"] == "cpu" and known["processes"] == 1
    assert len(known["fingerprint"]) == 64 and "train --run RUN" in known["command"]
    if (project / ".git").exists():
        assert len(known["git"]["commit"]) == 40 and known["git"]["changed"] in (True, False)


def test_code_outside_git_has_no_commit(tmp_path):
    assert git_commit(tmp_path) is None or subprocess.run(["git", "-C", str(tmp_path), "rev-parse"]).returncode == 0


@pytest.mark.parametrize(("most", "code"), [(3, "out-of-memory"), (0, "out-of-memory-at-all")])
def test_too_large_a_batch_is_answered_with_one_that_fits(tmp_path, tiny, monkeypatch, most, code):
    forward = ResNet18.forward

    def small(network, x):
        if network.training and len(x) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(network, x)

    monkeypatch.setattr(ResNet18, "forward", small)
    run = RunFolder(tmp_path / "runs" / "a").create(tiny(epochs=1))
    with pytest.raises(TrainingError) as caught:
        execute(run.path)
    assert caught.value.code == code and run.status().state == "failed"
    if most:
        assert (caught.value.facts["fits"], caught.value.facts["accumulate"]) == (2, 4)
        assert "batch_size=2 fits" in str(caught.value)
