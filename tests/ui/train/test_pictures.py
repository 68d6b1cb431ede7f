"""Train: what is said of the chosen pictures."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

from PIL import Image

from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.datasets import TYPED, Datasets, Scan
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import Access
from fruitvision.ui.train.pictures.view import augmentation_grid, download_card, scan_card
from fruitvision.ui.train.settings import FIELDS, preset_values
from fruitvision.ui.train.setup_panel import Training, data_updates, valid_configuration
from fruitvision.ui.train.start import Form
from fruitvision.wording.text import LANGUAGES
from tests.data.read.layouts.test_labels import detection


def detection_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), "red").save(path)


def scanned(datasets: Datasets, choice: str, typed: str = "") -> Scan:
    """A folder's scan, when it is done."""
    scan = datasets.scan(choice, typed)
    scan.join(60)
    assert not scan.busy
    return scan


def test_drawn_pictures_are_counted_and_called_synthetic(sample_set, tmp_path):
    scan = scanned(Datasets(tmp_path), TYPED, str(sample_set))
    for language, word in (("en", "synthetic"), ("zh", "合成")):
        card = scan_card(scan, language)
        assert word in card and "32" in card and "16" in card
    assert "4 kinds" in scan_card(scan, "en")


def test_a_total_is_said_once_it_is_known():
    waiting = SimpleNamespace(error=None, result=None, busy=True, done=0, total=0)
    for language in LANGUAGES:
        begun, known = scan_card(waiting, language), scan_card(SimpleNamespace(**{**vars(waiting), "done": 3, "total": 12}), language)
        assert "…" not in begun and "0" not in begun and "3" in known and "12" in known
        waiting.done = 5 << 20
        assert "5 MB" in (card := download_card(waiting, language)) and "…" not in card
        waiting.done = 0


def test_a_folder_without_pictures_gets_a_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    scan = scanned(Datasets(tmp_path), TYPED, str(tmp_path / "empty"))
    assert scan.error and 'role="alert"' in scan_card(scan, "en")


def test_the_error_of_a_listed_folder_names_it_as_the_list_does(tmp_path):
    detection_picture(tmp_path / "data" / "flat" / "1.png")
    datasets = Datasets(tmp_path / "data")
    listed, typed = scanned(datasets, "folder:flat"), scanned(datasets, TYPED, str(tmp_path / "data" / "flat"))
    assert "pictures in flat are not" in scan_card(listed, "en", datasets.parent("folder:flat"))
    assert datasets.parent(TYPED) is None and str(tmp_path) in scan_card(typed, "en", datasets.parent(TYPED))


def test_the_card_follows_the_level_of_class_folders_and_the_cropping_of_boxes(tmp_path):
    """It went on to ask for a setting that was made, and counted other classes than the run."""
    for kind, group in (("Apple/Red", "a"), ("Apple/Green", "b"), ("Pear/Long", "c")):
        detection_picture(tmp_path / "levels" / kind / f"{group}.png")
    detection(tmp_path / "boxes", "COCO")
    context = Context(tmp_path / "runs", tmp_path / "taught", Access("token"), Models(tmp_path / "runs"), tmp_path / "data")
    for folder, changed, before, after in (
        ("levels", {"class_depth": 1}, "3 kinds", "2 kinds"),
        ("boxes", {"crop_boxes": True}, "Cut out boxes", "2 kinds"),
    ):
        for settings, words in (({}, before), (changed, after)):
            values = [settings.get(name, value) for name, value in zip(FIELDS, preset_values("fast"), strict=True)]
            form = Form.of(TYPED, str(tmp_path / folder), "", "", "fast", 1, "", *values)
            config = valid_configuration(form)
            context.datasets.scan(TYPED, form.folder, depth=config.class_depth, boxes=config.boxes).join(60)
            found = data_updates(Training(context), form, form.folder, 0, None, "", "en", owner=True, opened=False)["found"]
            assert words in found, (settings, found)


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
