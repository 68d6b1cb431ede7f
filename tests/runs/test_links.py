"""Runs folders and runs that are links, or hold some: they work, and nothing outside is written or deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fruitvision.comparison.runner import run_study
from fruitvision.comparison.study import StudyFolder, StudyPlan
from fruitvision.errors import DataError, RunError
from fruitvision.runs import launcher, report
from fruitvision.runs.folder import RunFolder, list_runs, new_run
from fruitvision.runs.job.loop import execute
from fruitvision.runs.status import RunStatus
from fruitvision.ui.compare.study_panel import resume_study
from fruitvision.ui.page.downloads import download_path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")


@pytest.fixture
def linked(tmp_path) -> Path:
    """A runs folder that is a link, with a link to itself in it, one to above it, and one to nowhere."""
    (tmp_path / "large disk").mkdir()
    root = tmp_path / "runs"
    root.symlink_to(tmp_path / "large disk")
    (root / "itself").symlink_to("itself")
    (root / "up").symlink_to(tmp_path)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    return root


def test_a_runs_folder_that_is_a_link_works_and_circles_in_it_are_passed_over(linked, tiny):
    run = new_run(linked, tiny())
    assert list_runs(linked) == [run] and (linked.resolve() / run.id / "config.json").is_file()
    run.write_status(RunStatus(state="stopped"))
    launcher.refuse_if_busy(linked)
    run.refuse_links()  # the folder around it may be a link
    run.delete()
    assert list_runs(linked) == [] and linked.is_symlink()


def test_a_runs_folder_that_leads_to_itself_is_a_sentence(tmp_path, tiny):
    root = tmp_path / "runs"
    root.symlink_to(root)
    assert list_runs(root) == []
    with pytest.raises(DataError, match="cannot be written"):
        new_run(root, tiny())


def test_of_a_run_that_is_a_link_the_link_is_deleted(linked, tmp_path, tiny):
    elsewhere = RunFolder(tmp_path / "elsewhere").create(tiny())
    elsewhere.write_status(RunStatus(state="finished"))
    (linked / "run").symlink_to(elsewhere.path)
    (run,) = list_runs(linked)
    run.delete()
    assert list_runs(linked) == [] and elsewhere.exists


def test_links_in_a_run_are_deleted_with_it_and_what_they_lead_to_stays(tmp_path, tiny):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    run = RunFolder(tmp_path / "run").create(tiny())
    run.write_status(RunStatus(state="finished"))
    (run.path / "best").symlink_to(tmp_path / "precious")
    run.delete()
    assert not run.path.exists() and (tmp_path / "precious" / "file").exists()


@pytest.mark.parametrize("name", ["log.txt", "metrics.jsonl", "resume", "report", "output.txt"])
def test_a_run_that_holds_a_link_is_not_gone_on_with(tmp_path, tiny, name, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir() if name in ("resume", "report") else outside.write_text("mine", encoding="utf-8")
    run = RunFolder(tmp_path / "run").create(tiny())
    run.write_status(RunStatus(state="stopped"))
    (run.path / name).symlink_to(outside)
    steps = (lambda: launcher.resume(run), lambda: execute(run.path), lambda: report.begin_report(run))
    for state, go_on in zip(("stopped", "stopped", "finished"), steps, strict=True):
        run.write_status(RunStatus(state=state))
        with pytest.raises(RunError) as caught:
            go_on()
        assert caught.value.code == "run-has-link"
        monkeypatch.setattr(RunFolder, "has_checkpoint", True)
        monkeypatch.setattr(report, "list_pictures", lambda _, **how: type("Listing", (), {"split_folders": {"test": ""}}))
    assert list(outside.iterdir()) == [] if outside.is_dir() else outside.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["output.txt", "log.txt", "runs", "runs/batch-b32-s0/log.txt"])
def test_a_study_that_holds_a_link_is_not_gone_on_with(tmp_path, name, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir() if name == "runs" else outside.write_text("mine", encoding="utf-8")
    study = StudyFolder(tmp_path / "study").create(StudyPlan.parse({"data": str(tmp_path), "norms": ("batch", "group")}))
    study.write_status(RunStatus(state="stopped"))
    (study.path / name).parent.mkdir(parents=True, exist_ok=True)
    (study.path / name).symlink_to(outside)
    monkeypatch.setattr(launcher, "spawn_command", lambda *given, **named: pytest.fail("a process was started"))
    for go_on in (lambda: resume_study(study), lambda: run_study(None, study.path)):
        with pytest.raises(RunError) as caught:
            go_on()
        assert caught.value.code == "run-has-link"
    assert study.status().state == "stopped"
    assert list(outside.iterdir()) == [] if outside.is_dir() else outside.read_text(encoding="utf-8") == "mine"


def test_the_folder_of_files_to_download_is_not_cleared_where_another_account_made_it_a_link(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "shared"))
    (tmp_path / "shared").mkdir()
    (tmp_path / "home" / "letters").mkdir(parents=True)
    os.utime(tmp_path / "home" / "letters", (0, 0))
    (tmp_path / "shared" / "fruitvision-downloads").symlink_to(tmp_path / "home")
    with pytest.raises(DataError, match="cannot be written"):
        download_path("run", "csv", fallback="run")
    assert (tmp_path / "home" / "letters").is_dir()
