"""A study of somebody else is shown as far as it can be read, and holds up nothing."""

from __future__ import annotations

import json
import os
import time

import pandas as pd
import pytest

from fruitvision.comparison.results import FIGURES, results
from fruitvision.comparison.study import MAX_TRIALS, StudyFolder, StudyPlan, list_studies
from fruitvision.errors import ConfigError, RunError
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.status import RunStatus
from tests.sentences import is_worded

PLAN = {"data": "x", "norms": ["batch", "group"], "seeds": [0]}
ODD = ("x", [1], {}, None, 10**400, float("inf"))


def study_of(root, values, name: str = "study") -> StudyFolder:
    study = StudyFolder(root / name)
    study.path.mkdir(exist_ok=True)
    (study.path / "study.json").write_text(values if isinstance(values, str) else json.dumps({**PLAN, **values}), encoding="utf-8")
    return study


@pytest.mark.parametrize(
    "values",
    [
        {"seeds": list(range(501))},
        {"batch_sizes": list(range(1, 34))},
        {"norms": ["batch", "no such norm"]},
        {"norms": ["batch"] * 1001},
        {"batch_sizes": [0]},
        {"batch_sizes": [-1], "rate_rule": "sqrt"},
        {"seeds": [-1]},
        {"seeds": [10**30]},
        {"training": {"epochs": 0}},
        {"training": {"preset": "fast"}},
        {"training": {"cls": 1}},
        {"training": {f"s{n}": 1 for n in range(1000)}},
        {"training": {"architecture": ["x"]}},
        {"name": "x" * 1001},
        {"norms": []},
        {"data": "x" * 2**16},
        "[" * 50_000,
        "{}",
        "\x00",
    ],
    ids=lambda values: str(values)[:40],
)
def test_one_that_cannot_be_trained_is_left_out(tmp_path, values):
    study_of(tmp_path, {}, "good")
    study = study_of(tmp_path, values)
    assert [own.id for own in list_studies(tmp_path)] == ["good"]
    with pytest.raises(RunError) as caught:
        results(study)
    assert caught.value.code == "study-missing"


def test_a_study_of_too_many_runs_is_said_before_it_is_made():
    with pytest.raises(ConfigError, match="1,002 runs") as caught:
        StudyPlan.parse({**PLAN, "seeds": tuple(range(501))})
    assert is_worded(caught.value)
    start = time.process_time()
    assert len(StudyPlan.parse({**PLAN, "seeds": tuple(range(500))}).trials()) == MAX_TRIALS
    assert time.process_time() - start < 5


def test_a_plan_is_read_again_when_it_changed_alone(tmp_path, monkeypatch):
    study = study_of(tmp_path, {"seeds": list(range(100))})
    os.utime(study.path / "study.json", (10**9, 10**9))
    assert len(study.plan().trials()) == 200
    with monkeypatch.context() as patch:
        patch.setattr(StudyPlan, "model_validate_json", None)
        assert list_studies(tmp_path)[0].plan().seeds == tuple(range(100))
    study_of(tmp_path, {"seeds": [7]})
    assert study.plan().seeds == (7,)


@pytest.mark.parametrize("odd", ODD, ids=lambda value: str(value)[:5])
def test_records_that_are_no_numbers_are_not_measured(tmp_path, odd):
    study = study_of(tmp_path, {})
    (study.path / "about.json").write_text(
        json.dumps({"measured_on": odd, "settings": odd, "shipped": True, "command": odd}), encoding="utf-8"
    )
    first, second = (RunFolder(study.run(trial).path).create(RunConfig(data="x")) for trial in study.plan().trials())
    for run in (first, second):
        run.write_status(RunStatus(state="finished"))
        good = {"val_accuracy": 0.5, "val_loss": 1.0, "seconds": 2.0, "images_per_s": 3.0, "grad_norm": 4.0, "train_loss": 5.0}
        records = [{"kind": "epoch", "epoch": 1, **good}, {"kind": "epoch", "epoch": 2, **dict.fromkeys(good, odd)}]
        records += [
            {"kind": kind, **more}
            for kind in ("test", "memory", "test-statistics")
            for more in ({}, {"top1": odd, "peak_mb": odd, "batch": odd})
        ]
        run.metrics_file.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
        run.best.mkdir()
        (run.best / "config.json").write_text("{}", encoding="utf-8")  # a damaged checkpoint
    found = results(study)
    assert found.table["final_accuracy"].tolist() == [0.5, 0.5] and found.table[
        ["test_accuracy", "peak_memory_mb", "parameters"]
    ].isna().all(axis=None)
    assert all(found.table[name].dtype == float for name in FIGURES)
    assert found.epochs["val_loss"].tolist()[::2] == [1.0, 1.0] and found.epochs["val_loss"].isna().tolist() == [False, True] * 2
    assert found.measured_on == "validation" and found.planned_epochs == 0 and "shipped" not in found.about
    assert pd.api.types.is_float_dtype(found.epochs["val_loss"])
