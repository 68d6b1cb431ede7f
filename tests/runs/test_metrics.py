"""Looking at runs costs little, however long they are: what did not change is not read again, and what grew is read on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fruitvision.files import FRESH_SECONDS, FileCache
from fruitvision.runs import metrics
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder, list_runs, new_run
from fruitvision.runs.job.loop import execute
from fruitvision.runs.metrics import metrics_reader
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import EpochDone
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import Access
from fruitvision.ui.train.bar.run_bar import run_state
from fruitvision.ui.train.run_panel import run_updates
from fruitvision.ui.train.run_view import main_charts, run_table, status_line

PROJECT = Path(__file__).resolve().parents[2]
opened: list[str] | None = None


def _note(event: str, given: tuple) -> None:
    if event == "open" and opened is not None and isinstance(given[0], str | os.PathLike):
        opened.append(Path(given[0]).name)


sys.addaudithook(_note)  # it cannot be taken off again, and does nothing while nobody asks


def files_read(action) -> list[str]:
    """The files of runs that are opened meanwhile."""
    global opened
    opened = []
    try:
        action()
        return [name for name in opened if name in ("config.json", "status.json", "metrics.jsonl")]
    finally:
        opened = None


def long_ago(root: Path) -> None:
    """Files that changed just now are read again, lest two changes of one moment be taken for one."""
    then = time.time() - 100
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def step(epoch: int, number: int, steps: int = 100) -> str:
    record = {"kind": "step", "epoch": epoch, "step": number, "steps": steps, "loss": 1 / number, "lr": 1e-3, "grad_norm": 1.0}
    return json.dumps({**record, "images_per_s": 50.0}) + "\n"


def make_run(root: Path, name: str, state: str = "finished", *, steps: int = 0, old: bool = False, **status) -> RunFolder:
    run = new_run(root, RunConfig(name=name, data="pictures", training=TrainConfig.from_preset("fast", epochs=3)))
    values = {"epochs": 3, "epoch": 3, "steps": 100, "best_val_accuracy": 0.5, "heartbeat": time.time(), "skipped": None if old else 2}
    tested = {} if old else {"test_top1": 0.25, "test_images": 8}
    run.write_status(RunStatus(state=state, **{**values, **tested, **status}))
    text = "".join(step(1, n + 1) for n in range(steps))
    text += json.dumps({"kind": "epoch", "epoch": 1, "val_loss": 1.0, "val_accuracy": 0.5, "skipped": 2}) + "\n"
    run.metrics_file.write_text(text + json.dumps({"kind": "test", "top1": 0.25, "images": 8}) + "\n", encoding="utf-8")
    run.best.mkdir(exist_ok=True)
    (run.best / "config.json").write_text("{}", encoding="utf-8")
    return run


@pytest.fixture
def context(tmp_path) -> Context:
    runs = tmp_path / "runs"
    return Context(runs=runs, taught=tmp_path, access=Access("token"), models=Models(runs), data=tmp_path / "data")


@pytest.mark.parametrize("owner", [True, False])
@pytest.mark.parametrize("old", [False, True])
def test_a_tick_reads_nothing_of_200_runs_that_rest(context, owner, old):
    made = [make_run(context.runs, f"run {n}", steps=1000 if n < 20 else 10, old=old) for n in range(200)]
    long_ago(context.runs)
    first = files_read(lambda: run_updates(context, None, [], None, "en", owner=owner))
    assert first.count("status.json") == first.count("config.json") == 200
    assert first.count("metrics.jsonl") <= (202 if old else 2), "only what an earlier version wrote is looked for there"
    run = run_updates(context, None, [], None, "en", owner=owner)["run"]
    seen = run_updates(context, run, [], None, "en", owner=owner)["seen"]
    took = []

    def tick() -> None:
        began = time.process_time()
        shown = run_updates(context, run, [], seen, "en", owner=owner)
        took.append(time.process_time() - began)
        assert shown == {}, "nothing is sent"

    assert files_read(tick) == []
    assert files_read(lambda: run_state(context, {}, "en")) == [], "the bar above the panels"
    for _ in range(20):
        tick()
    assert min(took) < 0.02, f"{min(took) * 1000:.0f} ms of the processor"
    assert made[0].summary() == (2, 0.25, 8)


def test_what_another_process_changes_is_seen_at_the_next_tick(context):
    """What is known of a file is its inode, size and time: only another process shows that nothing else tells."""
    runs = [make_run(context.runs, f"run {n}") for n in range(3)]
    long_ago(context.runs)
    shown = run_updates(context, runs[0].id, [], None, "en", owner=True)
    code = f"""
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.names import rename
run = RunFolder({str(runs[1].path)!r})
rename(run, "renamed elsewhere")
run.write_status(run.status().model_copy(update={{"test_top1": 0.75}}))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, timeout=60)
    ticked = run_updates(context, runs[0].id, [], shown["seen"], "en", owner=True)
    assert "renamed elsewhere" in ticked["table"] and "75.0%" in ticked["table"] and "75.0%" not in shown["table"]


def test_a_step_of_one_run_reads_that_run_alone_and_of_its_figures_only_what_is_new(context):
    for n in range(30):
        make_run(context.runs, f"run {n}", steps=500)
    live = make_run(context.runs, "live", "waiting", steps=15_000)
    long_ago(context.runs)
    shown = run_updates(context, live.id, [], None, "en", owner=True)
    seen = shown["seen"]
    with live.metrics_file.open("a", encoding="utf-8") as file:
        file.write(step(2, 1))
    live.write_status(live.status().model_copy(update={"epoch": 2, "step": 1, "heartbeat": time.time()}))
    parsed, real = [], metrics.parse_record
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "parse_record", lambda line: parsed.append(line) or real(line))
        patch.setattr("fruitvision.ui.train.run_panel.run_table", lambda *given, **named: pytest.fail("the table is made anew"))
        found = files_read(lambda: run_updates(context, live.id, [], seen, "en", owner=True))
    assert found.count("metrics.jsonl") <= 2 and set(found) <= {"status.json", "metrics.jsonl"}, found
    assert found.count("status.json") <= 4, "those of the live run alone"
    assert parsed == [step(2, 1).rstrip("\n").encode()]


