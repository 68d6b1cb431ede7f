"""What is measured: each function returns the lines of the table that bear its name."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from torch.nn import functional as F

import fruitvision
from benchmarks import plain
from benchmarks.pairs import Figure, compare
from fruitvision.data.load.loader import Batch
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.store import open_store
from fruitvision.models.export import export_onnx, open_onnx
from fruitvision.models.networks import build_network
from fruitvision.recognition.classifier import Batcher
from fruitvision.runs.folder import RunConfig
from fruitvision.runs.prepare.data import RunData, prepare
from fruitvision.runs.prepare.loaders import loaders
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import Training, autocast, train_one_epoch
from fruitvision.training.state import TrainState

PROJECT = Path(__file__).resolve().parents[1]
NETWORKS = ("fruits-webcam", "fruits-360")
CLASSES = 117
CPU = torch.device("cpu")
BATCH = 32
PEOPLE = 16
RESTING_SECONDS, MOST_RESTING_SECONDS = 0.3, 60.0
OPENING_SECONDS = 120.0


@dataclass(frozen=True)
class Bench:
    """What is measured on, how often, and whether shortly."""

    data: Path
    pairs: int
    quick: bool

    def some(self, many: int, few: int) -> int:
        """``few`` where it must be quick."""
        return few if self.quick else many

    def pictures(self) -> list[tuple[Path, int]]:
        """Every training picture and its label."""
        listing = list_pictures(self.data)
        files = [file for file in listing.files if file.split == "train"]
        labels = {name: n for n, name in enumerate(sorted({file.folder for file in files}))}
        return [(listing.root / file.path, labels[file.folder]) for file in files]

    def prepared(self, preset: str, **settings: object) -> tuple[RunData, TrainConfig]:
        """The data as a run of ``preset`` opens it, from random weights."""
        config = TrainConfig.from_preset(preset, start="scratch", epochs=1000, **settings)
        return prepare(RunConfig(data=str(self.data.absolute()), training=config)), config


def begun(data: RunData, config: TrainConfig, device: torch.device) -> TrainState:
    """Training before its first step, from random weights."""
    return TrainState(build_network(config.architecture, num_classes=len(data.targets.classes), norm=config.norm, seed=0), config, device)


class Ours:
    """The package's own training, a few steps at a time."""

    def __init__(self, data: RunData, config: TrainConfig, *, resident: bool = False, device: torch.device = CPU) -> None:
        loader = loaders(data, config, device)[0]
        self.state = begun(data, config, device)
        self._events = self._train(Resident(loader, config) if resident else loader)

    def _train(self, loader: Training) -> Iterator[object]:
        while True:
            self.state.progress.step = 0
            yield from train_one_epoch(self.state, loader)

    def seconds(self, steps: int) -> float:
        """What ``steps`` steps take."""
        started = time.perf_counter()
        for _ in islice(self._events, steps):
            pass
        return time.perf_counter() - started


class Resident:
    """A loader of one random batch that lies in memory already: what training costs without an input pipeline."""

    def __init__(self, loader: Training, config: TrainConfig) -> None:
        self.membership, self.steps, self.counts = loader.membership, loader.steps, loader.counts
        images = torch.randn(config.batch_size, 3, config.image_size, config.image_size)
        self._batch = Batch(images, torch.arange(config.batch_size) % 2, np.arange(config.batch_size), config.batch_size, config.batch_size)

    def epoch(self, epoch: int, size: int, start: int = 0, share: object = None) -> Iterator[Batch]:
        """The same batch again and again."""
        return cycle([self._batch])


class Plain:
    """The plain recipe's training, a few steps at a time."""

    def __init__(self, pictures: list[tuple[Path, int]], side: int) -> None:
        self._steps = plain.steps(pictures, len({label for _, label in pictures}), side, min(BATCH, len(pictures)))
        self.seconds(1)

    def seconds(self, steps: int) -> float:
        """What ``steps`` steps take, those not counted for which batches lay ready; its workers rest when it returns."""
        for _ in range(plain.AHEAD):
            next(self._steps)
        started = time.perf_counter()
        for _ in range(steps):
            next(self._steps)
        found = time.perf_counter() - started
        rest()
        return found


def throughput(bench: Bench) -> list[Figure]:
    """Training at equal side and batch, pictures a second: ours against the plain recipe and against the network alone."""
    return [line for side in (96, 224) for line in _throughput(bench, side)]


