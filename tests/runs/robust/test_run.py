"""A run on everything: scenes, negatives, thresholds, processes for scenes, a stop and the rest."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

import fruitvision
from fruitvision.data.augment.transforms import MIDDLE_SCALES
from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.load.loader import UNSHARDED
from fruitvision.data.load.workers import Workers, _KeyedBatches
from fruitvision.data.read.dataset import held_out
from fruitvision.errors import ConfigError
from fruitvision.models.checkpoint import read_config
from fruitvision.recognition.evaluate.evaluation import evaluate_folder
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.runs.job.resume import read_state
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import StepDone
from tests.runs.robust.conftest import config


def test_a_run_on_everything_ends_with_types_negatives_and_thresholds(world, tmp_path):
    run = RunFolder(tmp_path / "run").create(config(world))
    assert execute(run.path).state == "finished"
    found = read_config(run.best)
    assert found.classes == ("Apple Red 1", "Apple Red 2", "Banana", "Kiwi", NOT_FRUIT)
    assert found.fruit_types == ("Apple", "Apple", "Banana", "Kiwi", NOT_FRUIT)
    assert found.transform.scales == MIDDLE_SCALES and 0.3 <= found.thresholds.not_fruit <= 0.95
    assert "--photos photos --not-fruit nothing --preset robust" in found.training["command"]
    assert "last layer refitted on" in run.log_tail()
    classifier = fruitvision.load(run.best)
    answer = classifier.predict(world / "photos" / "Kiwi" / "Kiwi 0.jpg")
    assert NOT_FRUIT not in [guess.fruit_type for guess in answer.top] and answer.heatmap().size == (64, 48)
    result = evaluate_folder(classifier, world / "photos", split="heldout", by="type", not_fruit=world / "nothing")
    assert result["images"] == sum(held_out(p.name) for p in (world / "photos").rglob("*.jpg"))
    assert result["not_fruit_images"] == sum(held_out(p.name) for p in (world / "nothing").iterdir())


@pytest.mark.slow
def test_scenes_made_by_processes_train_the_same_network_and_the_processes_end_with_the_run(world, tmp_path):
    both = []
    for workers in (0, 2):
        run = RunFolder(tmp_path / str(workers)).create(config(world, epochs=1, workers=workers, max_train_images=12, refit=0.01))
        torch.manual_seed(0)
        assert execute(run.path).state == "finished"
        assert ("2 data-loading workers" in run.log_tail()) == (workers == 2)
        both.append([record["loss"] for record in run.metrics("step")])
        assert not multiprocessing.active_children()
    assert both[0] == pytest.approx(both[1], rel=1e-3)


@pytest.mark.slow
def test_a_process_that_is_killed_while_the_network_learns_is_a_sentence_and_nothing_is_lost(world, tmp_path):
    asked = config(world, epochs=1000, workers=2, max_train_images=12)
    run = RunFolder(tmp_path / "run").create(asked)
    command = [sys.executable, "-m", "fruitvision", "train", "--run", str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as trainer:
        end = time.monotonic() + 240
        while len(run.metrics()) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        psutil.Process(trainer.pid).children()[0].kill()
        _, said = trainer.communicate(timeout=60)
    assert trainer.returncode == 1 and "loads training pictures was killed" in said and "Traceback" not in said
    assert run.status().state == "failed" and run.status().error["code"] == "workers-ended"
    assert read_state(run)["progress"]["epoch"] >= run.metrics()[-1]["epoch"] > 0


def test_what_makes_the_batches_of_a_run_can_be_sent_to_a_spawned_process(world):
    asked = config(world)
    workers = Workers(1)
    train, validation = loaders(prepare(asked), asked.training, workers=workers)
    made = pickle.loads(pickle.dumps(_KeyedBatches(workers._functions)))
    for number, (key, batches) in enumerate((((0, 32, 0, UNSHARDED), train.epoch(0, 32)), ((0, 0, 64), validation))):
        images, labels, *_ = made[number, key]
        assert np.allclose(images, next(iter(batches)).images, atol=1e-4) and labels.dtype == np.int64
    workers.close()


def test_the_temperature_is_that_of_photographs_as_they_were_taken(world):
    asked = config(world)
    _, validation = loaders(prepare(asked), asked.training)
    unaugmented = validation.unaugmented
    assert len(unaugmented) == sum(len(batch.labels) for batch in validation)
    assert 0 < unaugmented.sum() == sum(len(source.rows) for source in validation.sources if source.unaugmented) < len(unaugmented) / 2


def test_fruits_alone_are_enough(world, tmp_path):
    run = RunFolder(tmp_path / "run").create(config(world, photos=False, nothing=False, epochs=1))
    assert execute(run.path).state == "finished"
    assert read_config(run.best).classes == ("Apple Red 1", "Apple Red 2", "Banana")
    assert read_config(run.best).thresholds.not_fruit == 1


@pytest.mark.slow
def test_a_stop_and_the_rest_are_the_whole_to_the_bit(world, tmp_path):
    whole, parts = (RunFolder(tmp_path / name / "run").create(config(world)) for name in "ab")
    execute(whole.path)
    execute(parts.path, on_event=lambda e: parts.request_stop() if isinstance(e, StepDone) and (e.epoch, e.step) == (1, 5) else None)
    assert parts.status().state == "stopped"
    execute(parts.path)
    one, other = (torch.load(run.resume_file, weights_only=True)["network"] for run in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_photos_beside_another_preset_are_refused(world, tmp_path):
    asked = config(world).model_copy(update={"training": TrainConfig.from_preset("fast", start="scratch")})
    run = RunFolder(tmp_path / "run").create(asked)
    with pytest.raises(ConfigError, match="--preset robust"):
        execute(run.path)
