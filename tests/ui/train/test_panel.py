"""Train: what is said of pictures, settings and runs, without a browser."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest

from fruitvision.data.fruits import EMPTY_TABLE
from fruitvision.errors import ConfigError, DataError, RunError
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunConfig, RunFolder, RunStatus, list_runs, new_run
from fruitvision.runs.prepare.estimate import Pace
from fruitvision.training.config import PRESETS, TrainConfig
from fruitvision.ui.page.datasets import TYPED, Datasets, Scan
from fruitvision.ui.page.models import Models, Teaching
from fruitvision.ui.train.pictures.view import augmentation_grid, scan_card
from fruitvision.ui.train.run_view import differences, epochs_csv, main_charts, more_charts, run_table, status_line
from fruitvision.ui.train.settings import CHOICES, FIELDS, configuration, preset_values
from fruitvision.ui.train.start import Form, start_run, start_with_taught
from fruitvision.ui.train.times import Estimates, fitting_words, preset_choices
from fruitvision.ui.train.watch import csv_file
from fruitvision.wording.text import sentences

STATES = ("waiting", "preparing", "running", "finished", "stopped", "failed", "interrupted")
SPLITS = {"train": 600, "test": 100}
BAD_NAME = "<img src=x onerror=alert(1)>"


def make_run(root: Path, name: str = "three", state: str = "finished", data: Path | None = None, **status) -> RunFolder:
    """A run as its folder would be, of three epochs of two steps."""
    training = TrainConfig.from_preset("fast", epochs=3)
    run = new_run(root, RunConfig(name=name, data=str(data or root / "pictures"), training=training))
    values = {"epochs": 3, "epoch": 3, "step": 2, "steps": 2, "best_val_accuracy": 0.875, "seconds": 65.0, "heartbeat": time.time()}
    run.write_status(RunStatus(state=state, **{**values, **status}))
    for epoch in (1, 2, 3):
        for step in (1, 2):
            run.append(
                {
                    "kind": "step",
                    "epoch": epoch,
                    "step": step,
                    "steps": 2,
                    "loss": 1 / epoch,
                    "lr": 1e-3,
                    "grad_norm": 1.0,
                    "images_per_s": 50.0,
                }
            )
        run.append(
            {"kind": "epoch", "epoch": epoch, "train_loss": 1 / epoch, "train_accuracy": 0.5, "val_loss": 0.9 / epoch, "val_accuracy": 0.6}
        )
    return run


def scanned(datasets: Datasets, choice: str, typed: str = "") -> Scan:
    """A folder's scan, when it is done."""
    scan = datasets.scan(choice, typed)
    scan.join(60)
    assert not scan.busy
    return scan


# Starting --------------------------------------------------------------------------------------------------------


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


def test_the_number_of_processes_goes_into_the_run_and_no_other_number_does(started):
    assert started("fast", processes=2.0).processes == 2
    for wrong in (0, 1.5, 10**6, None):
        with pytest.raises(ConfigError) as caught:
            started("fast", processes=wrong)
        assert caught.value.code == "bad-processes"
    assert launcher.module_options(1) == ["-m"] and "--nproc-per-node=3" in launcher.module_options(3)


# The settings ----------------------------------------------------------------------------------------------------


def test_every_setting_but_the_preset_is_a_field_once():
    assert sorted(FIELDS) == sorted(set(TrainConfig.model_fields) - {"preset"})


def test_every_setting_choice_and_preset_has_its_words_in_both_languages():
    known = sentences()
    properties = TrainConfig.model_json_schema()["properties"]
    keys = [f"settings.{name}.{part}" for name in FIELDS for part in ("name", "meaning")]
    for name in FIELDS:
        options = CHOICES.get(name) or properties[name].get("enum") or ()
        keys += [f"settings.{name}.choices.{option}" for option in options]
    keys += [f"train.preset_{preset}{part}" for preset in PRESETS for part in ("", "_meaning")]
    keys += [f"train.{kind}_{state}" for kind in ("status", "state") for state in STATES]
    assert not [key for key in keys if not {"en", "zh"} <= set(known.get(key, ()))]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_untouched_form_is_the_preset(preset):
    assert configuration(preset, preset_values(preset)) == TrainConfig.from_preset(preset)


def test_what_the_form_shows_is_what_is_trained():
    values = dict(zip(FIELDS, preset_values("fast"), strict=True)) | {"image_size": 64, "first_image_size": 32}
    config = configuration("fast", tuple(values.values()))
    assert (config.image_size, config.first_image_size, config.eval_resize) == (64, 32, values["eval_resize"])