def _throughput(bench: Bench, side: int) -> list[Figure]:
    steps = bench.some(24 if side == 96 else 8, 2)
    data, config = bench.prepared("fast", image_size=side, first_image_size=side, eval_resize=side, batch_size=BATCH)
    ways = Ours(data, config), Plain(bench.pictures(), side), Ours(data, config, resident=True)
    ours, other, alone = (lambda way=way: steps * BATCH / way.seconds(steps) for way in ways)
    ours(), alone()
    what, goal = f"training at {side} px, batch {BATCH}", (">=", 1.5) if side == 96 else None
    return [
        compare(what, ours, "the plain recipe", other, pairs=bench.pairs, unit="pictures/s", goal=goal),
        compare(what, ours, "the same network on a batch in memory", alone, pairs=bench.pairs, unit="pictures/s"),
    ]


def pipeline(bench: Bench) -> list[Figure]:
    """The share of a step at 96 px that goes to decoding, augmentation and copying."""
    own = {"keep_imagenet": 0, "imagenet_head": False, "norm_statistics": "batch"}
    return [_pipeline(bench, "fast", 0.05), _pipeline(bench, "robust", 0.15, **own)]


def _pipeline(bench: Bench, preset: str, bound: float, **settings: object) -> Figure:
    data, config = bench.prepared(preset, image_size=96, first_image_size=96, **settings)
    ours, alone, steps = Ours(data, config), Ours(data, config, resident=True), bench.some(12, 2)
    ours.seconds(2), alone.seconds(2)
    return compare(
        f"input pipeline's share of a step at 96 px, {preset}",
        lambda: ours.seconds(steps) / steps,
        "the same on a batch in memory",
        lambda: alone.seconds(steps) / steps,
        pairs=bench.pairs,
        goal=("<=", bound),
        ratio=lambda a, b: 1 - b / a,
    )


def predict(bench: Bench) -> list[Figure]:
    """One 640 × 480 picture, by each shipped network: as the app answers, and by torch alone."""
    with photo(bench) as path:
        return [_predict(bench, path, name, compiled) for name in NETWORKS for compiled in (True, False)]


def _predict(bench: Bench, path: Path, name: str, compiled: bool) -> Figure:
    classifier, theirs, count = fruitvision.load(name), plain.predictor(CLASSES), bench.some(20, 3)
    how = ", compiled" if compiled and classifier.compile() else ""
    return compare(
        f"`predict` on one 640×480 picture, {name}{how}: times faster",
        lambda: each(count, lambda: classifier.predict(path)),
        "the plain predict function",
        lambda: each(count, lambda: theirs(path)),
        pairs=bench.pairs,
        goal=(">=", 5) if compiled else None,
        ratio=lambda a, b: b / a,
    )


def crowd(bench: Bench) -> list[Figure]:
    """Sixteen people at once, against one after another through the plain function."""
    with photo(bench) as path:
        return [_crowd(bench, path, name) for name in NETWORKS]


def _crowd(bench: Bench, path: Path, name: str) -> Figure:
    classifier, theirs, count = fruitvision.load(name), plain.predictor(CLASSES), bench.some(10, 1)
    how, batcher = ", compiled" if classifier.compile() else "", Batcher(classifier)

    def together() -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(PEOPLE) as people:
            list(people.map(lambda _: [batcher.submit(path) for _ in range(count)], range(PEOPLE)))
        return PEOPLE * count / (time.perf_counter() - started)

    try:
        return compare(
            f"answers a second for {PEOPLE} people at once, {name}{how}",
            together,
            "the plain function, one after another",
            lambda: 1 / each(PEOPLE * bench.some(2, 1), lambda: theirs(path)),
            pairs=bench.pairs,
            unit="/s",
            goal=(">=", 6),
        )
    finally:
        batcher.close()


def opening(bench: Bench) -> list[Figure]:
    """From the command to the first page answered, and the memory of the idle app."""
    smallest = "import gradio as gr; gr.Interface(lambda x: x, 'text', 'text').launch(server_port={port}, inbrowser=False)"
    memory = []
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder:

        def ours() -> float:
            port = free_port()
            command = [sys.executable, str(PROJECT / "app.py"), "--no-browser", "--port", str(port), "--runs", folder]
            return opened(command, port, memory)

        def other() -> float:
            port = free_port()
            return opened([sys.executable, "-c", smallest.format(port=port)], port)

        ours(), other()  # the first time of each reads its files from the disk
        memory.clear()
        found = compare(
            "`python app.py` to the first page answered", ours, "the smallest Gradio app", other, pairs=bench.pairs, goal=("<=", 1.3)
        )
    idle = statistics.median(memory)
    return [found, Figure("memory of the idle app", "its bound", "MB", idle, 700, idle, min(memory), max(memory), ("<=", 700))]


