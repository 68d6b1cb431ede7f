"""The cost of the Train panel's requests each second, with many finished runs."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.pairs import Figure
from benchmarks.training import TINY
from fruitvision.data.synthetic.sample import draw_sample
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.training import DEFAULT_PRESET
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.datasets import SAMPLE
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import Access
from fruitvision.ui.train.bar.run_bar import run_state
from fruitvision.ui.train.results import AutoReports
from fruitvision.ui.train.run_panel import run_updates
from fruitvision.ui.train.settings import preset_values
from fruitvision.ui.train.setup_panel import Training, data_updates
from fruitvision.ui.train.start import Form

MAX_MS = 20.0
MINUTE = 60.0


class TrainPage:
    """The requests of an owner's page with the Train panel open: those of its timer and of the bar above the panels."""

    def __init__(self, runs: Path) -> None:
        self.context = Context(runs, runs.parent / "taught", Access("token"), Models(runs), runs.parent / "data")
        self.training, self.first = Training(self.context), AutoReports()
        self.training.estimates.paces = dict.fromkeys(("plain", "fast", "robust"))  # in the app these are measured once
        self.form = Form.of(SAMPLE, "", "", "", DEFAULT_PRESET, 1, "", *preset_values(DEFAULT_PRESET))
        self.context.datasets.scan(SAMPLE).join()
        self.reload()

    def reload(self) -> None:
        """The state after a reload: nothing is shown yet."""
        self.run, self.runs_seen, self.data_seen = None, None, None

    def tick(self) -> None:
        """One second of it."""
        shown = run_updates(self.context, self.run, [], self.runs_seen, "en", owner=True)
        self.run, self.runs_seen = shown.get("run", self.run), shown.get("seen", self.runs_seen)
        if self.run:
            self.first.start_if_due(self.context.runs, self.run, "en")
        chosen = data_updates(self.training, self.form, "", 0, self.data_seen, "", "en", owner=True)
        self.data_seen = chosen.get("seen", self.data_seen)
        run_state(self.context, {}, "en")


def finished_runs(folder: Path, count: int) -> Path:
    """A folder of ``count`` finished runs: copies of one real run on drawn pictures, with different ids, names and times."""
    draw_sample(folder / "drawn", train_per_class=4, test_per_class=2, size=48, classes=("Apple", "Kiwi"))
    training = TrainConfig.from_preset("fast", start="scratch", device="cpu", epochs=2, **TINY)
    first = RunFolder(folder / "first").create(RunConfig(name="first", data=str(folder / "drawn"), training=training))
    execute(first.path)
    config = first.config()
    for number in range(count):
        run = RunFolder(folder / "runs" / f"run-{number:03}")
        shutil.copytree(first.path, run.path)
        run.replace_config(config.model_copy(update={"name": f"run {number}", "created": config.created - MINUTE * number}))
    then = time.time() - MINUTE
    for path in (folder / "runs").rglob("*"):  # recently changed files are not cached
        os.utime(path, (then, then))
    return folder / "runs"


def train_tick(bench: Bench) -> list[Figure]:
    """One second of Train with many finished runs: when nothing changes, and when the page has just been opened."""
    count, ticks = bench.pick(200, 20), bench.pick(20, 3)
    rest, opening = [], []
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as temporary:
        runs = finished_runs(Path(temporary), count)
        for number in range(bench.pairs):
            runs = runs.rename(runs.with_name(f"runs-{number}"))  # so that nothing is cached
            page = TrainPage(runs)
            opening.append(_milliseconds(page.tick))
            rest.append(statistics.median(_milliseconds(page.tick) for _ in range(ticks)))
    return [
        _bound(f"one tick of Train with {count} finished runs", rest, ("<=", MAX_MS)),
        _bound(f"the first tick of a page, {count} finished runs read for the first time", opening, None),
    ]


def _milliseconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _bound(what: str, found: list[float], goal: tuple | None) -> Figure:
    middle = statistics.median(found)
    return Figure(what, "its bound", "ms", middle, MAX_MS, middle, min(found), max(found), goal)