def test_wrong_settings_are_all_named_in_one_sentence():
    values = dict(zip(FIELDS, preset_values("fast"), strict=True)) | {"epochs": 0, "batch_size": 10**6, "flip": 2.0}
    with pytest.raises(ConfigError) as caught:
        configuration("fast", tuple(values.values()))
    assert all(name in str(caught.value) for name in ("epochs", "batch_size", "flip"))


def test_fields_left_empty_are_named():
    values = dict(zip(FIELDS, preset_values("fast"), strict=True)) | {"epochs": None, "seed": None}
    with pytest.raises(ConfigError, match="epochs.*seed"):
        configuration("fast", tuple(values.values()))


def test_a_card_says_that_its_time_is_not_known_and_then_how_long_it_takes(monkeypatch):
    estimates = Estimates()
    assert "measuring" in preset_choices(estimates, {"train": 100, "test": 20}, "en")[0][0]
    pace = Pace(train=0.1, augment=0.01, view=0.02)
    monkeypatch.setattr(
        "fruitvision.ui.train.times.call_separately",
        lambda paces, jobs, evaluating, report: [report(n, None if n < 0 else pace) for n in range(-1, len(jobs))],
    )
    estimates.begin()
    end = time.monotonic() + 10
    while not estimates.done and time.monotonic() < end:
        time.sleep(0.01)
    cards = {preset: text for text, preset in preset_choices(estimates, SPLITS, "en")}
    assert "about" in cards["plain"] and "min" in cards["plain"]  # 600 pictures × 0.1 s × 10 epochs
    assert cards.keys() == PRESETS.keys()


def test_a_time_that_could_not_be_measured_is_not_claimed(monkeypatch):
    def broken(paces, jobs, evaluating, report):
        raise RunError("work-ended")

    monkeypatch.setattr("fruitvision.ui.train.times.call_separately", broken)
    estimates = Estimates()
    estimates.begin()
    estimates.task.join(10)
    assert "about" not in preset_choices(estimates, SPLITS, "en")[0][0]


def test_the_times_are_measured_in_a_process_of_their_own(monkeypatch):
    monkeypatch.setattr("fruitvision.ui.train.times.PRESETS", {"fast": PRESETS["fast"]})
    before = psutil.Process().memory_info().rss
    estimates = Estimates()
    estimates.begin()
    estimates.task.join(60)
    pace = estimates.paces["fast"]
    assert estimates.done and 0 < pace.augment < pace.train < 10 and 0 < pace.view < pace.train and 0.5 < estimates.start < 60
    assert psutil.Process().memory_info().rss - before < 40 * 2**20, "a training step of the preset takes several hundred"


def test_the_recipes_that_fit_a_persons_time_are_named_or_how_many_pictures_would(monkeypatch):
    estimates = Estimates()
    assert fitting_words(estimates, "10", SPLITS, "en") == "", "not measured yet"
    paces = {"plain": Pace(0.1, 0.01, 0.035), "fast": Pace(0.01, 0.001, 0.0035), "robust": None}  # about 10 min and 35 s
    estimates.paces = paces
    assert fitting_words(estimates, None, SPLITS, "en") == fitting_words(estimates, "5", None, "en") == ""
    assert "Fast" in (words := fitting_words(estimates, "5", SPLITS, "en")) and "Plain" not in words
    assert "Plain · Fast" in fitting_words(estimates, "20", SPLITS, "en")
    assert "标准 · 快速" in fitting_words(estimates, "20", SPLITS, "zh")
    none = fitting_words(estimates, "0.4", SPLITS, "en")
    pictures = int(re.search(r"about (\d+)", none)[1])
    assert "Maximum training pictures" in none and 200 < pictures < 500
    assert estimates.seconds("fast", SPLITS, pictures) <= 24 + 0.1 < estimates.seconds("fast", SPLITS)
    assert all("as a number" in fitting_words(estimates, wrong, SPLITS, "en") for wrong in ("ten", "-1", "nan", "0"))
    assert "No recipe" in fitting_words(estimates, "0.05", SPLITS, "en")


# The pictures ----------------------------------------------------------------------------------------------------


def test_drawn_pictures_are_counted_and_called_synthetic(sample_set, tmp_path):
    scan = scanned(Datasets(tmp_path), TYPED, str(sample_set))
    for language, word in (("en", "synthetic"), ("zh", "合成")):
        card = scan_card(scan, language)
        assert word in card and "32" in card and "16" in card
    assert "4 kinds" in scan_card(scan, "en")


def test_a_folder_without_pictures_gets_a_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    scan = scanned(Datasets(tmp_path), TYPED, str(tmp_path / "empty"))
    assert scan.error and 'role="alert"' in scan_card(scan, "en")


