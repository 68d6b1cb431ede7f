"""How the cost per picture grows with the dataset, from ten thousand pictures to half a million: scan, store and one epoch of batches.

The pictures are small copies of a few hundred real ones, written many times under different names, each with its own JPEG comment
so that no two files are equal. The work is done by a separate process, ``python -m benchmarks.growth``, while this one monitors its
memory and that of its children. The smallest folder is measured again before and after every larger one.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import psutil
from PIL import Image

from benchmarks.bench import PROJECT, Bench
from benchmarks.pairs import Figure

SIZES, QUICK_SIZES = (10_000, 100_000, 500_000), (100, 200, 400)
ONCE = 500_000
"""Folders of this many pictures are measured only once."""
CLASSES, DIFFERENT, SIDE = 100, 300, 48
BYTES_PER_PICTURE = 2 * 4096 + 3 * SIDE * SIDE
"""Disk space: the file, its directory entry, and its pixels in the store."""
MAX_MEMORY_MB, MAX_RATIO, WATCH_SECONDS = 1500.0, 1.15, 0.25
PARTS = {"scan and store": 0, "one epoch's input": 1}


def growth(bench: Bench) -> list[Figure]:
    """Seconds per picture at each larger size, against the smallest; and the memory that is not mapped from files."""
    sizes = QUICK_SIZES if bench.quick else SIZES
    place, needed = tempfile.gettempdir(), 2 * max(sizes) * BYTES_PER_PICTURE
    if (free := shutil.disk_usage(place).free) < needed:
        print(f"growth is left out: it needs {needed / 1e9:.0f} GB in {place}, and {free / 1e9:.0f} are free.", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as temporary:
        small = small_jpegs(bench)
        for size in sizes:
            write_pictures(Path(temporary, str(size)), small, size)
        turns = [sizes[0]]
        for size in sizes[1:]:
            turns += [size, sizes[0]] * (1 if size >= ONCE else bench.pairs)
        (_, *found), memory = run_measurement(Path(temporary), [sizes[0], *turns])  # the first is a warm-up
    lines = [_line(turns, found, size, part) for size in sizes[1:] for part in PARTS]
    what = f"memory not mapped from files, up to {sizes[-1]} pictures"
    return [*lines, Figure(what, "its bound", "MB", memory, MAX_MEMORY_MB, memory, memory, memory, ("<=", MAX_MEMORY_MB))]


def _line(turns: list[int], found: list[list[float]], size: int, part: str) -> Figure:
    """Milliseconds per picture of one part at ``size``, against the mean of the smallest size measured before and after it."""
    cost = [1000 * seconds[PARTS[part]] / turn for turn, seconds in zip(turns, found, strict=True)]
    pairs = [(cost[n], (cost[n - 1] + cost[n + 1]) / 2) for n in range(1, len(turns) - 1) if turns[n] == size]
    ratios = [ours / other for ours, other in pairs]
    ours, other = (median(side) for side in zip(*pairs, strict=True))
    what, ends = f"{part} of {size} pictures, a picture", (min(ratios), max(ratios))
    return Figure(what, f"of {turns[0]}", "ms", ours, other, median(ratios), *ends, ("<=", MAX_RATIO), pairs)


def run_measurement(folder: Path, turns: list[int]) -> tuple[list[list[float]], float]:
    """Run :func:`main` in another process: the seconds of each part in each turn, and the peak memory in MB."""
    command = [sys.executable, "-m", "benchmarks.growth", str(folder), *map(str, turns)]
    most = 0.0
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            most = max(most, unmapped_memory_mb(process.pid))
            time.sleep(WATCH_SECONDS)
        if process.returncode:
            raise SystemExit(f"It ended with {process.returncode}: {' '.join(command)}")
        assert process.stdout is not None
        return json.loads(process.stdout.read()), most


def unmapped_memory_mb(pid: int) -> float:
    """Megabytes of a process and its children that are not mapped from files: RssAnon, or USS where there is no /proc."""
    total = 0.0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            try:
                words = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").split()
                total += int(words[words.index("RssAnon:") + 1]) * 1024 / 1e6 if "RssAnon:" in words else 0
            except OSError:
                total += process.memory_full_info().uss / 1e6 if not Path("/proc/self/status").exists() else 0
    except psutil.Error:
        pass  # the process has just ended
    return total


def small_jpegs(bench: Bench) -> list[bytes]:
    """A few hundred of the pictures as JPEGs of 48 × 48 pixels."""
    pictures, small = [path for path, _ in bench.pictures()], []
    for path in pictures[:: max(1, len(pictures) // DIFFERENT)]:
        with Image.open(path) as image:
            buffer = io.BytesIO()
            image.convert("RGB").resize((SIDE, SIDE)).save(buffer, "JPEG", quality=90)
        small.append(buffer.getvalue())
    return small


def write_pictures(folder: Path, small: list[bytes], count: int) -> None:
    """Write ``count`` files into Training and Test, four to one, each with its number as a JPEG comment."""
    classes = min(CLASSES, count // 10)
    for split in ("Training", "Test"):
        for label in range(classes):
            (folder / split / f"Kind {label:03}").mkdir(parents=True)
    for number in range(count):
        place, label = divmod(number, classes)
        split = "Test" if place % 5 == 4 else "Training"
        data, comment = small[number % len(small)], f"{number:08}".encode()
        data = data[:2] + b"\xff\xfe\x00\x0a" + comment + data[2:]
        (folder / split / f"Kind {label:03}" / f"{place:06}.jpg").write_bytes(data)


def main(folder: Path, turns: list[int]) -> None:
    """Measure every turn with an empty cache; print the seconds as JSON."""
    from fruitvision.data.load.loader import TrainLoader
    from fruitvision.data.read.store import open_dataset
    from fruitvision.runs.prepare.transforms import training_transform
    from fruitvision.training.config import TrainConfig

    config, found = TrainConfig.from_preset("fast"), []
    for size in turns:
        with tempfile.TemporaryDirectory(prefix="cache-", dir=folder) as cache:
            marks = [time.perf_counter()]
            dataset, store = open_dataset(folder / str(size), cache=Path(cache))
            marks.append(time.perf_counter())
            loader = TrainLoader(store, dataset.splits["train"], training_transform(config), config.batch_size)
            seen = sum(batch.local_size for batch in loader.epoch(0, config.first_image_size))
            marks.append(time.perf_counter())
            assert len(store) == size and abs(seen - len(dataset.splits["train"])) <= 1, (len(store), seen)
            del loader, store, dataset
        found.append([after - before for before, after in pairwise(marks)])
        print(f"{size} pictures: {found[-1][0]:.1f} s and {found[-1][1]:.1f} s", file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
