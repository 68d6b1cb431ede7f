"""The last layer is fitted anew, kept where that is worse, and regularized."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.errors import ConfigError, TrainingError
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job import features, finish
from fruitvision.runs.job.loop import execute
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.transforms import evaluation_transform
from fruitvision.runs.prepare.weights import reset_head
from fruitvision.training import last_layer
from fruitvision.training.config import TrainConfig
from fruitvision.training.distributed import World
from tests.runs.robust.conftest import config


@pytest.mark.slow
def test_a_stop_in_the_fit_of_the_last_layer_is_taken_and_going_on_ends_as_if_nothing_had_been(world, tmp_path, monkeypatch):
    heads = []
    for name in ("undisturbed", "stopped"):
        run = RunFolder(tmp_path / name / "run").create(config(world, epochs=1, refit=1e-4))
        if name == "stopped":
            with monkeypatch.context() as patch:
                patch.setattr(finish, "extract_features", lambda *given, run=run: run.request_stop() or last_layer.extract_features(*given))
                assert execute(run.path).state == "stopped"
            assert "last layer refitted" not in run.log_tail()
        assert execute(run.path).state == "finished"
        heads.append(load_checkpoint(run.best)[0].head.weight)
    assert torch.equal(*heads)


def test_the_last_layer_stays_where_its_fit_answers_unseen_pictures_worse(world, tmp_path, monkeypatch):
    def spoil(head, *others):
        yield 0.0
        with torch.no_grad():
            head.bias[0] += 50

    monkeypatch.setattr(finish, "refit", spoil)
    run = RunFolder(tmp_path / "run").create(config(world, epochs=1))
    assert execute(run.path).state == "finished" and "the fit was discarded" in run.log_tail()
    assert load_checkpoint(run.best)[0].head.bias[0] < 25


def test_in_the_end_the_trunk_goes_back_towards_its_start_and_the_last_layer_is_fitted_anew(world, tmp_path):
    ends = {}
    for share in (0.0, 0.5):
        settings = {"epochs": 1, "refit": 0, "ema": 0, "seed": 3, "start_share": share, "fit_last": 1e-3}
        run = RunFolder(tmp_path / str(share) / "run").create(config(world, **settings))
        assert execute(run.path).state == "finished" and "last layer fitted from zero on" in run.log_tail()
        ends[share] = load_checkpoint(run.best)[0]
    before = (run.best / "config.json").read_bytes()
    assert execute(run.path).state == "finished"  # as by torchrun in a job that is started again
    torch.testing.assert_close(load_checkpoint(run.best)[0].conv1.weight, ends[share].conv1.weight, atol=0, rtol=0)
    assert (run.best / "config.json").read_bytes() == before
    start = build_network(num_classes=5, width=8, seed=3)
    learned, blended = ends[0.0].conv1.weight, ends[0.5].conv1.weight
    torch.testing.assert_close(blended, (learned + start.conv1.weight) / 2, atol=1e-6, rtol=1e-4)
    assert not torch.equal(ends[0.0].head.weight, ends[0.5].head.weight)


@pytest.mark.slow
def test_the_last_layer_is_fitted_from_the_trained_one_where_that_is_asked_for(world, tmp_path):
    heads = {}
    for begin in ("zero", "trained"):  # the penalty holds it where it begins
        settings = {"epochs": 1, "refit": 0, "ema": 0, "seed": 3, "fit_last": 10.0, "fit_last_start": begin}
        run = RunFolder(tmp_path / begin / "run").create(config(world, **settings))
        execute(run.path)
        heads[begin] = load_checkpoint(run.best)[0].head.weight
        trained = load_checkpoint(run.last)[0].head.weight
    assert (heads["trained"] - trained).norm() < 0.1 * trained.norm() < (heads["zero"] - trained).norm()


def test_the_last_layer_fitted_anew_is_held_to_what_imagenet_knows_where_the_trunk_began_there(world, monkeypatch):
    targets, asked = prepare(config(world)).targets, config(world).training
    network = build_network(num_classes=len(targets.classes), width=8)
    rows = torch.arange(1000.0)[:, None].expand(1000, network.head.in_features)
    known = {f"{network.head_prefix}weight": rows, f"{network.head_prefix}bias": torch.zeros(1000)}
    monkeypatch.setattr("fruitvision.runs.prepare.weights.imagenet_weights", lambda *given: known)
    reset_head(network, asked, targets, "imagenet")
    apple = targets.classes.index("Apple") if "Apple" in targets.classes else targets.fruit_types.index("Apple")
    assert network.head.weight[apple].eq(948).all() and network.head.weight[targets.fruit_types.index(NOT_FRUIT)].eq(0).all()
    reset_head(network, asked, targets, "shipped")
    assert not network.head.weight.any() and not network.head.bias.any()


def test_a_trunk_that_goes_back_without_a_new_last_layer_is_refused():
    with pytest.raises(ConfigError, match="fit_last"):
        TrainConfig.from_preset("robust", start_share=0.4)
    with pytest.raises(ConfigError, match="set refit to 0"):
        TrainConfig.from_preset("robust", fit_last=1e-4)


def test_all_processes_yield_equally_often_while_features_are_made(world, monkeypatch):
    monkeypatch.setattr(features, "BATCH", 10)
    monkeypatch.setattr(World, "all_gather", lambda world, found: found)
    asked = config(world, photos=False, nothing=False)
    data, transform = prepare(asked), evaluation_transform(asked.training)
    network = build_network(num_classes=len(data.targets.classes), width=8)
    batches = -(-len(data.train.rows) // 10)
    assert batches % 2, "one process has a batch more"
    for rank in range(2):
        steps = features.evaluation_features(network, data, asked.training, transform, torch.device("cpu"), World(rank, 2))
        assert len(list(steps)) == -(-batches // 2)


def test_a_trunk_is_not_averaged_with_other_weights_than_it_started_from(world):
    asked = config(world, start_share=0.5, fit_last=1e-3, refit=0)
    data = prepare(asked)
    session = SimpleNamespace(training=asked.training, status=SimpleNamespace(start="imagenet"), world=World())
    with pytest.raises(TrainingError) as caught:  # such as where ImageNet's weights are gone when the run is resumed
        finish._interpolate_with_start(session, build_network(num_classes=len(data.targets.classes), width=8), data)
    assert caught.value.code == "start-unavailable" and "imagenet" in str(caught.value)


def test_a_run_that_could_not_start_from_imagenet_ends_though_its_weights_are_there_by_then(world, monkeypatch):
    asked = config(world, start_share=0.5, fit_last=1e-3, refit=0, start="imagenet", width=64)
    monkeypatch.setattr("fruitvision.runs.prepare.weights.imagenet_weights", lambda *given: pytest.fail("it did not start from these"))
    data, log = prepare(asked), []
    session = SimpleNamespace(
        training=asked.training, status=SimpleNamespace(start="scratch"), world=World(), folder=SimpleNamespace(log=log.append)
    )
    finish._interpolate_with_start(session, build_network(num_classes=len(data.targets.classes), seed=3), data)
    assert "50%" in log[0]
