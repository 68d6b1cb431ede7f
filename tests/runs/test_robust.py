"""The preset ``robust``: scenes, photos labelled with a type, pictures without fruit, thresholds, a teacher."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

import fruitvision
from fruitvision.data.augment.backgrounds import generated_background
from fruitvision.data.augment.transforms import MIDDLE_SCALES
from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.load.loader import WHOLE
from fruitvision.data.load.workers import Workers, _KeyedBatches
from fruitvision.data.read.dataset import held_out
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import ConfigError
from fruitvision.models.checkpoint import load_checkpoint, read_config
from fruitvision.models.networks import build_network
from fruitvision.recognition.evaluate.evaluation import evaluate_folder
from fruitvision.runs.folder import RunConfig, RunFolder
from fruitvision.runs.job import finish
from fruitvision.runs.job.loop import execute
from fruitvision.runs.job.resume import read_state
from fruitvision.runs.prepare.data import prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.runs.prepare.references import open_regularizer
from fruitvision.runs.prepare.sources import find_sources
from fruitvision.runs.prepare.weights import reset_head
from fruitvision.training import last_layer
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import StepDone

TINY = {
    "start": "scratch",
    "width": 8,
    "image_size": 32,
    "first_image_size": 0,
    "eval_resize": 40,
    "eval_size": 40,
    "batch_size": 8,
    "epochs": 2,
}
#: A network as wide as ImageNet's costs a second for every few steps: two of them, and nothing after.
LARGE = {"photos": False, "nothing": False, "width": 64, "epochs": 1, "max_train_images": 16, "refit": 0}


def draw_into(folder: Path, kind: str, count: int, ground: str, size=48) -> None:
    folder.mkdir(parents=True)
    for n in range(count):
        rng = np.random.default_rng([len(folder.name), n])
        draw_fruit(kind, rng, size, background=ground).save(folder / f"{folder.name} {n}.jpg", quality=92)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """lab/ on white with two varieties of Apple, photos/ of types (one of them new), nothing/ without fruit."""
    root = tmp_path_factory.mktemp("world")
    for split, count in (("Training", 10), ("Test", 4)):
        for name, kind in (("Apple Red 1", "Apple"), ("Apple Red 2", "Apple"), ("Banana", "Banana")):
            draw_into(root / "lab" / split / name, kind, count, "white")
    for name, kind in (("Apple", "Apple"), ("Banana", "Banana"), ("Kiwi", "Kiwi")):
        draw_into(root / "photos" / name, kind, 20, "wood", (64, 48))
    (root / "nothing").mkdir()
    for n in range(30):
        Image.fromarray(generated_background(np.random.default_rng(n), 48)).save(root / "nothing" / f"{n}.jpg")
    return root


def config(world: Path, *, photos=True, nothing=True, **settings) -> RunConfig:
    return RunConfig(
        name="robust",
        data=str(world / "lab"),
        photos=(str(world / "photos"),) if photos else (),
        not_fruit=(str(world / "nothing"),) if nothing else (),
        training=TrainConfig.from_preset("robust", **{**TINY, **settings}),
    )


def test_a_run_on_everything_ends_with_types_negatives_and_thresholds(world, tmp_path):
    run = RunFolder(tmp_path / "run").create(config(world))
    assert execute(run.path).state == "finished"
    found = read_config(run.best)
    assert found.classes == ("Apple Red 1", "Apple Red 2", "Banana", "Kiwi", NOT_FRUIT)
    assert found.fruit_types == ("Apple", "Apple", "Banana", "Kiwi", NOT_FRUIT)
    assert found.transform.scales == MIDDLE_SCALES and 0.3 <= found.thresholds.not_fruit <= 0.95
    assert "--photos photos --not-fruit nothing --preset robust" in found.training["command"]
    assert "last layer fitted on" in run.log_tail()
    classifier = fruitvision.load(run.best)
    answer = classifier.predict(world / "photos" / "Kiwi" / "Kiwi 0.jpg")
    assert NOT_FRUIT not in [guess.fruit_type for guess in answer.top] and answer.heatmap().size == (64, 48)
    result = evaluate_folder(classifier, world / "photos", split="heldout", by="type", not_fruit=world / "nothing")
    assert result["images"] == sum(held_out(p.name) for p in (world / "photos").rglob("*.jpg"))
    assert result["not_fruit_images"] == sum(held_out(p.name) for p in (world / "nothing").iterdir())


def test_a_stop_in_the_fit_of_the_last_layer_is_taken_and_going_on_ends_as_if_nothing_had_been(world, tmp_path, monkeypatch):
    heads = []
    for name in ("undisturbed", "stopped"):
        run = RunFolder(tmp_path / name / "run").create(config(world, epochs=1, refit=1e-4))
        if name == "stopped":
            with monkeypatch.context() as patch:
                patch.setattr(finish, "extract_features", lambda *given, run=run: run.request_stop() or last_layer.extract_features(*given))
                assert execute(run.path).state == "stopped"
            assert "last layer fitted" not in run.log_tail()
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


def test_scenes_made_by_processes_train_the_same_network_and_the_processes_end_with_the_run(world, tmp_path):
    both = []
    for workers in (0, 2):
        run = RunFolder(tmp_path / str(workers)).create(config(world, epochs=1, workers=workers, max_train_images=12, refit=0.01))
        torch.manual_seed(0)
        assert execute(run.path).state == "finished"
        assert ("2 processes make training pictures" in run.log_tail()) == (workers == 2)
        both.append([record["loss"] for record in run.metrics("step")])
        assert not [child for child in psutil.Process().children() if "resource_tracker" not in " ".join(child.cmdline())]
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
    made = pickle.loads(pickle.dumps(_KeyedBatches(workers._makers)))
    for number, (key, batches) in enumerate((((0, 32, 0, WHOLE), train.epoch(0, 32)), ((0, 0, 64), validation))):
        images, labels, *_ = made[number, key]
        assert np.allclose(images, next(iter(batches)).images, atol=1e-4) and labels.dtype == np.int64
    workers.close()


def test_the_temperature_is_that_of_photographs_as_they_were_taken(world):
    asked = config(world)
    _, validation = loaders(prepare(asked), asked.training)
    as_taken = validation.as_taken
    assert len(as_taken) == sum(len(batch.labels) for batch in validation)
    assert 0 < as_taken.sum() == sum(len(source.rows) for source in validation.sources if source.as_taken) < len(as_taken) / 2


def test_what_is_held_out_neither_trains_nor_chooses(world):
    data = prepare(config(world))
    for beside in (*data.photos, *data.not_fruit):
        rows = np.concatenate([beside.train[0], beside.validation[0]])
        assert len(rows) == len(set(rows.tolist())) and len(beside.validation[0])
        assert not any(held_out(beside.store.paths[row]) for row in rows)
        assert len(rows) == sum(not held_out(path) for path in beside.store.paths)


def test_an_epoch_mixes_its_sources_as_asked(world):
    asked = config(world, photo_repeat=2.0, not_fruit_share=0.5)
    data = prepare(asked)
    train, validation = loaders(data, asked.training)
    labels = np.concatenate([batch.labels.numpy() for batch in train.epoch(0, 32)])
    photos = len(data.photos[0].train[0])
    lab = len(data.train.labels)
    counts = {name: int((labels == data.targets.label(name)).sum()) for name in data.targets.names}
    assert counts["Apple Red 1"] + counts["Apple Red 2"] <= lab
    assert counts[NOT_FRUIT] == pytest.approx(0.5 * (lab + 2 * photos), abs=8)
    assert counts["Apple"] + counts["Kiwi"] <= 2 * photos and counts["Kiwi"] > 0
    again = [batch.images for batch in train.epoch(0, 32)]
    assert all(torch.equal(a, b.images) for a, b in zip(again[2:], train.epoch(0, 32, 2), strict=True))
    assert sum(len(batch.labels) for batch in validation) > 5


def test_a_type_with_many_varieties_is_not_believed_in_more_readily(world):
    """Of the lab's pictures two thirds are apples. A quarter stays on white as it comes, the rest is balanced by type."""
    shares = {}
    for balance in (0.0, 1.0):
        asked = config(world, photos=False, nothing=False, type_balance=balance, plain_share=0.25)
        train, _ = loaders(prepare(asked), asked.training)
        labels = np.concatenate([batch.labels.numpy() for epoch in range(8) for batch in train.epoch(epoch, 32)])
        shares[balance] = (labels < 2).mean()
    assert shares[0.0] == pytest.approx(2 / 3, abs=0.04)
    assert shares[1.0] == pytest.approx(0.25 * 2 / 3 + 0.75 / 2, abs=0.04)


