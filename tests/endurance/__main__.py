"""The long test: many people at once, kills, full disks and a clock set back, and a day in short.

    python -m tests.endurance
    python -m tests.endurance crowd chaos day --quick
    python -m tests.endurance day --minutes 15

Each part opens the real app in a process of its own. ``--quick`` does the same in less of everything. Real pictures are
taken from the folder that FRUITVISION_TEST_DATA names. The last figures stand in ``SECURITY.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.endurance.chaos import chaos
from tests.endurance.crowd import crowd
from tests.endurance.day import day
from tests.endurance.outcome import Outcome, exit_code, table
from tests.endurance.served import Asked

PARTS = {"crowd": crowd, "chaos": chaos, "day": day}


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each thing that was tried, and a table; return 1 where a promise failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without one")
    parser.add_argument("--quick", action="store_true", help="the same in less of everything")
    parser.add_argument("--minutes", type=float, help="end the day after so long, however much of it there was")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="of chaos, what has one of these words in its name")
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="fruitvision-endurance-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        os.environ.update(FRUITVISION_CACHE=str(folder / "cache"), GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")
        for name in given.parts or PARTS:
            place = folder / name
            place.mkdir()
            for outcome in PARTS[name](Asked(place, given.quick, given.minutes, tuple(given.only))):
                outcomes.append(outcome)
                print(outcome, flush=True)
    print(f"\n{table(outcomes)}")
    return exit_code(outcomes)


if __name__ == "__main__":
    sys.exit(main())
