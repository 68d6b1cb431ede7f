"""Many people classify at once while a training runs: no error, and nobody gets another's answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.endurance import wait_until
from fruitvision.runs import launcher
from tests.endurance.outcome import Outcome
from tests.endurance.served import Answer, Asked, Person, Served, a_few, open_app, real_pictures

PEOPLE, SECONDS = 64, 120.0
QUICK_PEOPLE, QUICK_SECONDS = 8, 5.0


def crowd(asked: Asked) -> Iterator[Outcome]:
    """64 people for two minutes, each with a picture that only they have and whose answer nobody else's picture has."""
    people, seconds = (QUICK_PEOPLE, QUICK_SECONDS) if asked.quick else (PEOPLE, SECONDS)
    source = real_pictures()
    if source is None:
        yield Outcome("crowd", "many people at once", 0, "FRUITVISION_TEST_DATA names no folder with fruits-360/", None)
        return
    few = a_few(source, asked.folder / "data" / "few")
    with open_app(asked.folder, data=few.parent) as app:
        pictures = distinct(app, source, people)
        with app.owner() as owner:
            owner.train("folder:few", "beside the crowd", epochs=1000)
        run = launcher.running(app.runs)
        if run is None:
            yield Outcome("crowd", "a training beside", 1, "it did not start", False)
            return
        wait_until(run, "running")
        steps = len(run.metrics("step"))
        asking = [Asking(app, path, alone) for path, alone in pictures]
        end = time.monotonic() + seconds
        for one in asking:
            one.start(end)
        for one in asking:
            one.join()
        trained, state = len(run.metrics("step")) - steps, run.status().state
        yield from found(asking, seconds)
        launcher.stop(run, wait=60)
        yield Outcome(
            "crowd",
            "steps of the training beside them",
            trained,
            f"{state} at the end, {run.status().state} when asked to stop",
            trained > 0 and state == "running" and run.status().state == "stopped",
        )


def found(asking: list[Asking], seconds: float) -> Iterator[Outcome]:
    """What the people got."""
    answers = [answer for one in asking for answer in one.answers]
    errors = [error for one in asking for error in one.errors]
    wrong, silent = sum(one.wrong for one in asking), sum(not one.answers for one in asking)
    kind = f"{len(asking)} people for {seconds:.0f} s, each with a picture of their own"
    yield Outcome(
        "crowd",
        f"{kind}: answers",
        len(answers),
        f"{len(errors)} errors, {wrong} answers to somebody else, {silent} without any"
        + (f"; the first error: {errors[0]}" if errors else ""),
        bool(answers) and not errors and not wrong and not silent,
    )
    waits = sorted(answer.seconds for answer in answers) or [0.0]
    shares = {share: waits[min(int(len(waits) * share), len(waits) - 1)] for share in (0.5, 0.99)}
    yield Outcome(
        "crowd",
        "seconds from the upload to the answer",
        len(waits),
        f"median {shares[0.5]:.2f}, 99th percentile {shares[0.99]:.2f}, longest {waits[-1]:.2f}",
        shares[0.99] < 60,
    )
    told = sum(bool(answer.etas) for answer in answers)
    timed = [eta for answer in answers for eta in answer.etas if eta is not None]
    yield Outcome(
        "crowd",
        "the queue says how long",
        told,
        f"{told} of {len(answers)} were told their place, {len(timed)} times with seconds, at most {max(timed, default=0):.1f}",
        told == len(answers) and bool(timed),
    )


def distinct(app: Served, source: Path, count: int) -> list[tuple[Path, Answer]]:
    """Pictures, each with its answer when it is asked for alone; no two answers name the same variety."""
    chosen: dict[tuple[str, ...], tuple[Path, Answer]] = {}
    folders = sorted((source / "Test").iterdir())
    candidates = (sorted(folder.iterdir())[place] for place in (5, 15, 25) for folder in folders)
    with app.person() as person:
        for path in candidates:
            answer = person.classify(path)
            if answer.sure and answer.names:
                chosen.setdefault(answer.names, (path, answer))
            if len(chosen) == count:
                return list(chosen.values())
    raise SystemExit(f"Only {len(chosen)} pictures of {source} have answers of their own, {count} are needed.")


class Asking:
    """One of the people, in a thread: asks for the same picture again and again, and compares."""

    def __init__(self, app: Served, path: Path, alone: Answer) -> None:
        self.app, self.path, self.alone = app, path, alone
        self.answers: list[Answer] = []
        self.errors: list[str] = []
        self.wrong = 0

    def start(self, end: float) -> None:
        """Ask until then."""
        self.thread = threading.Thread(target=self._ask, args=(end,), daemon=True)
        self.thread.start()

    def join(self) -> None:
        """Wait for the last answer."""
        self.thread.join()

    def _ask(self, end: float) -> None:
        with self.app.person() as person:
            while time.monotonic() < end:
                self._once(person)

    def _once(self, person: Person) -> None:
        try:
            answer = person.classify(self.path)
        except Exception as error:  # whatever it is: a person would see it
            self.errors.append(f"{type(error).__name__}: {error}"[:200])
            time.sleep(0.2)
            return
        if not answer.names:
            self.errors.append(f"no answer: {answer.html[:200]}")
        elif not answer.same(self.alone):
            self.wrong += 1
        self.answers.append(answer)
