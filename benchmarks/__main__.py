"""Measure FruitVision against the plain recipe and against the limits of the machine.

    python -m benchmarks --data fruits-360 --json figures.json
    python -m benchmarks --data fruits-360 --quick --only predict

Each line is a ratio of two measurements made in turns, five times or more; ``--quick`` makes two short ones. Published results, with
date and machine, are in ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import traceback
from pathlib import Path

import torch

from benchmarks import figures
from benchmarks.accuracy import accuracy, unseen
from benchmarks.bench import Bench
from benchmarks.growth import growth
from benchmarks.pairs import Figure, table
from benchmarks.ticks import train_tick
from benchmarks.training import card, pipeline, processes, throughput
from benchmarks.tutorials import tutorials
from benchmarks.web import web
from benchmarks.webcam import first_answer, webcam

FIGURES = {
    "throughput": throughput,
    "pipeline": pipeline,
    **figures.FIGURES,
    "card": card,
    "tutorials": tutorials,
    "processes": processes,
    "webcam": webcam,
    "web": web,
    "first-answer": first_answer,
    "train-tick": train_tick,
    "growth": growth,
    "accuracy": accuracy,
    "unseen": unseen,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return 0, or 1 if a benchmark failed, which does not stop the others."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of class folders, such as fruits-360")
    parser.add_argument("--only", nargs="+", choices=list(FIGURES), default=list(FIGURES), help="measure these alone")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two pairs, and less of everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too, every pair of them")
    given = parser.parse_args(arguments)
    bench = Bench(given.data, 2 if given.quick else given.pairs, given.quick)
    machine = {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    found: list[Figure] = []
    failed: list[str] = []
    for name in given.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            new = FIGURES[name](bench)
        except (Exception, SystemExit):  # a benchmark may exit by itself; the next one does not depend on it
            traceback.print_exc()
            failed.append(name)
            continue
        if new:
            print(table(new, heading=not found), flush=True)
        found += new
        if given.json:  # after each, so that an interrupted call leaves the results so far
            given.json.write_text(json.dumps({"machine": machine, "figures": [figure.asdict() for figure in found]}, indent=1) + "\n")
    if failed:
        print(f"Failed, see above: {', '.join(failed)}.", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