def test_folders_of_the_data_folder_are_offered_and_nothing_beside_it(sample_set, tmp_path):
    (tmp_path / "data" / "mine").mkdir(parents=True)
    (tmp_path / "data" / ".hidden").mkdir()
    shelf = Datasets(tmp_path / "data")
    assert [choice for _, choice in shelf.owners_choices("en")] == ["sample", "folder:mine", "typed"]
    assert [choice for _, choice in shelf.choices("en")] == ["sample", "typed"], "for visitors"
    for choice in ("folder:..", "folder:../data", "folder:.", "folder:"):
        assert scanned(shelf, choice).error["code"] == "data-not-chosen"


def test_a_dataset_is_offered_itself_and_not_its_halves(sample_set, tmp_path):
    shelf = Datasets(sample_set)
    assert [choice for _, choice in shelf.owners_choices("en")] == ["sample", f"folder:{sample_set.name}", "typed"]
    assert shelf.path(f"folder:{sample_set.name}") == sample_set


def test_folders_of_class_folders_are_offered_together_too(sample_set, tmp_path):
    import shutil

    for name, above in (("Apple", "Round"), ("Banana", "Long")):
        shutil.copytree(sample_set / "Training" / name, tmp_path / "set" / above / name)
    assert [choice for _, choice in Datasets(tmp_path / "set").owners_choices("en")][1:-1] == ["folder:set", "folder:Long", "folder:Round"]


def test_a_typed_path_may_be_quoted_or_an_archive_and_an_address_is_refused(sample_set, tmp_path):
    import shutil

    assert Datasets(tmp_path).path(TYPED, f' "{sample_set.as_uri()}" ') == sample_set
    archive = shutil.make_archive(str(tmp_path / "fruit"), "zip", sample_set.parent, sample_set.name)
    scan = scanned(Datasets(tmp_path), TYPED, archive)
    assert not scan.error and scan.result.dataset.root == tmp_path / "fruit"
    assert scanned(Datasets(tmp_path), TYPED, "https://example.org/a.zip").error["code"] == "path-is-address"


def test_what_was_understood_of_a_folder_is_said(sample_set, tmp_path):
    import shutil

    for name, above in (("Apple", "Round"), ("Banana", "Long")):
        shutil.copytree(sample_set / "Training" / name, tmp_path / "set" / above / name)
        shutil.copytree(sample_set / "Training" / name, tmp_path / "set" / above / f"{name} 2")
    scan = scanned(Datasets(tmp_path), TYPED, str(tmp_path / "set"))
    assert "class_depth" in scan_card(scan, "en") and "最深" in scan_card(scan, "zh")


def test_names_of_classes_and_files_are_escaped(sample_set, tmp_path):
    import shutil

    root = tmp_path / "set"
    shutil.copytree(sample_set, root)
    (root / "Training" / "Apple").rename(root / "Training" / "<b>Apple")
    (root / "Training" / "<b>Apple" / "<i>.jpg").write_bytes(b"no picture")
    card = scan_card(scanned(Datasets(tmp_path), TYPED, str(root)), "en")
    assert "<i>" not in card and "<b>" not in card and "&lt;i&gt;.jpg" in card


def test_the_grid_shows_other_pictures_for_another_seed_and_says_what_it_is(sample_set, tmp_path):
    scan = scanned(Datasets(tmp_path), TYPED, str(sample_set))
    config = TrainConfig.from_preset("fast")
    grids = [augmentation_grid(scan.result, config, seed, "en") for seed in (0, 0, 1)]
    assert grids[0] == grids[1] != grids[2]
    assert 'alt="' in grids[0] and 'alt=""' not in grids[0]


def test_a_download_that_fails_is_a_sentence(tmp_path, monkeypatch):
    from fruitvision.errors import DownloadError
    from fruitvision.ui.train.pictures.view import download_card

    def refuse(folder, *, progress):
        progress(2**20, None)
        raise DownloadError("download-offline", host="<x>", reason="no way out", url="https://x", file="a.zip")

    monkeypatch.setattr("fruitvision.ui.page.datasets.download_fruits360", refuse)
    shelf = Datasets(tmp_path)
    assert download_card(shelf.downloading(), "en") == ""
    shelf.download()
    end = time.monotonic() + 10
    while shelf.downloading().busy and time.monotonic() < end:
        time.sleep(0.01)
    card = download_card(shelf.downloading(), "en")
    assert "cannot be reached" in card and "<x>" not in card


