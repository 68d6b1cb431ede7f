"""A finished run's report is made by a process of its own, which the panel only watches."""

from __future__ import annotations

import time

import pytest

from fruitvision.errors import RunError
from fruitvision.report import page, results
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.runs.report import REPORT, RESULTS, begin_report, report_file, report_state
from fruitvision.ui.train.run_panel import report_copy


def test_a_report_is_made_on_the_test_pictures_and_handed_out_once_it_is_there(tmp_path, tiny):
    run = RunFolder(tmp_path / "runs" / "a").create(tiny("水果 run", epochs=1))
    with pytest.raises(RunError) as caught:
        begin_report(run)
    assert caught.value.code == "report-not-finished"
    execute(run.path)
    assert report_state(run) == "none"
    with pytest.raises(RunError):
        report_copy(run)
    begin_report(run, "zh")
    assert report_state(run) == "making"
    end = time.monotonic() + 120
    while report_state(run) == "making" and time.monotonic() < end:
        time.sleep(0.2)
    assert report_state(run) == "ready", (run.path / "report.txt").read_text(encoding="utf-8")
    page = report_file(run).read_text(encoding="utf-8")
    assert '<html lang="zh">' in page and "16" in page
    assert report_copy(run).name == "水果-run.html"


def test_a_report_whose_process_ended_without_one_has_failed(tmp_path, tiny):
    run = RunFolder(tmp_path / "runs" / "a").create(tiny(epochs=1))
    execute(run.path)
    (run.best / "model.safetensors").write_bytes(b"broken")
    begin_report(run)
    end = time.monotonic() + 60
    while report_state(run) == "making" and time.monotonic() < end:
        time.sleep(0.2)
    assert report_state(run) == "failed"
    assert "Error:" in (run.path / "report.txt").read_text(encoding="utf-8")


def test_what_is_looked_for_is_what_the_command_writes():
    assert (REPORT, RESULTS) == (page.FILE, results.FILE)


ODD = [
    "[" * 50_000,
    '{"pid": ' + "9" * 400 + ', "started": 1}',
    '{"pid": 1, "started": ' + "9" * 400 + "}",
    "[1]",
    '{"pid": "x"}',
    "1",
    "\x00",
]


@pytest.mark.parametrize("content", ODD, ids=lambda content: content[:12])
def test_a_file_of_somebody_else_says_of_no_report_that_it_is_being_made(tmp_path, tiny, content):
    run = RunFolder(tmp_path / "run").create(tiny())
    (run.path / "report.json").write_text(content, encoding="utf-8")
    assert report_state(run) in ("none", "failed")
    (run.path / "report.json").write_text("[" + " " * 10_000 + "]", encoding="utf-8")
    assert report_state(run) == "none"
