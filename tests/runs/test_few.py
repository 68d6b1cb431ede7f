"""Too few pictures: training goes on with what there is and says what it cannot measure, or does not begin."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from fruitvision.data.synthetic.sample import draw_sample
from fruitvision.errors import ConfigError, DataError, RunError
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.recognition.evaluate.left_out import Answers, to_bytes
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.runs.job.resume import use_moved_data
from fruitvision.runs.prepare.data import check_data, prepare
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import EpochDone
from tests.runs.conftest import TINY


def drawn(root: Path, training: int, test: int) -> Path:
    """Two kinds of drawn fruit; without test pictures a folder of class folders."""
    drawn = draw_sample(root / "drawn", train_per_class=training, test_per_class=max(test, 1), size=32, classes=("Apple", "Banana"))
    if test:
        return drawn
    return (drawn / "Training").rename(root / "alone")


def configured(data: Path, **settings) -> RunConfig:
    preset = settings.pop("preset", "fast")
    scenes = {"imagenet_head": False, "keep_imagenet": 0.0} if preset == "robust" else {}
    return RunConfig(name="few", data=str(data), training=TrainConfig.from_preset(preset, **{**TINY, **scenes, **settings}))


@pytest.mark.parametrize(("training", "test"), [(1, 0), (2, 0), (1, 3)], ids=["one each", "two each", "one and three"])
def test_without_a_picture_to_validate_on_the_last_epoch_is_the_best(tmp_path, training, test):
    run, epochs = RunFolder(tmp_path / "run").create(configured(drawn(tmp_path, training, test), epochs=2)), []
    status = execute(run.path, on_event=lambda event: epochs.append(event) if isinstance(event, EpochDone) else None)
    assert (status.state, status.unvalidated, status.best_val_accuracy) == ("finished", True, None)
    assert [event.improved for event in epochs] == [True, True]
    assert [record["val_accuracy"] for record in run.metrics()] == [None, None]
    assert "without it" in run.log_tail() and (status.test_top1 is None) == (test == 0 and training == 1)
    _, config = load_checkpoint(run.best)
    assert "validation" not in config.metrics and config.temperature == 1
    assert config.thresholds.unsure == 1, "what was not calibrated is sure of nothing"


def test_the_recipe_for_webcams_trains_on_them_too(tmp_path):
    run = RunFolder(tmp_path / "run").create(configured(drawn(tmp_path, 2, 0), preset="robust", epochs=1))
    assert execute(run.path).state == "finished" and "not calibrated" in run.log_tail()


def test_a_study_calibrates_what_has_no_picture_to_validate_on(tmp_path):
    answers = Answers(
        ("Apple", "Banana"), ("Apple", "Banana"), 3 * torch.eye(2).repeat(50, 1)[:, None], ("shop",) * 100, ("Apple", "Banana") * 50
    )
    (tmp_path / "answers-0.npz").write_bytes(to_bytes(answers))
    (tmp_path / "study.json").write_text('{"groups": [["shop"]]}', encoding="utf-8")
    config = configured(drawn(tmp_path, 1, 0), epochs=1).model_copy(update={"study": str(tmp_path)})
    run = RunFolder(tmp_path / "run").create(config)
    assert execute(run.path).unvalidated
    found = load_checkpoint(run.best)[1]
    assert found.temperature != 1 and found.thresholds.unsure < 1 and found.left_out["images"] == 100
    assert "the last layer is not refitted" in run.log_tail() and "no answer is sure" not in run.log_tail()


def test_validation_on_the_test_split_needs_no_training_picture(tmp_path):
    data = prepare(configured(drawn(tmp_path, 1, 3), val_fraction=0))
    assert len(data.validation) == 6 and len(data.train) == 2


@pytest.mark.parametrize("settings", [{"max_train_images": 1}, {"preset": "robust", "data_repeat": 0.05}])
def test_an_epoch_of_less_than_two_pictures_is_refused(tmp_path, settings):
    run = RunFolder(tmp_path / "run").create(configured(drawn(tmp_path, 2, 0), **settings))
    with pytest.raises(DataError) as caught:
        execute(run.path)
    assert caught.value.code == "too-few-shown" and run.status().error["code"] == "too-few-shown"


def test_one_class_is_refused_before_there_is_a_run(tmp_path):
    root = drawn(tmp_path, 3, 0)
    shutil.rmtree(root / "Apple")
    with pytest.raises(DataError) as caught:
        check_data(configured(root))
    assert caught.value.code == "one-class"


def test_the_level_of_the_classes_is_a_setting(tmp_path):
    root = drawn(tmp_path, 4, 0)
    for name, above in (("Apple", "Round"), ("Banana", "Long")):
        for n in (1, 2):
            (tmp_path / "nested" / above).mkdir(parents=True, exist_ok=True)
            shutil.copytree(root / name, tmp_path / "nested" / above / f"{name} {n}")
    assert prepare(configured(tmp_path / "nested")).dataset.classes == ("Apple 1", "Apple 2", "Banana 1", "Banana 2")
    assert prepare(configured(tmp_path / "nested", class_depth=1)).dataset.classes == ("Long", "Round")


def test_a_moved_dataset_is_taken_where_its_pictures_are_the_same(tmp_path):
    root = drawn(tmp_path, 3, 2)
    run = RunFolder(tmp_path / "run").create(configured(root, epochs=2))
    execute(run.path, on_event=lambda event: run.request_stop() if isinstance(event, EpochDone) else None)
    moved = root.rename(tmp_path / "moved")
    other = shutil.copytree(moved, tmp_path / "other")
    next((other / "Training" / "Apple").iterdir()).unlink()
    with pytest.raises(ConfigError) as caught:
        use_moved_data(run, other)
    assert caught.value.code == "moved-data-differs" and run.config().data == str(root)
    use_moved_data(run, moved)
    assert run.config().data == str(moved) and execute(run.path).state == "finished"
    assert json.loads((run.path / "config.json").read_text(encoding="utf-8"))["data"] == str(moved)
    run.write_status(run.status().model_copy(update={"state": "running", "heartbeat": 1e10}))
    with pytest.raises(RunError):
        use_moved_data(run, moved)
