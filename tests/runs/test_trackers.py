"""TensorBoard, trackio and MLflow are extras: written where they are installed, named where they are not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from fruitvision.errors import TrainingError
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job import trackers
from fruitvision.runs.job.loop import execute
from fruitvision.training.engine import EpochDone, StepDone


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


@pytest.mark.parametrize("package", ["trackio", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named(tmp_path, tiny, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    run = RunFolder(tmp_path / "runs" / "a").create(tiny(epochs=1, tracker=package))
    with pytest.raises(TrainingError) as caught:
        execute(run.path)
    assert caught.value.code == "tracker-missing" and f"pip install {package}" in str(caught.value)


def test_mlflow_has_every_step_of_a_run_that_was_resumed(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason='run: pip install "fruitvision[mlflow]"')
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    for part in ((1, 2), (3,)):
        write_two_epochs(trackers.MLflow(folder, {"lr": 0.1}), part)
    client = MlflowClient(tracking_uri=f"sqlite:///{(folder.parent / 'mlflow.db').as_posix()}")
    (found,) = client.search_runs([client.get_experiment_by_name("fruitvision").experiment_id])
    assert [one.step for one in client.get_metric_history(found.info.run_id, "step/loss")] == [1, 2, 3]
    assert found.data.params == {"lr": "0.1"} and found.info.status == "FINISHED" and "epoch/val_loss" not in found.data.metrics


def test_trackio_has_every_step_of_a_run_that_was_resumed(tmp_path):
    pytest.importorskip("trackio", reason='run: pip install "fruitvision[trackio]"')
    code = f"""
import sys
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
from fruitvision.runs.job import trackers
from tests.runs.test_trackers import write_two_epochs
for part in ((1, 2), (3,)):
    write_two_epochs(trackers.Trackio(Path("a"), {{"lr": 0.1}}), part)
from trackio import SQLiteStorage
print(SQLiteStorage.get_runs("fruitvision"), [row["step"] for row in SQLiteStorage.get_logs("fruitvision", "a") if "step/loss" in row])
"""
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("['a'] [1, 2, 3]")


def write_two_epochs(writer: trackers.Writer, steps: tuple[int, ...]) -> None:
    """Steps of an epoch that has no validation."""
    tracker = trackers.Tracker(writer)
    for step in steps:
        tracker(StepDone(**{**dict.fromkeys(fields_of(StepDone), 1.0), "epoch": 1, "step": step, "steps": 3}))
    tracker(EpochDone(**{**dict.fromkeys(fields_of(EpochDone), 1.0), "epoch": 1, "val_loss": float("nan")}))
    tracker.close()


def fields_of(event: type) -> list[str]:
    return [field.name for field in fields(event)]
