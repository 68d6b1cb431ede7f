"""Where the trunk begins and ends: ImageNet, stages that keep their weights, a mean of others, a teacher."""

from __future__ import annotations

import pytest
import torch

from fruitvision.data.augment.transforms import EvalTransform, normalize
from fruitvision.errors import ConfigError
from fruitvision.models.checkpoint import CheckpointConfig, load_checkpoint, read_config, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job import finish
from fruitvision.runs.job.loop import execute
from fruitvision.runs.prepare.references import open_regularizer, open_teacher
from fruitvision.training.config import TrainConfig
from tests.runs.robust.conftest import LARGE, config


@pytest.mark.parametrize("count", [1, 3])
def test_the_first_stages_keep_their_weights_where_asked(world, tmp_path, count):
    run = RunFolder(tmp_path / "run").create(config(world, epochs=1, refit=0, ema=0, freeze_stages=count, seed=5, max_train_images=16))
    execute(run.path)
    before = build_network(num_classes=5, norm="batch", width=8, seed=5)
    after = load_checkpoint(run.best)[0]
    for number, (old, new) in enumerate(zip(before.stages, after.stages, strict=True)):
        pairs = [(a.state_dict(), b.state_dict()) for a, b in zip(old, new, strict=True)]
        same = all(torch.equal(first[name], second[name]) for first, second in pairs for name in first)
        assert same == (number < count), number


def test_more_stages_than_there_are_cannot_be_kept(world, tmp_path):
    from fruitvision.errors import TrainingError

    run = RunFolder(tmp_path / "run").create(config(world, freeze_stages=5))
    with pytest.raises(TrainingError, match="has 5 stages"):
        execute(run.path)


@pytest.mark.slow
def test_from_imagenet_on_batch_norm_keeps_its_statistics(world, tmp_path, monkeypatch):
    known = build_network(num_classes=1000, width=64, seed=4)
    known.bn1.running_mean.fill_(0.25)
    weights = {name: value.clone() for name, value in known.state_dict().items()}
    for module in ("weights", "references"):
        monkeypatch.setattr(f"fruitvision.runs.prepare.{module}.imagenet_weights", lambda *given: weights)
    for start, statistics, kept in (("imagenet", "kept", True), ("imagenet", "batch", False), ("scratch", "kept", False)):
        asked = config(world, **LARGE, start=start, keep_imagenet=0.0, norm_statistics=statistics)
        run = RunFolder(tmp_path / f"{start}-{statistics}").create(asked)
        execute(run.path)
        mean = torch.load(run.resume_file, weights_only=True)["network"]["bn1.running_mean"]
        assert bool((mean == 0.25).all()) == kept, (start, statistics)