def test_photos_filmed_on_white_are_shown_as_often_as_others_half_of_the_time_in_scenes(world, tmp_path):
    for name in ("Apple", "Kiwi"):
        draw_into(tmp_path / "more" / name, name, 12, "white" if name == "Apple" else "wood")
    settings = {"photo_repeat": 3.0, "type_balance": 0.0, "source_balance": 0.0, "flip": 0.0}
    asked = config(world, nothing=False, **settings).model_copy(update={"photos": (str(tmp_path / "more"),)})
    data = prepare(asked)
    train, _ = loaders(data, asked.training)
    labels = np.concatenate([batch.labels.numpy() for batch in train.epoch(0, 32)])
    names = data.photos[0].train[1]
    for name in ("Apple", "Kiwi"):
        assert (labels == data.targets.label(name)).sum() == pytest.approx(3 * names.count(name), abs=1)
    on_white = [source for source in train.sources if source.store is data.photos[0].store and len(source.rows) == names.count("Apple")]
    assert sorted(type(source.transform).__name__ for source in on_white)[0] == "PhotoRecipe" and len(on_white) >= 2


def test_small_sources_and_rare_kinds_are_shown_oftener(world, tmp_path):
    for source, count in (("shop", 16), ("phone", 4), ("web", 4), ("kitchen", 4)):
        draw_into(tmp_path / "photos" / source / "Apple", "Apple", count, "wood")
    shown = {}
    for balance in (0.0, 1.0):
        asked = config(world, nothing=False, source_balance=balance, type_balance=0.0, photo_validation="pictures", photo_repeat=2.0)
        data = prepare(asked.model_copy(update={"photos": (str(tmp_path / "photos"),)}))
        train, _ = loaders(data, asked.training)
        shown[balance] = {one.source: sum(s.shown for s in train.sources if s.store is one.store) for one in data.photos}
    assert shown[0.0]["shop"] > 3 * shown[0.0]["phone"]
    assert shown[1.0]["shop"] == pytest.approx(shown[1.0]["phone"], abs=2)
    assert sum(shown[1.0].values()) == pytest.approx(sum(shown[0.0].values()), abs=3)


