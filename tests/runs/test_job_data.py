"""What a run does with pictures that changed, went, or are too many."""

from __future__ import annotations

import gc
import json
import shutil

import numpy as np
import pytest

from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.store import open_dataset
from fruitvision.errors import DataError, RunError
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job import loop
from fruitvision.runs.job.loop import execute
from fruitvision.runs.prepare.data import prepare, subsample_evenly
from fruitvision.training.engine import StepDone


def begun(tmp_path, config) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "run").create(config)


def test_pictures_that_changed_since_are_not_learned_from_and_one_that_was_damaged_is_named(tmp_path, tiny, sample_set):
    copy = tmp_path / "my pictures"
    shutil.copytree(sample_set, copy)
    run = begun(tmp_path, tiny().model_copy(update={"data": str(copy)}))
    execute(run.path, on_event=lambda event: run.request_stop())
    picture = next((copy / "Training" / "Apple").iterdir())
    whole = picture.read_bytes()
    picture.write_bytes(whole[:200])
    with pytest.raises(RunError, match=picture.name) as caught:
        execute(run.path)
    assert caught.value.code == "data-damaged" == run.status().error["code"] and f"damaged: Training/Apple/{picture.name}" in run.log_tail()
    picture.unlink()
    with pytest.raises(RunError) as caught:
        execute(run.path)
    assert caught.value.code == "data-changed"
    picture.write_bytes(whole)
    assert execute(run.path).state == "finished", "it was put back"


def test_a_run_keeps_its_pictures_while_others_are_added_to_the_folder_and_it_is_looked_through_again(tmp_path, tiny, sample_set):
    copy = tmp_path / "my pictures"
    shutil.copytree(sample_set, copy)
    run, kept = begun(tmp_path, tiny(epochs=1).model_copy(update={"data": str(copy)})), []

    def add(event):
        if isinstance(event, StepDone):
            before = open_dataset(copy)[1].path
            shutil.copy(next((copy / "Training" / "Apple").iterdir()), copy / "Training" / "Kiwi" / f"{event.step}.jpg")
            assert open_dataset(copy)[1].path != before
            kept.append(before)

    assert execute(run.path, on_event=add).state == "finished"
    assert len(ImageStore(kept[0])) == 48 and not kept[1].exists(), "the run's own is kept, and no other"
    gc.collect()
    open_dataset(copy)
    assert not kept[0].exists(), "until the run is over"


def test_a_run_under_way_needs_its_folder_no_more_and_a_resume_says_that_it_is_gone(tmp_path, tiny, sample_set):
    """Pictures are decoded once, before the first step: what happens to their files meanwhile does not matter."""
    copy, away = tmp_path / "my pictures", tmp_path / "away"
    shutil.copytree(sample_set, copy)
    run = begun(tmp_path, tiny().model_copy(update={"data": str(copy)}))

    def disturb(event):
        if isinstance(event, StepDone) and (event.epoch, event.step) == (1, 2):
            next((copy / "Training" / "Kiwi").iterdir()).write_bytes(b"damaged")
        if isinstance(event, StepDone) and (event.epoch, event.step) == (1, 3):
            copy.rename(away)
        if isinstance(event, StepDone) and event.epoch == 2:
            run.request_stop()

    assert execute(run.path, on_event=disturb).state == "stopped" and len(run.metrics()) == 1
    with pytest.raises(DataError) as caught:
        execute(run.path)
    assert caught.value.code == "data-missing" == run.status().error["code"]


def test_a_stop_is_heard_while_pictures_are_read(tmp_path, tiny, sample_set, monkeypatch):
    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path / "cache"))
    run, prepare, read = begun(tmp_path, tiny(epochs=1)), loop.prepare, []

    def asked_meanwhile(config, progress, listing):
        def reading(done, total):
            read.append(done)
            run.request_stop()
            progress(done, total)

        return prepare(config, reading, listing)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "prepare", asked_meanwhile)
        assert execute(run.path).state == "stopped" and len(read) == 1
    assert not run.resume_file.exists() and execute(run.path).state == "finished"


def test_validation_is_held_out_of_training_and_the_test_split_stays_apart(tmp_path, tiny):
    data = prepare(tiny(val_fraction=0.25))
    train, validation, test = ({*s.paths} for s in (data.train, data.validation, data.test))
    assert not train & validation and not (train | validation) & test
    assert len(validation) == 8 and len(train) == 24 and len(test) == 16
    assert {*prepare(tiny(val_fraction=0)).validation.paths} == test


def test_a_part_of_the_pictures_is_taken_evenly(sample_set):
    dataset, _ = open_dataset(sample_set)
    part = subsample_evenly(dataset.splits["train"], 10)
    assert len(part) == 10 and sorted(np.bincount(part.labels).tolist()) == [2, 2, 3, 3]
    smaller = subsample_evenly(dataset.splits["train"], 6)
    assert {*smaller.paths} <= {*part.paths}
    assert subsample_evenly(dataset.splits["train"], 1000) is dataset.splits["train"]


def test_a_folder_that_is_gone_is_an_error_with_a_status(tmp_path, tiny):
    run = begun(tmp_path, tiny().model_copy(update={"data": str(tmp_path / "gone")}))
    with pytest.raises(DataError):
        execute(run.path)
    assert json.loads((run.path / "status.json").read_text(encoding="utf-8"))["error"]["code"] == "data-missing"