def test_a_teacher_sees_pictures_in_its_own_normalization(tmp_path):
    classes, own = ("a", "b", "c"), {"mean": (0.5, 0.4, 0.3), "std": (0.5, 0.2, 0.1)}
    network = build_network(num_classes=3, width=8, seed=1).eval()
    transform = EvalTransform(resize=32, crop=32, **own)
    known = CheckpointConfig(width=8, classes=classes, fruit_types=classes, transform=transform)
    save_checkpoint(tmp_path / "teacher", network, known)
    teacher = open_teacher(TrainConfig.from_preset("fast", teacher=str(tmp_path / "teacher")), classes, torch.device("cpu"))
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    with torch.inference_mode():
        torch.testing.assert_close(teacher(normalize(images)), network(normalize(images, **own)).logits, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_a_student_learns_its_teachers_answers_and_a_stranger_cannot_teach(world, tmp_path):
    short = {"epochs": 1, "refit": 0}
    teacher = RunFolder(tmp_path / "teacher").create(config(world, **short))
    execute(teacher.path)
    student = RunFolder(tmp_path / "student").create(config(world, teacher=str(teacher.best), teacher_weight=0.9, **short))
    alone = RunFolder(tmp_path / "alone").create(config(world, **short))
    for run in (student, alone):
        assert execute(run.path).state == "finished"
    assert student.metrics()[0]["train_loss"] != alone.metrics()[0]["train_loss"]
    lab_only = RunFolder(tmp_path / "stranger").create(config(world, photos=False, teacher=str(teacher.best), **short))
    execute(lab_only.path)  # it knows more than is asked of it
    stranger = RunFolder(tmp_path / "lab").create(config(world, photos=False, nothing=False, **short))
    execute(stranger.path)
    taught = RunFolder(tmp_path / "taught").create(config(world, teacher=str(stranger.best)))
    with pytest.raises(ConfigError, match="Kiwi"):
        execute(taught.path)


@pytest.mark.slow
def test_a_run_from_imagenet_is_held_to_it(world, tmp_path, monkeypatch):
    """The network itself stands for ImageNet's: at its own features nothing has strayed, elsewhere something has."""
    known = build_network(num_classes=1000, width=64, seed=4)
    weights = {name: value.clone() for name, value in known.state_dict().items()}
    for module in ("weights", "references"):
        monkeypatch.setattr(f"fruitvision.runs.prepare.{module}.imagenet_weights", lambda *given: weights)
    asked = TrainConfig.from_preset("robust", keep_imagenet=0.5)
    images = torch.randn(4, 3, 32, 32)
    strayed = open_regularizer(asked, "imagenet", torch.device("cpu"))
    features = known.eval()(images).features.detach().requires_grad_()
    assert strayed(images, features).item() == pytest.approx(0, abs=1e-4)
    other = (features * 0.5).detach().requires_grad_()
    strayed(images, other).backward()
    assert strayed(images, other).item() > 1e-3 and other.grad.abs().sum() > 0
    assert open_regularizer(asked, "shipped", torch.device("cpu")) is None
    assert open_regularizer(asked.model_copy(update={"keep_imagenet": 0.0}), "imagenet", torch.device("cpu")) is None
    held, free = (
        RunFolder(tmp_path / name).create(config(world, **LARGE, start="imagenet", keep_imagenet=keep))
        for name, keep in (("held", 2.0), ("free", 0.0))
    )
    for run in (held, free):
        assert execute(run.path).state == "finished"
    one, other = (torch.load(run.resume_file, weights_only=True)["network"] for run in (held, free))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_run_can_begin_and_end_as_the_mean_of_others_and_its_last_layer_is_fitted_above_that(world, tmp_path, monkeypatch):
    first, second, last = (RunFolder(tmp_path / name / "run") for name in ("first", "second", "last"))
    for seed, run in enumerate((first, second)):
        execute(run.create(config(world, epochs=1, seed=seed, refit=0)).path)
    heads = []
    monkeypatch.setattr(finish, "refit", lambda head, *others: heads.append(head.weight.detach().clone()) or iter(()))
    both = f"{first.best}, {second.best}"
    execute(last.create(config(world, epochs=1, start=both, average_with=both, learning_rate=1e-9, trunk_rate=0, ema=0)).path)
    one, other, mean = (load_checkpoint(run.best)[0] for run in (first, second, last))
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    for found, *parts in ((mean.conv1.weight, one.conv1.weight, other.conv1.weight), (heads[0], one.head.weight, other.head.weight)):
        torch.testing.assert_close(found, sum(parts) / 2, atol=1e-5, rtol=1e-4)
    losses = [read_config(run.best).metrics["validation"]["loss"] for run in (first, last)]
    assert losses[0] != losses[1], "what is measured is the mean"


def test_what_cannot_be_averaged_is_said_before_the_first_step(world, tmp_path):
    stranger = RunFolder(tmp_path / "stranger").create(config(world, photos=False, epochs=1))
    execute(stranger.path)
    run = RunFolder(tmp_path / "other" / "run").create(config(world, average_with=str(stranger.best)))
    with pytest.raises(ConfigError, match="cannot be averaged"):
        execute(run.path)
    assert run.status().step == 0
