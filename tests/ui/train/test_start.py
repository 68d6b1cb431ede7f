"""Train: what pressing start makes of the form, and of what was taught."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fruitvision.data.fruits import EMPTY_TABLE
from fruitvision.errors import ConfigError, DataError
from fruitvision.runs import launcher
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import list_runs
from fruitvision.ui.page.datasets import TYPED, Datasets
from fruitvision.ui.page.models import Models, Teaching
from fruitvision.ui.train.settings import FIELDS, preset_values
from fruitvision.ui.train.start import Form, start_run, start_with_taught


@pytest.fixture
def started(monkeypatch, tmp_path, sample_set):
    """Press start with two folders beside the data: the configuration that a process would get."""
    asked = []
    monkeypatch.setattr(launcher, "start", lambda runs, config: asked.append(config))
    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path / "cache"))
    context = SimpleNamespace(runs=tmp_path / "runs", datasets=Datasets(sample_set.parent))

    def press(preset: str, photos: str = "", not_fruit: str = "", processes: float | None = 1) -> RunConfig:
        start_run(context, Form.of(TYPED, str(sample_set), photos, not_fruit, preset, processes, "", *preset_values(preset)))
        return asked[-1]

    return press


def test_photos_and_pictures_without_fruit_go_into_the_run(started, sample_set):
    config = started("robust", f' "{sample_set / "Training"}" ', str(sample_set / "Test"))
    assert config.photos == (str(sample_set / "Training"),) and config.not_fruit == (str(sample_set / "Test"),)
    assert started("fast", "", " ").photos == ()


def test_folders_that_no_run_could_learn_from_are_named_before_there_is_one(started, sample_set):
    for photos, nothing in (("/no/such/folder", ""), ("", "/no/such/folder")):
        with pytest.raises(DataError, match="/no/such/folder"):
            started("robust", photos, nothing)
    with pytest.raises(ConfigError, match="robust"):
        started("fast", str(sample_set / "Training"), "")


def test_photos_without_scenes_are_refused_with_the_augmentation_that_was_chosen(sample_set):
    from fruitvision.runs.config import RunConfig
    from fruitvision.runs.prepare.sources import find_sources
    from fruitvision.training.config import TrainConfig

    training = TrainConfig.from_preset("robust", augmentation="none")
    with pytest.raises(ConfigError, match="the augmentation “none”") as caught:
        find_sources(RunConfig(data=str(sample_set), photos=(str(sample_set / "Training"),), training=training))
    assert "without another augmentation" in str(caught.value)


def test_the_number_of_processes_goes_into_the_run_and_no_other_number_does(started):
    assert started("fast", processes=2.0).processes == 2
    for wrong in (0, 1.5, 10**6, None):
        with pytest.raises(ConfigError) as caught:
            started("fast", processes=wrong)
        assert caught.value.code == "bad-processes"
    assert launcher.module_options(1) == ["-m"] and "--nproc-per-node=3" in launcher.module_options(3)


def test_what_was_taught_joins_the_data_as_photos_and_stays_in_the_run_as_it_was(monkeypatch, tmp_path, sample_set):
    from fruitvision.runs.prepare.data import prepare

    asked = []
    monkeypatch.setattr(launcher, "start", lambda runs, config: asked.append(config))
    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path / "cache"))
    teaching = Teaching(tmp_path / "taught", Models(tmp_path / "runs"))
    context = SimpleNamespace(runs=tmp_path / "runs", teaching=teaching, datasets=Datasets(sample_set.parent))
    chosen = dict(zip(FIELDS, preset_values("fast"), strict=True)) | {"class_depth": 1, "epochs": 99}
    form = Form.of(TYPED, str(sample_set), "", "", "fast", 1, "", *chosen.values())
    with pytest.raises(DataError) as caught:
        start_with_taught(context, form)
    assert caught.value.code == "nothing-taught"
    pictures = [np.full((40, 40, 3), 20 * n, np.uint8) for n in range(8)]
    teaching.store.add("a/b", *pictures[:5])
    teaching.store.add("Banana", pictures[5])
    teaching.store.add(EMPTY_TABLE, *pictures[6:])
    start_with_taught(context, form)
    teaching.store.clear()
    (config,) = asked
    assert config.training.preset == "robust" and len(config.photos) == 1
    assert config.training.class_depth == 1 and config.training.epochs != 99, "the data is read as it is shown, the rest is the preset's"
    prepared = prepare(config)
    names = [*prepared.photos[0].train[1], *prepared.photos[0].validation[1]]
    assert sorted(names) == ["Banana", *["a_b"] * 5, *["not-fruit"] * 2], "every picture is there, by its name"
    assert {"a_b", "not-fruit"} <= set(prepared.targets.classes)
    assert not list_runs(tmp_path / "runs"), "the copy is no run"
