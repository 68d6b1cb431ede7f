"""The long test's command: what it says of what was tried, and where its faults strike."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.endurance.faults.sitecustomize import matches
from tests.endurance.faulty import FAULTS, struck
from tests.endurance.outcome import Outcome, exit_code, table
from tests.endurance.served import Answer


def test_a_promise_that_failed_is_an_exit_code_and_nothing_tried_is_none_kept():
    held, failed, skipped = (Outcome("chaos", "a | b", 1200, "fine", held) for held in (True, False, None))
    assert (exit_code([held, skipped]), exit_code([held, failed]), exit_code([skipped]), exit_code([])) == (0, 1, 1, 1)
    assert table([held, failed]).splitlines()[2:] == [f"| chaos | a / b | 1,200 | fine | {word} |" for word in ("held", "FAILED")]


def test_an_answer_is_known_by_its_names_and_shares():
    card = '<section class="fv-answer fv-sure"><h2 class="fv-name">{}</h2><p class="fv-variety">Variety: {}</p><i aria-valuenow="{}"></i>'
    mine, rounded, other, none = (
        Answer(html, 1.0, []) for html in (card.format("A", "1", 90), card.format("A", "1", 91), card.format("A", "2", 90), "")
    )
    assert mine.sure and mine.same(rounded) and not mine.same(other) and not mine.same(none) and not none.names


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/r/best/model.safetensors", "best/model.safetensors", True),
        ("/r/.best.12.new/config.json", "best/config.json", True),
        ("/r/last/model.safetensors", "best/model.safetensors", False),
        ("/r/resume/.state.pt.12.new", "resume/state.pt", True),
        ("/r/.best.12.new", "best", True),
        ("/r/sample/Test/0.jpg", "jpg", True),
        ("/r/status.json", "metrics.jsonl", False),
    ],
)
def test_a_fault_knows_the_file_that_it_waits_for(path, name, expected):
    assert matches(path, name) is expected


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_process_dies_in_the_write_that_was_named_and_its_clock_is_another(tmp_path):
    (tmp_path / "clock").write_text("-3600", encoding="utf-8")
    code = "import sys, time; open(sys.argv[1] + '/a.txt', 'w').write(str(time.time())); open(sys.argv[1] + '/b.txt', 'w')"
    environment = struck("kill b.txt 1 0", FRUITVISION_CLOCK=str(tmp_path / "clock"))
    assert FAULTS.is_dir()
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], env=environment, timeout=60)
    assert ended.returncode == -signal.SIGKILL and not (tmp_path / "b.txt").exists()
    written = os.stat(tmp_path / "a.txt").st_mtime
    assert abs(written - 3600 - float((tmp_path / "a.txt").read_text(encoding="utf-8"))) < 60
