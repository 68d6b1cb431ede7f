"""24 hours in short: predictions, pages and runs, and whether the app is afterwards what it was before."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.endurance import wait_until
from fruitvision.data.synthetic.sample import draw_sample
from fruitvision.runs.folder import RunFolder, list_runs
from tests.browser.conftest import ARGUMENTS, LEFT_PAGE
from tests.endurance.outcome import Outcome
from tests.endurance.served import Answer, Asked, Person, Served, open_app
from tests.ui.visitor import data_url

CLIENTS = 6
SETTLE_SECONDS = 15.0  # idle threads end after ten
KINDS = ("Apple", "Banana", "Orange", "Kiwi", "Pear", "Plum")


@dataclass(frozen=True)
class Amount:
    """How much of everything."""

    predictions: int
    pages: int
    runs: int
    answers_a_session: int = 50
    """Then somebody else comes."""


# More sessions to warm up with than the app remembers (SESSIONS in ui/app.py): what it keeps of each is part of its level.
WHOLE, WARM = Amount(20_000, 200, 20), Amount(1_400, 12, 2, 5)
QUICK, QUICK_WARM = Amount(60, 3, 1), Amount(30, 2, 1)
#: What may be more at the end than at the warmed-up beginning: memory by share and in bytes, handles, threads. Of these, the
#: app's pool keeps as many as worked at the last peak, 128 at most.
SHARE, BYTES, HANDLES, THREADS = 0.10, 60 * 2**20, 12, 20


@dataclass(frozen=True)
class Level:
    """What the app's process holds."""

    handles: int
    threads: int
    processes: int
    rss: int
    uss: int
    """With torch's libraries only while no other process has them open: tens of megabytes come and go with trainings."""

    @classmethod
    def of(cls, pid: int) -> Level:
        """Now."""
        process = psutil.Process(pid)
        memory = process.memory_full_info()
        handles = process.num_handles() if psutil.WINDOWS else process.num_fds()
        return cls(handles, process.num_threads(), len(process.children(recursive=True)), memory.rss, memory.uss)

    def __str__(self) -> str:
        return (
            f"{self.handles} handles, {self.threads} threads, {self.processes} children, "
            f"RSS {self.rss / 2**20:.0f} MB, USS {self.uss / 2**20:.0f} MB"
        )

    def stays_within(self, before: Level) -> bool:
        """Whether it is what it was before, but for noise."""
        memory = all(now <= then * (1 + SHARE) + BYTES for now, then in ((self.rss, before.rss), (self.uss, before.uss)))
        counts = self.handles <= before.handles + HANDLES and self.threads <= before.threads + THREADS
        return memory and counts and self.processes <= before.processes


@dataclass
class Tally:
    """What was done, and what went wrong."""

    predictions: int = 0
    pages: int = 0
    runs: int = 0
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, error: str) -> None:
        """Something that a person would have seen."""
        with self.lock:
            self.errors.append(error[:200])


def day(asked: Asked) -> Iterator[Outcome]:
    """Everything at once: clients, a browser, and the owner's runs; sampled at rest, warmed up and at the end.

    A day that is bounded in time is warmed up for a quarter of it at most.
    """
    warm, whole = (QUICK_WARM, QUICK) if asked.quick else (WARM, WHOLE)
    drawn = draw_sample(asked.folder / "data" / "drawn", train_per_class=8, test_per_class=4, size=64, classes=KINDS)
    pictures = sorted((drawn / "Test").rglob("*.*"))
    with open_app(asked.folder, data=drawn.parent) as app:
        with app.person() as person:
            alone = {path: person.classify(path) for path in pictures}
        go_through(app, alone, warm, time.monotonic() + asked.minutes * 15 if asked.minutes else None)
        before = at_rest(app.pid)
        began = time.monotonic()
        end = began + asked.minutes * 60 if asked.minutes else None
        tally = go_through(app, alone, whole, end)
        minutes = (time.monotonic() - began) / 60
        after = at_rest(app.pid)
        with app.person() as person:
            last = person.classify(pictures[0])
        uploads = sum(path.is_file() for path in (asked.folder / "uploads").rglob("*"))
    wrong = f"{len(tally.errors)} errors" + (f", the first: {tally.errors[0]}" if tally.errors else "")
    yield Outcome(
        "day",
        f"predictions over HTTP by {CLIENTS} clients in {minutes:.0f} minutes",
        tally.predictions,
        wrong,
        bool(tally.predictions) and not tally.errors and last.same(alone[pictures[0]]),
    )
    yield Outcome("day", "pages opened and closed in Chromium", tally.pages, "each showed its panels", bool(tally.pages) or None)
    yield Outcome(
        "day",
        "runs started and stopped by the page's buttons",
        tally.runs,
        f"{len(list_runs(app.runs))} runs listed in the end",
        tally.runs == whole.runs or bool(end and tally.runs),
    )
    yield Outcome("day", "level, warmed up", 1, str(before), True)
    yield Outcome("day", "level, at the end", 1, f"{after}; {uploads} uploads waiting to be deleted", after.stays_within(before))