def endurance(bench: Bench) -> list[Figure]:
    """Memory before and after many predictions in one process."""
    count, classifier, process = bench.some(10_000, 40), fruitvision.load(), psutil.Process()
    classifier.compile()
    with photo(bench) as path:
        each(bench.some(500, 10), lambda: classifier.predict(path))
        before = process.memory_info().rss / 1e6
        each(count, lambda: classifier.predict(path))
    after = process.memory_info().rss / 1e6
    what = f"memory after {count} predictions"
    return [Figure(what, "after the first 500", "MB", after, before, after / before, after / before, after / before, ("<=", 1.05))]


def store(bench: Bench) -> list[Figure]:
    """Scan and store of all pictures, the first time, against decoding them once; and the second time."""
    listing = list_pictures(bench.data)
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder:
        caches = iter(range(1_000))

        def scan(cache: Path) -> float:
            started = time.perf_counter()
            open_store(list_pictures(bench.data), cache=cache)
            return time.perf_counter() - started

        def decode() -> float:
            started = time.perf_counter()
            for file in listing.files:
                with Image.open(listing.root / file.path) as image:
                    np.asarray(image.convert("RGB"))
            return time.perf_counter() - started

        first = compare(
            f"scan and store of {len(listing.files)} pictures, first time",
            lambda: scan(Path(folder, str(next(caches)))),
            "decoding them once with PIL in one process",
            decode,
            pairs=bench.pairs,
            goal=("<=", 0.6),
        )
        again = [scan(Path(folder, "0")) for _ in range(bench.pairs)]
    middle = statistics.median(again)
    return [first, Figure("the same, second time", "its bound", "s", middle, 1, middle, min(again), max(again), ("<=", 1))]


def onnx(bench: Bench) -> list[Figure]:
    """The exported files against torch, one picture at a time and the same number of threads."""
    return [line for name in NETWORKS for line in _onnx(bench, name)]


