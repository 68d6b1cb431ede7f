"""Benchmarks of prediction, startup, the image store and export; each function returns lines of the table."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

import fruitvision
from benchmarks import plain
from benchmarks.bench import PROJECT, Bench, free_port, seconds_per_call, seconds_to_page, webcam_photo
from benchmarks.pairs import Figure, compare
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.store import open_store
from fruitvision.models.compiled import openvino_core
from fruitvision.models.networks import build_network
from fruitvision.models.onnx.export import export_onnx, open_onnx
from fruitvision.recognition.batcher import Batcher

NETWORKS = ("fruits-webcam", "fruits-360")
CLASSES = 117
PEOPLE = 16


def predict(bench: Bench) -> list[Figure]:
    """Prediction of one 640 × 480 picture by each shipped network, compiled as in the app and in plain torch."""
    with webcam_photo(bench) as path:
        return [_predict(bench, path, name, compiled) for name in NETWORKS for compiled in (True, False)]


def _predict(bench: Bench, path: Path, name: str, compiled: bool) -> Figure:
    classifier, theirs, count = fruitvision.load(name), plain.predictor(CLASSES), bench.pick(20, 3)
    how = ", compiled" if compiled and classifier.use_openvino() else ""
    return compare(
        f"`predict` on one 640×480 picture, {name}{how}: times faster",
        lambda: seconds_per_call(count, lambda: classifier.predict(path)),
        "the plain predict function",
        lambda: seconds_per_call(count, lambda: theirs(path)),
        pairs=bench.pairs,
        goal=(">=", 5) if compiled else None,
        ratio=lambda a, b: b / a,
    )


def crowd(bench: Bench) -> list[Figure]:
    """Sixteen concurrent users, against the plain predict function one after another."""
    with webcam_photo(bench) as path:
        return [_crowd(bench, path, name) for name in NETWORKS]


def _crowd(bench: Bench, path: Path, name: str) -> Figure:
    classifier, theirs, count = fruitvision.load(name), plain.predictor(CLASSES), bench.pick(10, 1)
    how, batcher = ", compiled" if classifier.use_openvino() else "", Batcher(classifier)

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
            lambda: 1 / seconds_per_call(PEOPLE * bench.pick(2, 1), lambda: theirs(path)),
            pairs=bench.pairs,
            unit="/s",
            goal=(">=", 8),
        )
    finally:
        batcher.close()


def opening(bench: Bench) -> list[Figure]:
    """Seconds from the command to the first page served, and the memory of the idle app then."""
    smallest = "import gradio as gr; gr.Interface(lambda x: x, 'text', 'text').launch(server_port={port}, inbrowser=False)"
    memory = []
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder:

        def ours() -> float:
            port = free_port()
            command = [sys.executable, str(PROJECT / "app.py"), "--no-browser", "--port", str(port), "--runs", folder]
            return seconds_to_page(command, port, memory)

        def other() -> float:
            port = free_port()
            return seconds_to_page([sys.executable, "-c", smallest.format(port=port)], port)

        ours()
        other()  # the first start of each reads its files from the disk
        memory.clear()
        found = compare(
            "`python app.py` to the first page answered", ours, "the smallest Gradio app", other, pairs=bench.pairs, goal=("<=", 1.15)
        )
    idle = statistics.median(memory)
    what = "memory of the idle app: its page answered, no picture reached for"
    return [found, Figure(what, "its bound", "MB", idle, 400, idle, min(memory), max(memory), ("<=", 400))]


def endurance(bench: Bench) -> list[Figure]:
    """Resident memory before and after many predictions in one process."""
    count, classifier, process = bench.pick(10_000, 40), fruitvision.load(), psutil.Process()
    classifier.use_openvino()
    with webcam_photo(bench) as path:
        seconds_per_call(bench.pick(500, 10), lambda: classifier.predict(path))
        before = process.memory_info().rss / 1e6
        seconds_per_call(count, lambda: classifier.predict(path))
    after = process.memory_info().rss / 1e6
    what = f"memory after {count} predictions"
    return [Figure(what, "after the first 500", "MB", after, before, after / before, after / before, after / before, ("<=", 1.05))]


def store(bench: Bench) -> list[Figure]:
    """Building the image store of all pictures, against decoding them once with PIL; and opening it again."""
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
    """The exported files in ONNX Runtime and in OpenVINO against torch, one picture at a time with the same number of threads.

    torchao is not compared: on a CPU it quantizes only linear layers, of which these networks have one.
    """
    return [line for name in NETWORKS for line in _onnx(bench, name)]


def _onnx(bench: Bench, name: str) -> list[Figure]:
    pictures = [path for path, _ in bench.pictures()]
    chosen = pictures[:: max(1, len(pictures) // bench.pick(64, 8))]
    ours, lines, sizes = fruitvision.load(name).with_views("one"), [], []
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as folder, torch.inference_mode():
        image = ours.config.transform.batch([np.zeros((256, 256, 3), np.uint8)])
        for kind, calibration in (("float32", ()), ("int8", chosen)):
            out = Path(folder, f"{kind}.onnx")
            export_onnx(ours.network, ours.config, chosen, out, calibration=calibration)
            sizes.append(out.stat().st_size / 1e6)
            exported, _ = open_onnx(out, threads=torch.get_num_threads())
            both = (exported, ours.inference_network)
            answer, theirs = (lambda network=network: seconds_per_call(bench.pick(30, 3), lambda: network(image)) for network in both)
            what = f"{name}, one view, ONNX Runtime {kind}: times faster"
            lines.append(compare(what, answer, "torch, as it answers", theirs, pairs=bench.pairs, ratio=lambda a, b: b / a))
            if importlib.util.find_spec("openvino"):
                answer = partial(seconds_per_call, bench.pick(30, 3), openvino_pass(out, kind, image.numpy()))
                what = f"{name}, one view, OpenVINO {kind}: times faster"
                lines.append(compare(what, answer, "torch, as it answers", theirs, pairs=bench.pairs, ratio=lambda a, b: b / a))
    share = sizes[1] / sizes[0]
    return [*lines, Figure(f"{name}, size of int8", "float32", "MB", sizes[1], sizes[0], share, share, share, ("<=", 0.3))]


def openvino_pass(file: Path, kind: str, image: np.ndarray) -> Callable[[], object]:
    """A function that runs an exported file in OpenVINO on one picture, with as many threads as torch uses."""
    core = openvino_core()
    precision = {"INFERENCE_PRECISION_HINT": "f32"} if kind == "float32" else {}
    compiled = core.compile_model(
        str(file), "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads(), **precision}
    )
    request = compiled.create_infer_request()
    return lambda: request.infer([image])


def machine(bench: Bench) -> list[Figure]:
    """Operations per second of a forward pass at 224 px, against those of a large matrix product."""
    side = 2048
    network = build_network(num_classes=117).eval()
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in torch's stubs
    a, x = torch.randn(side, side), torch.randn(16, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    operations = 2 * 1.82e9 * len(x)  # multiplications and additions of a ResNet18, He et al. 2016
    with torch.inference_mode():
        return [
            compare(
                "ResNet18 forward at 224 px, batch 16",
                lambda: operations / seconds_per_call(1, lambda: network(x)) / 1e9,
                f"a matrix product of side {side}",
                lambda: 2 * side**3 / seconds_per_call(bench.pick(4, 1), lambda: a @ a) / 1e9,
                pairs=bench.pairs,
                unit="GFLOP/s",
            )
        ]


FIGURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "machine": machine,
    "predict": predict,
    "crowd": crowd,
    "opening": opening,
    "endurance": endurance,
    "store": store,
    "onnx": onnx,
}
