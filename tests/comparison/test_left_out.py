"""Sources left out in turn: who is asked about what, and that a study goes on where it was broken off."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fruitvision.comparison import left_out
from fruitvision.comparison.left_out import answers_of_checkpoint, split_sources, study_sources, write_table
from fruitvision.data.augment.backgrounds import generated_background
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.data.read.dataset import held_out
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import CheckpointError, ConfigError, DownloadError, RunError
from fruitvision.models.checkpoint import CheckpointConfig, read_config, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.recognition.evaluate.left_out import calibrate_on_sources, read_study, summarize_sources
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.runs.job.resume import sources_before
from fruitvision.runs.prepare import weights
from fruitvision.training.config import TrainConfig

TINY = {
    "start": "scratch",
    "width": 8,
    "image_size": 32,
    "first_image_size": 0,
    "eval_resize": 40,
    "eval_size": 40,
    "views": "one",
    "batch_size": 8,
    "epochs": 1,
    "refit": 0,
    "photo_validation": "pictures",
    "kind_pictures": 4,
    "kind_sources": 2,
}


def draw(folder: Path, kind: str, count: int, ground: str = "wood") -> None:
    folder.mkdir(parents=True)
    for n in range(count):
        picture = draw_fruit(kind, np.random.default_rng([len(str(folder)), n]), 48, background=ground)
        picture.save(folder / f"{folder.parent.name} {kind} {n}.jpg")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """lab/, and photos/ of three sources; nothing/ of two, one of which is also a source of photos."""
    root = tmp_path_factory.mktemp("world")
    for split, count in (("Training", 8), ("Test", 3)):
        for kind in ("Apple", "Banana"):
            draw(root / "lab" / split / kind, kind, count, "white")
    for source, kinds in (("phone", ("Apple", "Kiwi")), ("shop", ("Apple", "Banana", "Kiwi")), ("web", ("Banana", "Orange"))):
        for kind in kinds:
            draw(root / "photos" / source / kind, kind, 12 if source == "shop" else 7)
    for source in ("rooms", "web"):
        (root / "nothing" / source).mkdir(parents=True)
        for n in range(8):
            Image.fromarray(generated_background(np.random.default_rng(n), 48)).save(root / "nothing" / source / f"{source} {n}.jpg")
    return root


def config(world: Path, **settings) -> RunConfig:
    return RunConfig(
        name="study",
        data=str(world / "lab"),
        photos=(str(world / "photos"),),
        not_fruit=(str(world / "nothing"),),
        training=TrainConfig.from_preset("robust", **{**TINY, **settings}),
    )


def quiet(line: str) -> None:
    pass


def test_all_pictures_are_asked_about_but_the_fifth_that_is_kept(world, tmp_path):
    counts = {}
    for of in ("", "shop"):
        answers = study_sources(config(world, heldout_of=of), tmp_path / f"of {of}", groups=0, frozen=True, log=quiet)
        counts[of] = {name: answers.sources.count(name) for name in ("phone", "shop")}
    assert counts["shop"]["shop"] == counts[""]["shop"] < 36 and counts["shop"]["phone"] == 14 > counts[""]["phone"]


def test_groups_hold_about_as_many_pictures_each_and_keep_together_what_belongs_together():
    sizes = {"a": 50, "b": 30, "c": 20, "d": 10, "e": 5}
    parts = split_sources(sizes, 2)
    assert sorted(name for part in parts for name in part) == list("abcde")
    assert sorted(sum(sizes[name] for name in part) for part in parts) == [55, 60]
    alone = split_sources(sizes, 0, [("a", "e"), ("e", "d")])
    assert sorted(alone) == [["a", "d", "e"], ["b"], ["c"]]
    with pytest.raises(ConfigError, match="called .*x"):
        split_sources(sizes, 2, [("a", "x")])
    for few in ({"a": 3}, {}):
        with pytest.raises(ConfigError, match="two groups"):
            split_sources(few, 4)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.slow
def test_every_picture_is_asked_about_once_by_a_network_that_did_not_learn_its_source(world, tmp_path, frozen, monkeypatch):
    learned = []
    if frozen:
        real = left_out.refit
        monkeypatch.setattr(left_out, "refit", lambda head, seen, *rest: learned.append(len(seen.labels)) or real(head, seen, *rest))
    answers = study_sources(config(world), tmp_path / "study", groups=0, frozen=frozen, log=quiet)
    counts = {name: answers.sources.count(name) for name in set(answers.sources)}
    for name in ("phone", "shop", "rooms"):
        folder = world / ("nothing" if name == "rooms" else "photos") / name
        assert counts[name] == sum(not held_out(path.name) for path in folder.rglob("*.jpg"))
    both = [*(world / "photos" / "web").rglob("*.jpg"), *(world / "nothing" / "web").glob("*.jpg")]
    assert counts["web"] == sum(not held_out(path.name) for path in both), "one name is one source"
    assert "Orange" in answers.kinds and "Orange" not in answers.types, "of one source alone: a kind without a name"
    assert {"Apple", "Banana", "Kiwi"} == set(answers.types) and NOT_FRUIT in answers.kinds
    if frozen:
        assert len(learned) == 4 and len(set(learned)) > 1
    else:
        for number, group in enumerate(json.loads((tmp_path / "study" / "study.json").read_text())["groups"]):
            run = RunFolder(tmp_path / "study" / f"run-{number}")
            assert set(group) <= set(run.config().leave_out) and not set(group) & set(read_config(run.best).dataset["sources"])
    assert torch.equal(read_study(tmp_path / "study").logits, answers.logits)
    found = summarize_sources(answers, *calibrate_on_sources(answers))
    assert write_table(tmp_path, found).read_text().count("\n") == 1 + len(counts)


def test_a_study_goes_on_where_it_was_broken_off_and_another_one_is_refused(world, tmp_path, monkeypatch):
    asked, out, done = config(world), tmp_path / "study", []

    def fail_at_second(path, **options):
        done.append(path)
        if len(done) == 2:
            raise RunError("busy", run="mine")
        return execute(path, **options)

    monkeypatch.setattr(left_out, "execute", fail_at_second)
    with pytest.raises(RunError):
        study_sources(asked, out, groups=2, log=quiet)
    study_sources(asked, out, groups=2, log=quiet)
    assert len(done) == 3, "the first group is not trained again"
    with pytest.raises(ConfigError, match="another study"):
        study_sources(asked, out, groups=3, log=quiet)
    with pytest.raises(ConfigError, match="another study"):
        study_sources(config(world, seed=1), out, groups=2, log=quiet)


@pytest.fixture
def knowing(tmp_path) -> Path:
    """A checkpoint that was trained on the source "shop", and began with one that knew "web"."""
    names, learned = ("Apple", "Banana"), {"sources": ["shop", "elsewhere"], "sources_before": ["web"]}
    config = CheckpointConfig(width=8, classes=names, fruit_types=names, transform=EvalTransform(resize=40, crop=40), dataset=learned)
    return save_checkpoint(tmp_path / "knowing", build_network(num_classes=2, width=8, seed=0), config)


@pytest.mark.parametrize("setting", ["start", "teacher", "average_with"])
def test_a_study_builds_on_no_network_that_knows_its_sources(world, tmp_path, knowing, setting):
    with pytest.raises(ConfigError, match="trained on 2 of its sources, “shop” for example"):
        study_sources(config(world, **{setting: str(knowing)}), tmp_path / "study", log=quiet)
    assert not (tmp_path / "study").exists()


def test_a_study_does_not_take_the_shipped_network_for_missing_imagenet_weights(world, tmp_path, knowing, monkeypatch):
    def offline(*_):
        raise DownloadError("no-pretrained-weights", architecture="resnet18", reason="offline")

    monkeypatch.setattr(weights, "imagenet_weights", offline)
    with pytest.raises(DownloadError):
        study_sources(config(world, start="imagenet", width=64), tmp_path / "study", frozen=True, log=quiet)
    monkeypatch.setattr(weights, "shipped", lambda: [knowing])
    for start in ("shipped", "imagenet"):  # none of ImageNet's are as narrow
        with pytest.raises(ConfigError, match="trained on 2 of its sources"):
            study_sources(config(world, start=start), tmp_path / "study", frozen=True, log=quiet)


def test_a_checkpoint_says_what_the_one_that_it_began_with_had_learned(world, tmp_path, knowing):
    asked = config(world, start=str(knowing)).model_copy(update={"photos": (), "not_fruit": ()})
    run = RunFolder(tmp_path / "run").create(asked)
    execute(run.path)
    found = read_config(run.best).dataset
    assert found["sources"] == [] and found["sources_before"] == ["elsewhere", "shop", "web"]
    answers = answers_of_checkpoint(run.best, config(world), quiet)
    assert set(answers.sources) == {"phone", "rooms"}


def test_answers_of_a_study_that_started_from_the_shipped_network_are_not_taken_up_again(world, tmp_path, knowing, monkeypatch):
    study_sources(config(world), tmp_path / "study", groups=2, log=quiet)
    answers = study_sources(config(world), tmp_path / "study", groups=2, log=quiet)
    assert len(answers.sources) > 20, "as long as it began with random weights"
    monkeypatch.setattr(weights, "shipped", lambda: [knowing])
    run = RunFolder(tmp_path / "study" / "run-1")
    run.write_status(run.status().model_copy(update={"start": "shipped"}))
    with pytest.raises(ConfigError, match="trained on"):
        study_sources(config(world), tmp_path / "study", groups=2, log=quiet)


def test_a_run_that_goes_on_does_not_need_the_network_that_it_started_from(tmp_path):
    asked = TrainConfig.from_preset("robust", **{**TINY, "start": str(tmp_path / "gone")})
    assert sources_before(asked, asked.start, resumed=True) == []
    with pytest.raises(CheckpointError):
        sources_before(asked, asked.start, resumed=False)


@pytest.mark.parametrize(
    ("dataset", "sources"),
    [
        ({"sources": ["shop"], "beside": ["photos"]}, {"shop"}),
        ({"beside": ["shop"]}, {"shop"}),
        ({"sources": [], "sources_before": ["web"]}, {"web"}),
        ({"sources": None, "sources_before": "web"}, set()),
        ({"sources": ["shop", 3]}, {"shop"}),
        ({}, set()),
    ],
)
def test_what_a_checkpoint_learned_is_read_from_any_version_of_its_configuration(dataset, sources):
    assert weights.learned_sources(dataset) == sources


@pytest.mark.slow
def test_a_run_is_calibrated_by_a_study_and_its_card_leads_with_it(world, tmp_path):
    (world / "photos" / "sources.csv").write_text("source,repository,licence\nshop,somebody/shop,MIT\nelse,x/y,MIT\n")
    asked = config(world)
    study_sources(asked, tmp_path / "study", groups=2, log=quiet)
    run = RunFolder(tmp_path / "run").create(asked.model_copy(update={"study": str(tmp_path / "study"), "leave_out": ("rooms",)}))
    execute(run.path)
    found = read_config(run.best)
    temperature, thresholds = calibrate_on_sources(read_study(tmp_path / "study"))
    assert (found.temperature, found.thresholds) == (temperature, thresholds)
    assert found.left_out["images"] > 20 and found.dataset["sources"] == ["phone", "shop", "web"]
    assert found.dataset["photographed"].keys() == {"Apple", "Banana", "Kiwi"}
    assert found.dataset["credits"] == [{"source": "shop", "repository": "somebody/shop", "licence": "MIT"}]
    assert "--leave-out rooms --study study" in found.training["command"]
    card = (run.best / "README.md").read_text(encoding="utf-8")
    assert "left out of training" in card and "| phone |" in card and "| shop | somebody/shop | MIT |" in card
    log = run.log_tail()
    assert "left out as asked: rooms" in log and "Orange (7 photos of 1 sources)" in log


def test_a_study_that_is_not_there_is_said_before_there_is_a_run(world, tmp_path):
    from fruitvision.errors import DataError
    from fruitvision.runs.prepare.sources import find_sources

    with pytest.raises(DataError, match="no study"):
        find_sources(config(world).model_copy(update={"study": str(tmp_path)}))