def test_whole_sources_validate_where_there_are_enough_and_none_is_on_both_sides(world, tmp_path):
    for number in range(8):
        draw_into(tmp_path / "photos" / f"source {number}" / "Apple", "Apple", 6, "wood")
    several = config(world).model_copy(update={"photos": (str(tmp_path / "photos"),)})
    data = prepare(several)
    sides = {one.source: (len(one.train[0]), len(one.validation[0])) for one in (*data.photos, *data.not_fruit)}
    assert sum(bool(validation) for _, validation in sides.values()) >= 1 and all(not (train and val) for train, val in sides.values())
    pictures = prepare(several.model_copy(update={"training": several.training.model_copy(update={"photo_validation": "pictures"})}))
    assert all(len(one.train[0]) for one in pictures.photos)


def test_a_source_that_is_left_out_takes_no_part_and_its_kinds_are_still_known(world, tmp_path):
    for source, kinds in (("a", ("Apple", "Kiwi")), ("b", ("Apple", "Kiwi")), ("c", ("Kiwi",))):
        for kind in kinds:
            draw_into(tmp_path / "photos" / source / kind, kind, 5, "wood")
    asked = config(world).model_copy(update={"photos": (str(tmp_path / "photos"),)})
    without = prepare(asked.model_copy(update={"leave_out": ("b",)}))
    assert [one.source for one in without.photos] == ["a", "c"] and without.targets.classes == prepare(asked).targets.classes
    with pytest.raises(ConfigError, match="No source is called 'bb'"):
        find_sources(asked.model_copy(update={"leave_out": ("bb",)}))


def test_the_fifth_is_kept_of_those_sources_that_are_named_or_of_all(world, tmp_path):
    for source in ("a", "b"):
        draw_into(tmp_path / "photos" / source / "Apple", "Apple", 30, "wood")
    asked = config(world).model_copy(update={"photos": (str(tmp_path / "photos"),)})

    def counts(of: str) -> dict[str, int]:
        data = prepare(asked.model_copy(update={"training": asked.training.model_copy(update={"heldout_of": of})}))
        return {one.source: len(one.train[0]) + len(one.validation[0]) for one in data.photos}

    kept = {source: sum(not held_out(path.name) for path in (tmp_path / "photos" / source).rglob("*.jpg")) for source in "ab"}
    assert max(kept.values()) < 30 and counts("") == kept and counts("a") == {"a": kept["a"], "b": 30}
    with pytest.raises(ConfigError, match="No source is called 'c'"):
        counts("a, c")


def test_a_kind_of_too_few_photos_is_left_out_and_named(world, tmp_path):
    for source in "abc":
        draw_into(tmp_path / "photos" / source / "Kiwi", "Kiwi", 4, "wood")
        draw_into(tmp_path / "photos" / source / "Okra", "Apple", 2, "wood")
    data = prepare(config(world).model_copy(update={"photos": (str(tmp_path / "photos"),)}))
    assert "Kiwi" in data.targets.classes and "Okra" not in data.targets.names
    assert data.too_few == ("Okra (6 photos of 3 sources)",)
    assert not any("Okra" in one.train[1] + one.validation[1] for one in data.photos)


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


def test_fruits_alone_are_enough(world, tmp_path):
    run = RunFolder(tmp_path / "run").create(config(world, photos=False, nothing=False, epochs=1))
    assert execute(run.path).state == "finished"
    assert read_config(run.best).classes == ("Apple Red 1", "Apple Red 2", "Banana")
    assert read_config(run.best).thresholds.not_fruit == 1


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


def test_in_the_end_the_trunk_goes_back_towards_its_start_and_the_last_layer_is_fitted_anew(world, tmp_path):
    ends = {}
    for share in (0.0, 0.5):
        settings = {"epochs": 1, "refit": 0, "ema": 0, "seed": 3, "start_share": share, "fit_last": 1e-3}
        run = RunFolder(tmp_path / str(share) / "run").create(config(world, **settings))
        assert execute(run.path).state == "finished" and "last layer fitted from zero on" in run.log_tail()
        ends[share] = load_checkpoint(run.best)[0]
    start = build_network(num_classes=5, width=8, seed=3)
    learned, blended = ends[0.0].conv1.weight, ends[0.5].conv1.weight
    torch.testing.assert_close(blended, (learned + start.conv1.weight) / 2, atol=1e-6, rtol=1e-4)
    assert not torch.equal(ends[0.0].head.weight, ends[0.5].head.weight)


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
