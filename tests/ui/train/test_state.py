"""What the server keeps of a page of Train or Compare: little, whatever the page sends."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image

from fruitvision.report.charts import COLOURS
from fruitvision.runs import launcher
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import new_run
from fruitvision.training.config import TrainConfig
from fruitvision.ui.compare.study_panel import study_updates
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.datasets import MAX_SCANS, TYPED, Datasets
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import Access
from fruitvision.ui.train.run_panel import run_updates
from fruitvision.ui.train.runs import table_action
from fruitvision.ui.train.settings import preset_values
from fruitvision.ui.train.setup_panel import Training, data_updates
from fruitvision.ui.train.start import MAX_PATH_LENGTH, Form

LONG = "x" * 2_000_000
MOST = 4096
"""Letters of what one state may hold."""


@pytest.fixture
def context(tmp_path) -> Context:
    runs = tmp_path / "runs"
    return Context(runs=runs, taught=tmp_path, access=Access("token"), models=Models(runs), data=tmp_path / "data")


@pytest.mark.parametrize("owner", [True, False])
def test_what_is_shown_already_is_known_by_hashes(context, owner):
    form = Form.of(LONG, LONG, LONG, LONG, "fast", 1, LONG, *preset_values("fast"))
    chosen = data_updates(Training(context), form, LONG[:MAX_PATH_LENGTH], 0, None, LONG, "en", owner=owner, opened=False)
    for shown in (
        chosen,
        run_updates(context, LONG, [LONG], None, "en", owner=owner),
        study_updates(context, LONG, None, "en", owner=owner),
    ):
        assert len(repr(shown["seen"])) < MOST
    end = time.monotonic() + 30  # the folder is looked at in a thread
    while chosen := data_updates(Training(context), form, LONG[:MAX_PATH_LENGTH], 0, chosen["seen"], LONG, "en", owner=owner, opened=False):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_taught_pictures_are_offered_for_training_once_there_are_some_and_start_steps_back_while_a_run_goes_on(context, monkeypatch):
    training, form = Training(context), Form.of("sample", "", "", "", "fast", 1, "", *preset_values("fast"))

    def shown(seen=None, owner=True):
        return data_updates(training, form, "", 0, seen, "", "en", owner=owner, opened=False)

    first = shown()
    assert not first["start_taught"]["visible"] and first["start"]["variant"] == "primary"
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(buffer, "PNG")
    context.teaching.store.add("Quince", buffer.getvalue())
    assert shown(first["seen"])["start_taught"]["visible"] and not shown(owner=False)["start_taught"]["visible"]
    monkeypatch.setattr(launcher, "running", lambda runs: "a run")
    assert shown(first["seen"])["start"]["variant"] == "secondary"


def test_a_form_keeps_no_more_of_a_typed_folder_than_a_file_system_knows():
    form = Form.of("typed", LONG, LONG, LONG, "fast", 1, "", *preset_values("fast"))
    assert {len(folder) for folder in (form.folder, form.photos, form.not_fruit)} == {MAX_PATH_LENGTH}


def test_a_few_runs_that_there_are_lie_beside_the_one_in_view(context):
    config = RunConfig(data="pictures", training=TrainConfig.from_preset("fast"))
    runs = [new_run(context.runs, config).id for _ in range(len(COLOURS) + 3)]
    overlaid: list[str] = [LONG]
    for run in (*runs, runs[-1]):
        overlaid = table_action(context, "overlay", run, overlaid, "en", owner=True)["overlaid"]
    assert overlaid == runs[-len(COLOURS) + 1 :], "the last ones, each once, in a colour of its own"
    assert table_action(context, "overlay", LONG, overlaid, "en", owner=True) == {}


def test_the_scans_of_many_folders_are_not_all_kept(context, tmp_path):
    datasets = Datasets(tmp_path)
    for number in range(2 * MAX_SCANS):
        datasets.scan(TYPED, str(tmp_path / f"nowhere {number}")).join(10)
    assert len(datasets._scans) <= MAX_SCANS
