"""Batch norm's accuracy with other statistics than its running ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fruitvision.comparison.bn_statistics import record_test_statistics
from fruitvision.comparison.results import RECORD, table
from fruitvision.comparison.runner import run_study
from fruitvision.comparison.study import StudyFolder, StudyPlan
from fruitvision.data.synthetic.sample import draw_sample
from fruitvision.models.checkpoint import load_checkpoint, save_checkpoint

TINY = {"width": 8, "image_size": 40, "epochs": 4}


def test_a_last_batch_of_one_picture_is_left_out(tmp_path):
    """Feature maps of 1×1 have no variance in a batch of one: torch raises an error."""
    data = draw_sample(tmp_path / "data", train_per_class=12, test_per_class=11, classes=("Apple", "Banana", "Kiwi"))  # 33 are tested
    settings = {**TINY, "image_size": 32, "epochs": 1}
    plan = StudyPlan.parse({"data": str(data), "norms": ("batch", "group"), "batch_sizes": (8,), "training": settings})
    assert run_study(plan, tmp_path / "study").state == "finished"
    assert table(tmp_path / "study").set_index("norm").loc["batch", ["batch_accuracy", "recomputed_accuracy"]].between(0, 1).all()


def test_spoiled_running_averages_are_recovered_without_changing_a_weight(tmp_path, sample_set):
    plan = StudyPlan.parse({"data": str(sample_set), "norms": ("batch", "group"), "batch_sizes": (8,), "training": TINY})
    run_study(plan, tmp_path / "study")
    study, (batch, group) = StudyFolder(tmp_path / "study"), plan.trials()
    rows = table(study.path).set_index("norm")
    assert rows.loc["batch", ["batch_accuracy", "recomputed_accuracy"]].between(0, 1).all()
    assert rows.loc["group", ["batch_accuracy", "recomputed_accuracy"]].isna().all()
    run = study.run(batch)
    assert len(run.metrics(RECORD)) == 1 and not study.run(group).metrics(RECORD)
    record_test_statistics(run)
    assert len(run.metrics(RECORD)) == 1  # once a run

    network, config = load_checkpoint(run.last)
    first, weights = run.metrics(RECORD)[0], {name: value.clone() for name, value in network.named_parameters()}
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(9.0)
    save_checkpoint(run.last, network, config)
    lines = run.metrics_file.read_text(encoding="utf-8").splitlines()
    run.metrics_file.write_text("".join(line + "\n" for line in lines if RECORD not in line), encoding="utf-8")
    record_test_statistics(run)
    assert run.metrics(RECORD)[0] == first  # neither depends on the running averages
    kept = load_checkpoint(run.last)[0]
    assert all(torch.equal(value, weights[name]) for name, value in kept.named_parameters())


def test_what_a_killed_study_had_not_measured_is_measured_when_it_goes_on(tmp_path, sample_set, monkeypatch):
    plan = StudyPlan.parse({"data": str(sample_set), "norms": ("batch", "group"), "batch_sizes": (8,), "training": {**TINY, "epochs": 1}})
    with monkeypatch.context() as killed:
        killed.setattr("fruitvision.comparison.runner.record_test_statistics", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_study(plan, tmp_path / "study")
    assert not StudyFolder(tmp_path / "study").run(plan.trials()[0]).metrics(RECORD)
    assert run_study(plan, tmp_path / "study").state == "finished"
    assert table(tmp_path / "study").set_index("norm").loc["batch", ["batch_accuracy", "recomputed_accuracy"]].between(0, 1).all()