def _onnx(bench: Bench, name: str) -> list[Figure]:
    pictures = [path for path, _ in bench.pictures()]
    chosen = pictures[:: max(1, len(pictures) // bench.some(64, 8))]
    ours, lines, sizes = fruitvision.load(name).looking("one"), [], []
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder, torch.inference_mode():
        image = ours.config.transform.batch([np.zeros((256, 256, 3), np.uint8)])
        for kind, calibration in (("float32", ()), ("int8", chosen)):
            out = Path(folder, f"{kind}.onnx")
            export_onnx(ours.network, ours.config, chosen, out, calibration=calibration)
            sizes.append(out.stat().st_size / 1e6)
            exported, _ = open_onnx(out, threads=torch.get_num_threads())
            both = (exported, ours.answering)
            answer, theirs = (lambda network=network: each(bench.some(30, 3), lambda: network(image)) for network in both)
            what = f"{name}, one look, ONNX Runtime {kind}: times faster"
            lines.append(compare(what, answer, "torch, as it answers", theirs, pairs=bench.pairs, ratio=lambda a, b: b / a))
    share = sizes[1] / sizes[0]
    return [*lines, Figure(f"{name}, size of int8", "float32", "MB", sizes[1], sizes[0], share, share, share, ("<=", 0.3))]


def machine(bench: Bench) -> list[Figure]:
    """What the network reaches of the machine's rate at a large matrix product, forward at 224 px."""
    side, network = 2048, build_network(num_classes=117).eval().to(memory_format=torch.channels_last)
    a, x = torch.randn(side, side), torch.randn(16, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    operations = 2 * 1.82e9 * len(x)  # multiplications and additions of a ResNet18, He et al. 2016
    with torch.inference_mode():
        return [
            compare(
                "ResNet18 forward at 224 px, batch 16",
                lambda: operations / each(1, lambda: network(x)) / 1e9,
                f"a matrix product of side {side}",
                lambda: 2 * side**3 / each(bench.some(4, 1), lambda: a @ a) / 1e9,
                pairs=bench.pairs,
                unit="GFLOP/s",
            )
        ]


class Bare:
    """The same network on one batch of random numbers that lies on the card: forward, backward, AdamW, and nothing else."""

    def __init__(self, data: RunData, config: TrainConfig, device: torch.device) -> None:
        self._state = begun(data, config, device)
        self._state.network.train()
        images = torch.randn(config.batch_size, 3, config.image_size, config.image_size, device=device)
        self._images = images.contiguous(memory_format=self._state.layout)
        self._labels = torch.arange(config.batch_size, device=device) % len(data.targets.classes)

    def seconds(self, steps: int) -> float:
        """What ``steps`` steps take."""
        state, config, device = self._state, self._state.config, self._state.device
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        for _ in range(steps):
            with autocast(config, device):
                logits = state.network(self._images).logits
            F.cross_entropy(logits.float(), self._labels, label_smoothing=config.label_smoothing).backward()
            state.optimizer.step()
            state.optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize(device)
        return time.perf_counter() - started


def card(bench: Bench) -> list[Figure]:
    """On a graphics card, where there is one: ``fast`` against its network alone, with the batch that it has and a larger one."""
    if not torch.cuda.is_available():
        return []
    return [_card(bench, batch, torch.device("cuda")) for batch in (64, 512)]


def _card(bench: Bench, batch: int, device: torch.device) -> Figure:
    data, config = bench.prepared("fast", first_image_size=96, batch_size=batch)
    ways = Ours(data, config, device=device), Bare(data, config, device)
    steps = bench.some(25_600, 2_560) // batch
    ours, alone = (lambda way=way: steps * batch / way.seconds(steps) for way in ways)
    ours(), alone()
    return compare(
        f"`fast` at 96 px on {torch.cuda.get_device_name(device)}, batch {batch}, bfloat16, pictures on the card",
        ours,
        "forward, backward and AdamW on a random batch that lies there",
        alone,
        pairs=bench.pairs,
        unit="pictures/s",
        goal=(">=", 0.9),
    )


FIGURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "machine": machine,
    "throughput": throughput,
    "pipeline": pipeline,
    "predict": predict,
    "crowd": crowd,
    "opening": opening,
    "endurance": endurance,
    "store": store,
    "onnx": onnx,
    "card": card,
}


def each(count: int, work: Callable[[], object]) -> float:
    """Seconds of one of ``count``."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - started) / count


def rest() -> None:
    """Until the processes that this one started have nothing to do: workers go on for a while after they were last asked."""
    used, end = -1.0, time.monotonic() + MOST_RESTING_SECONDS
    while time.monotonic() < end:
        busy, before, used = False, used, 0.0
        for child in psutil.Process().children(recursive=True):
            try:
                busy |= child.status() == psutil.STATUS_RUNNING
                used += sum(child.cpu_times()[:2])
            except psutil.NoSuchProcess:
                busy = True
        if used == before and not busy:
            return
        time.sleep(RESTING_SECONDS)


class photo:
    """A 640 × 480 JPEG made of one of the pictures on a grey ground, as a webcam sees it, as long as it is needed."""

    def __init__(self, bench: Bench) -> None:
        self._picture = bench.pictures()[0][0]

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-")
        path = Path(self._folder.name, "photo.jpg")
        with Image.open(self._picture) as image:
            image.convert("RGB").resize((640, 480)).point(lambda value: value * 0.7).save(path, quality=90)
        return path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def free_port() -> int:
    """A port of this computer that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def opened(command: list[str], port: int, memory: list[float] | None = None) -> float:
    """Seconds until a server answers its page; it is ended then. Its resident memory, in MB, two seconds later, goes to ``memory``."""
    with serving(command, port) as (seconds, pid):
        if memory is not None:
            time.sleep(2)
            memory.append(psutil.Process(pid).memory_info().rss / 1e6)
    return seconds


@contextmanager
def serving(command: list[str], port: int) -> Iterator[tuple[float, int]]:
    """A server from the moment that it answers its page: the seconds until then, and its process."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=PROJECT) as server:
        try:
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                        page.read()
                    break
                except OSError:
                    if server.poll() is not None or time.perf_counter() - started > OPENING_SECONDS:
                        raise SystemExit(f"No page came from: {' '.join(command)}") from None
                    time.sleep(0.01)
            yield time.perf_counter() - started, server.pid
        finally:
            server.terminate()
            server.wait()