def at_rest(pid: int) -> Level:
    """The level once nothing moves any more: the lowest of a few moments."""
    time.sleep(SETTLE_SECONDS)
    levels = []
    for _ in range(5):
        levels.append(Level.of(pid))
        time.sleep(0.5)
    return min(levels, key=lambda level: (level.processes, level.threads, level.handles, level.rss))


def go_through(app: Served, alone: dict[Path, Answer], amount: Amount, end: float | None) -> Tally:
    """All of it at once, until ``end`` at most."""
    tally = Tally()
    with ThreadPoolExecutor(CLIENTS + 2) as pool:
        share = -(-amount.predictions // CLIENTS)
        several = amount.answers_a_session
        jobs = [pool.submit(predict, app, alone, share, several, end, tally, number) for number in range(CLIENTS)]
        jobs += [pool.submit(work, app, count, end, tally) for work, count in ((open_pages, amount.pages), (start_and_stop, amount.runs))]
        for job in jobs:
            job.result()
    gc.collect()
    return tally


def over(end: float | None) -> bool:
    """Whether the time is up, where there is a limit."""
    return end is not None and time.monotonic() >= end


def predict(app: Served, alone: dict[Path, Answer], count: int, several: int, end: float | None, tally: Tally, number: int) -> None:
    """One client: uploads through the queue and camera frames in turns, as a new person again and again."""
    paths, done = list(alone), 0
    while done < count and not over(end):
        with app.person() as person:
            for _ in range(min(several, count - done)):
                if over(end):
                    return
                path, done = paths[(number + done) % len(paths)], done + 1
                try:
                    answer = person.classify(path) if done % 2 else filmed(person, path)
                    if not answer.same(alone[path]):
                        tally.note(f"another answer to {path.name}: {answer.names}")
                except Exception as error:  # whatever it is: a person would see it
                    tally.note(f"{type(error).__name__}: {error}")
                with tally.lock:
                    tally.predictions += 1


def filmed(person: Person, path: Path) -> Answer:
    """The answer to a picture as a frame of the live view."""
    frame = {"image": data_url(path.read_bytes()), "language": "en"}
    return Answer(person.serve("classify-live", "answer_frame", frame).json()["html"], 0.0, [])


def open_pages(app: Served, count: int, end: float | None, tally: Tally) -> None:
    """Open the page, look at each panel, close it; each in a browser that knows nothing of the one before."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=[*ARGUMENTS])
        for _ in range(count):
            if over(end):
                break
            context = browser.new_context()
            try:
                page = context.new_page()
                page.set_default_timeout(90_000)
                page.on("pageerror", lambda error: tally.note(f"page: {error}") if LEFT_PAGE.split("|")[0] not in str(error) else None)
                page.goto(app.url)
                page.wait_for_selector("#classify-answer .fv-answer")
                page.get_by_role("tab", name="Train", exact=True).click()
                page.wait_for_selector("#train-status", state="attached")
                page.get_by_role("tab", name="Compare", exact=True).click()
                tally.pages += 1
            except Exception as error:
                tally.note(f"page: {type(error).__name__}: {error}")
            finally:
                context.close()
        browser.close()


def start_and_stop(app: Served, count: int, end: float | None, tally: Tally) -> None:
    """Start a run by the page's button, see it run, stop it by the button."""
    for number in range(count):
        if over(end):
            return
        with app.owner() as owner:
            known = {run.id for run in list_runs(app.runs)}
            said = owner.train("folder:drawn", f"of the day {number}", epochs=1000)
            new = [run for run in list_runs(app.runs) if run.id not in known]
            if not new:
                tally.note(f"no run started: {said[-300:]}")
                continue
            try:
                wait_until(new[0], "running")
                owner.press("train-stop")
                wait_until(new[0], "stopped", "failed")
            except SystemExit as late:  # the rest of the day goes on
                tally.note(str(late))
                continue
            if ended(new[0]):
                tally.runs += 1
            else:
                tally.note(f"{new[0].id} is {new[0].status().state}: {new[0].status().error}")


def ended(run: RunFolder) -> bool:
    """Whether it stopped as it was asked to, and its process is gone."""
    status, limit = run.status(), time.monotonic() + 30
    while psutil.pid_exists(status.pid) and time.monotonic() < limit:
        time.sleep(0.1)
    return status.state == "stopped" and not psutil.pid_exists(status.pid)