def test_a_file_that_grows_is_read_on_and_one_that_was_rewritten_from_the_start(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert metrics_reader(path).read() == ([], [])
    path.write_text(step(1, 1) + step(1, 2)[:20], encoding="utf-8")
    assert [one["step"] for one in metrics_reader(path).read()[1]] == [1]
    with path.open("a", encoding="utf-8") as file:
        file.write(step(1, 2)[20:] + "not json\n" + '{"kind": "epoch", "epoch": 1, "val_loss": "x"}\n' + step(1, 3).rstrip("\n"))
    epochs, steps = metrics_reader(path).read()
    assert [one["step"] for one in steps] == [1, 2, 3], "the last line is whole, though its end is missing"
    assert epochs == [{"kind": None, "epoch": 1, "val_loss": None}]
    assert [one["step"] for one in metrics_reader(path).read()[1]] == [1, 2, 3]
    run = RunFolder(tmp_path)
    run.forget_after(0, 1)
    run.append({"kind": "step", "epoch": 1, "step": 2, "steps": 9, "loss": 7.0})
    assert [(one["step"], one["loss"]) for one in metrics_reader(path).read()[1]] == [(1, 1.0), (2, 7.0)]
    path.write_text(path.read_text(encoding="utf-8").replace("7.0", "8.0") + step(1, 3), encoding="utf-8")  # in place, and longer
    assert [one["loss"] for one in metrics_reader(path).read()[1]][1] in (7.0, 8.0)
    path.unlink()
    assert metrics_reader(path).read() == ([], [])


def test_runs_of_earlier_versions_and_damaged_ones_are_shown_as_before(tmp_path):
    new, old = make_run(tmp_path, "new"), make_run(tmp_path, "old", old=True)
    for run in (new, old):
        assert "25.0%" in run_table([run], [], "en", owner=True) and "25.0% of 8" in status_line(run, "en")
        assert "skipped" in status_line(run, "en")
    for damage in (b'{"kind": "test", "top1": "x"}\n', b'{"kind": "epoch", "epoch": 1, "skipped": "many"}\n', b"\xff\xfe{\n", b"[1]\n"):
        old.metrics_file.write_bytes(damage + step(1, 1).encode())
        assert "50.0%" in run_table([old], [], "en", owner=True) and "finished" in status_line(old, "en")
        assert "fv-curve" in main_charts([old], "en")
    (old.path / "status.json").write_bytes(b"{")
    (old.path / "config.json").write_bytes((old.path / "config.json").read_bytes().replace(b"old", b"odd"))
    assert old.status().state == "interrupted" and list_runs(tmp_path) == [new]


def test_a_run_writes_into_its_status_what_the_table_shows(tmp_path, tiny):
    run = RunFolder(tmp_path / "runs" / "run").create(tiny(epochs=2))
    seen = []

    def spoil(event):
        if isinstance(event, EpochDone):
            seen.append(run.status().skipped)
            run.request_stop()

    execute(run.path, on_event=spoil)
    records = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    for record in records:
        record |= {"skipped": 3} if record["kind"] == "epoch" else {}
    run.metrics_file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    assert execute(run.path).state == "finished"
    status, test = run.status(), run.metrics("test")[0]
    assert seen == [0] and status.skipped == 3, "a resume goes on counting"
    assert (status.test_top1, status.test_images) == (test["top1"], test["images"]) and status.test_images == 16


def test_what_is_remembered_of_a_file_is_forgotten_when_it_changes(tmp_path):
    asked: list[str] = []
    path, other = tmp_path / "a", tmp_path / "b"
    read = FileCache(lambda name: asked.append(name) or Path(name).read_bytes(), max_files=1, max_bytes=100)
    path.write_bytes(b"one")
    assert read(str(path)) == read(str(path)) == b"one" and len(asked) == 2, "it changed just now"
    then = time.time() - 2 * FRESH_SECONDS
    os.utime(path, (then, then))
    assert read(str(path)) == read(str(path)) == b"one" and len(asked) == 3
    path.write_bytes(b"two")
    assert read(str(path)) == b"two"
    other.write_bytes(b"three")
    for one in (path, other, path):
        os.utime(one, (then, then))
        read(str(one))
    assert len(asked) == 7, "of the last one alone"
    path.unlink()
    with pytest.raises(OSError):
        read(str(path))


def test_numbers_that_nobody_measures_are_not_drawn(tmp_path):
    from fruitvision.report.charts import Series, round_ticks

    path = tmp_path / "metrics.jsonl"
    huge = "1" + "0" * 400
    lines = [f'{{"kind": "epoch", "epoch": 1, "train_loss": {huge}}}', '{"kind": "epoch", "epoch": 2, "train_loss": 1e-320}']
    path.write_text("\n".join([*lines, f'{{"kind": "epoch", "epoch": {huge}}}']) + "\n", encoding="utf-8")
    epochs, _ = metrics_reader(path).read()
    assert [epoch["train_loss"] for epoch in epochs] == [None, 0.0]
    assert round_ticks([Series("a", [1, 2], [1e-320, 0.0], "red")]) == [0, 0.5, 1]
