"""Kills, full disks, a clock set back: nothing that was shown as saved is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fruitvision.data.synthetic.sample import draw_sample
from tests.endurance.clock import clock_set_back
from tests.endurance.disks import full_app, full_commands, full_disks, read_only
from tests.endurance.kills import killed_apps, killed_while_writing
from tests.endurance.outcome import Outcome
from tests.endurance.served import Asked

KINDS = ("Apple", "Banana", "Orange", "Kiwi")


def chaos(asked: Asked) -> Iterator[Outcome]:
    """All of it, one after the other."""
    data = draw_sample(asked.folder / "data" / "drawn", train_per_class=12, test_per_class=4, size=64, classes=KINDS)
    parts: dict[str, Callable[[Asked, Path], Iterator[Outcome]]] = {
        "app killed": killed_apps,
        "run killed": killed_while_writing,
        "disk full in a run": full_disks,
        "disk full elsewhere": full_commands,
        "disk full under the app": full_app,
        "clock": clock_set_back,
        "read-only": read_only,
    }
    for name, part in parts.items():
        if asked.wants(name):
            place = asked.folder / name.replace(" ", "-")
            place.mkdir()
            yield from part(Asked(place, asked.quick), data)