# The runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("state", STATES)
def test_every_state_is_said_in_words_with_the_name_escaped(tmp_path, state, language):
    going = {"pid": 0} if state in ("waiting", "preparing", "running") else {}
    error = {"error": {"code": "x", "message": "The disk <is> full.", "facts": {}}} if state == "failed" else {}
    run = make_run(tmp_path, BAD_NAME, state, eta_s=180.0, epoch=2, step=1, **going, **error)
    line = status_line(run, language)
    assert f"fv-run-{state}" in line and "<img" not in line and "&lt;img" in line
    assert "<is>" not in line
    if going:
        assert 'role="progressbar"' in line and "3" in line


def test_a_run_whose_process_is_gone_is_said_to_be_interrupted(tmp_path):
    run = make_run(tmp_path, state="running", pid=2**22 + 1, process_started=1.0)
    assert "Resume" in status_line(run, "en")


def test_a_finished_run_says_what_it_measured(tmp_path):
    run = make_run(tmp_path)
    run.append({"kind": "test", "top1": 0.75, "images": 140})
    line = status_line(run, "en")
    assert "75.0%" in line and "140" in line and "87.5%" in line


def test_charts_are_drawn_of_none_one_and_several_runs(tmp_path):
    first, second = make_run(tmp_path, "one"), make_run(tmp_path, BAD_NAME)
    for charts, count in ((main_charts, 2), (more_charts, 3)):
        for runs in ([], [first], [first, second]):
            drawn = charts(runs, "zh")
            assert drawn.count("<svg") == count and "<img" not in drawn
    assert main_charts([first, second], "en").count('class="fv-curve"') == 8


def test_the_table_offers_a_visitor_nothing_that_changes_anything(tmp_path):
    run = make_run(tmp_path, BAD_NAME)
    for owner in (True, False):
        table = run_table([run], [], "en", owner=owner)
        assert "<img" not in table and 'data-action="open"' in table
        assert ('data-action="delete"' in table) == ('data-action="rename"' in table) == owner


def test_runs_are_listed_with_what_differs_between_them_only(tmp_path):
    def config(**settings) -> RunConfig:
        return RunConfig(data="/a/pictures", training=TrainConfig.from_preset("fast", epochs=3, **settings))

    configs = [config(norm="group", seed=1), config(seed=2), config().model_copy(update={"processes": 2, "data": "/b/others"})]
    assert differences(configs) == [
        {"data": "pictures", "norm": "group", "seed": 1},
        {"data": "pictures", "seed": 2},
        {"data": "others", "processes": 2},
    ]
    assert differences(configs[:1]) == [{}] and differences([]) == []
    many = {"learning_rate": 0.1, "weight_decay": 0.3, "flip": 0.1, "channels_last": False, "batch_size": 8}
    runs = [new_run(tmp_path, one) for one in (configs[0], config(**many))]
    table = run_table(runs, [], "en", owner=True)
    assert "Normalization Group norm" in table and "and 1 more" in table and "Channels last off" in table
    assert "Epochs" not in table


def test_a_runs_figures_are_a_table_that_a_spreadsheet_opens(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    run = make_run(tmp_path, "苹果 1")
    path = csv_file(run)
    table = pd.read_csv(path, encoding="utf-8-sig")
    assert path.name == "苹果-1.csv" and table["epoch"].tolist() == [1, 2, 3]
    assert table["val_loss"].tolist() == pytest.approx([0.9, 0.45, 0.3]) and "kind" not in table
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert epochs_csv(new_run(tmp_path, run.config())) == "\ufeffepoch\n"


def test_a_run_that_goes_on_cannot_be_deleted_from_the_table(tmp_path):
    run = make_run(tmp_path, state="waiting")
    assert 'data-action="delete"' not in run_table([run], [], "en", owner=True)


# With what was taught ----------------------------------------------------------------------------------------------


def test_what_was_taught_joins_the_data_as_photos_and_stays_in_the_run_as_it_was(monkeypatch, tmp_path, sample_set):
    from fruitvision.runs.prepare.data import prepare

    asked = []
    monkeypatch.setattr(launcher, "start", lambda runs, config: asked.append(config))
    monkeypatch.setenv("FRUITVISION_CACHE", str(tmp_path / "cache"))
    teaching = Teaching(tmp_path / "taught", Models(tmp_path / "runs"))
    context = SimpleNamespace(runs=tmp_path / "runs", teaching=teaching, datasets=Datasets(sample_set.parent))
    form = Form.of(TYPED, str(sample_set), "", "", "fast", 1, "", *preset_values("fast"))
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
    prepared = prepare(config)
    names = [*prepared.photos[0].train[1], *prepared.photos[0].validation[1]]
    assert sorted(names) == ["Banana", *["a_b"] * 5, *["not-fruit"] * 2], "every picture is there, by its name"
    assert {"a_b", "not-fruit"} <= set(prepared.targets.classes)
    assert not list_runs(tmp_path / "runs"), "the copy is no run"
