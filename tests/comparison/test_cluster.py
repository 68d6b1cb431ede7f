"""A study on a real local Ray with two workers gives the table of the local run; without Ray, a sentence."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from fruitvision.comparison.results import table
from fruitvision.comparison.runner import run_study
from fruitvision.comparison.study import StudyFolder, StudyPlan
from fruitvision.errors import FruitVisionError, RunError

SAME = ["norm", "batch_size", "seed", "state", "diverged", "final_accuracy", "best_accuracy", "loss", "parameters", "grad_norm"]


def plan(sample_set) -> StudyPlan:
    settings = {"width": 8, "image_size": 40, "epochs": 2}
    return StudyPlan.parse({"data": str(sample_set), "norms": ("batch", "group"), "batch_sizes": (8,), "training": settings})


def test_without_ray_the_next_step_is_said(monkeypatch):
    from fruitvision.comparison.cluster import on_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FruitVisionError) as caught:
        on_ray("local")
    assert (caught.value.code, caught.value.exit_code) == ("ray-missing", 1) and "pip install ray" in str(caught.value)


@pytest.fixture
def two_workers():
    ray = pytest.importorskip("ray", reason="Ray is an extra: python -m pip install ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.mark.filterwarnings("default")  # Ray's own
def test_two_workers_make_the_table_of_the_local_run(two_workers, tmp_path, sample_set):
    from fruitvision.comparison.cluster import on_ray

    work = on_ray("local")
    assert run_study(plan(sample_set), tmp_path / "ray", runner=work).state == "finished"
    assert run_study(plan(sample_set), tmp_path / "here").state == "finished"
    pd.testing.assert_frame_equal(table(tmp_path / "ray")[SAME], table(tmp_path / "here")[SAME], rtol=1e-4)
    assert run_study(None, tmp_path / "ray", runner=work).state == "finished"  # nothing is left to do

    stopped = StudyFolder(tmp_path / "broken").create(plan(sample_set).model_copy(update={"data": str(tmp_path / "nothing")}))
    with pytest.raises(Exception) as caught:
        run_study(None, stopped.path, runner=work)
    assert not isinstance(caught.value, RunError) and stopped.status().state == "failed"
