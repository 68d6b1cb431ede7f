"""Answers out: one picture or many, from one thread or many, through one network.

A picture goes the same way here as in validation and ``evaluate``: ``load_pixels`` reduces it as the image store
does, and the checkpoint's own evaluation transform makes the network's input of it.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fruitvision.data.augment.transforms import Views
from fruitvision.data.load.targets import NOT_FRUIT
from fruitvision.data.read.picture import PictureSource, load_capped, load_pixels, open_picture
from fruitvision.models.checkpoint import ONNX_SUFFIX, CheckpointConfig, load_checkpoint
from fruitvision.models.compiled import CompiledNetwork, compiled
from fruitvision.models.export import open_onnx
from fruitvision.models.prepacked import prepacked
from fruitvision.recognition.calibration import Verdict, calibrated, verdict
from fruitvision.recognition.heatmap import Gaze, class_activation
from fruitvision.recognition.studio import studio_view
from fruitvision.recognition.taught_classes import Taught

SHORT_SIDE = 256
"""Pixels of the short side to which a picture is reduced first: the image store's."""
GUESSES = 5
HEATMAP_ZOOM = 2
"""For a heatmap the picture is looked at so much larger: its cells are finer by as much, and the fruit's place is truer."""
MEMORY = 0.6
"""Of a live view's answer: the share that the frames before have."""
CHUNK = 64
EXIT_SECONDS = 10.0
"""So long the end of the process waits for networks that are being compiled: one that ends in the midst of it is aborted."""


@dataclass(frozen=True)
class Guess:
    """One fruit type, the likeliest of its varieties, and the probability of the type: the sum over its varieties."""

    label: str
    fruit_type: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer to one picture."""

    label: str
    fruit_type: str
    confidence: float
    """The probability of the fruit type, 0..1, after temperature."""
    verdict: Verdict
    top: tuple[Guess, ...]
    """Best first, one a fruit type, five or as many as there are types."""
    probabilities: np.ndarray = field(repr=False, compare=False)
    """(C,) float32, by class in the checkpoint's order; (C + T,) with the T taught names behind, where there are any."""
    _source: PictureSource = field(repr=False, compare=False)
    _gaze: Callable[[np.ndarray], Gaze] = field(repr=False, compare=False)

    def heatmap(self, short_side: int | None = None) -> Image.Image:
        """Where the network looked for this fruit type, laid over the picture: RGB, the size of the upright input.

        With ``short_side``, over the picture as :func:`fruitvision.data.read.picture.load_capped` reduces it, which takes a
        fraction of a large picture's memory.
        The picture is opened again for this, and looked at a second time, twice as large: raises PictureError where a path
        no longer leads to it.
        """
        picture = open_picture(self._source) if short_side is None else load_capped(self._source, short_side)
        return self._gaze(load_pixels(picture, SHORT_SIDE)).over(picture)


@dataclass(frozen=True)
class Beforehand:
    """What a live view knows before a frame comes."""

    empty: np.ndarray | None = None
    """(H, W, 3) uint8: the same place without a fruit. What differs from it is looked at a second time, on white."""
    earlier: np.ndarray | None = None
    """(C + T,) probabilities: the answer to the frame before, with its own memory in it. The new answer keeps a share of
    it, where it is over the same names."""
    taught: Taught | None = None
    """What the person who asks has taught this network. Many may be answered in one pass, each with their own."""


class Inference(NamedTuple):
    """What the network says of N pictures, as tensors."""

    probabilities: Tensor
    """(N, C) by class, after temperature, the mean over the transform's views."""
    features: Tensor
    """(N, F), the mean over the views."""


class Classifier:
    """A network with its checkpoint's configuration. Many threads may use one at once.

    Pictures are paths, bytes, PIL images or arrays, of any mode and size. Every method that takes them raises
    PictureError for one that cannot be read.
    """

    def __init__(
        self, network: nn.Module, config: CheckpointConfig, path: Path | None = None, *, answering: nn.Module | None = None
    ) -> None:
        self.network = network.eval()
        #: The network as it answers: the same outputs in less time. Later changes of ``network``'s weights it does not see.
        self.answering = prepacked(self.network, config.transform.crop) if answering is None else answering
        self.config, self.path = config, path
        self.classes = config.classes
        self._kinds = Kinds(config.classes, config.fruit_types)
        self.types = self._kinds.types
        self._device = next((p.device for p in network.parameters()), torch.device("cpu"))

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> Classifier:
        """Load a checkpoint folder, or an ONNX file that was exported from one.

        Raises CheckpointError where it is incomplete, damaged or does not fit.
        """
        path = Path(path)
        network, config = open_onnx(path) if path.suffix == ONNX_SUFFIX else load_checkpoint(path)
        return cls(network, config, path)

    def compile(self) -> bool:
        """Let OpenVINO answer from now on, where it is installed and not slower; returns whether it does.

        It takes about a second, in which pictures may be asked for, and is worth it for many answers. Logits and features
        may differ from torch's by a hundredth of their norm, see :mod:`fruitvision.models.compiled`.
        """
        if not isinstance(self.answering, CompiledNetwork):
            self.answering = compiled(self.network, self.config.transform.crop, self.answering) or self.answering
        return isinstance(self.answering, CompiledNetwork)

    def looking(self, views: Views) -> Classifier:
        """The same network with other looks at each picture: "one" (the fastest), "mirror" or "middle"."""
        transform = self.config.transform.with_views(views)
        config = self.config.model_copy(update={"transform": transform})
        return Classifier(self.network, config, self.path, answering=self.answering)

    def predict(self, image: PictureSource) -> Prediction:
        """The answer to one picture."""
        return self.answer([load_pixels(image, SHORT_SIDE)], [image])[0]

    def predict_batch(self, images: Sequence[PictureSource]) -> list[Prediction]:
        """The answers to many pictures, in their order. The first one that cannot be read raises PictureError."""
        return [answer for chunk, pixels in _loaded(images) for answer in self.answer(pixels, chunk)]

    def probabilities(self, images: Sequence[PictureSource]) -> np.ndarray:
        """(N, C) float32, by class in the checkpoint's order."""
        found = [self.infer(pixels).probabilities.numpy() for _, pixels in _loaded(images)]
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)), np.float32)

    def embed(self, images: Sequence[PictureSource]) -> np.ndarray:
        """(N, F) float32: the features of the last pooling."""
        found = [self.infer(pixels).features.float().numpy() for _, pixels in _loaded(images)]
        return np.concatenate(found) if found else np.zeros((0, self.network.head.in_features), np.float32)

    @torch.inference_mode()
    def infer(self, pixels: Sequence[np.ndarray]) -> Inference:
        """One forward pass over pictures as :func:`load_pixels` or the image store gives them, (H, W, 3) uint8."""
        views = self.config.transform.num_views
        logits, features, _ = self.answering(self.config.transform.batch(pixels).to(self._device))
        probabilities = calibrated(logits, self.config.temperature, views).cpu()
        return Inference(probabilities, features.unflatten(0, (-1, views)).mean(dim=1).cpu())

    @torch.inference_mode()
    def gaze(self, pixels: np.ndarray, shares: Tensor, taught: Taught | None = None) -> Gaze:
        """What in one loaded picture, (H, W, 3) uint8, speaks for classes that count by ``shares``, (C,) or (C + T,)."""
        maps = self.answering(self.config.transform.enlarged(HEATMAP_ZOOM).batch([pixels]).to(self._device)).maps
        weight = self.network.head.weight if taught is None else taught.beside(self.network.head.weight)
        activation = class_activation(maps, weight, shares[None].to(self._device))
        height, width = pixels.shape[:2]
        return Gaze(activation[0].float().cpu().numpy(), self.config.transform.crop_box(height, width), height, width)

    def by_type(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C) by class → (N, T) by fruit type as in ``types``, and (N,) of no fruit: sums over the classes."""
        return self._kinds.sums(probabilities)

    def kinds(self, taught: Taught | None = None) -> Kinds:
        """The names that may be answered: the classes, and behind them what was taught."""
        if taught is None:
            return self._kinds
        return Kinds(self.classes + taught.names, self.config.fruit_types + taught.fruit_types)

    @torch.inference_mode()
    def answer(self, pixels: Sequence[np.ndarray], sources: Sequence[PictureSource], before: Sequence[Beforehand] = ()) -> list[Prediction]:
        """Answer pictures that are loaded already; ``sources`` are what the heatmaps will be drawn over."""
        found = self.infer(pixels)
        before = before or [Beforehand()] * len(pixels)
        by_class = self._with_studio_views(found.probabilities, pixels, before)
        answers = []
        for row, known in enumerate(before):
            own, kinds = by_class[row : row + 1], self.kinds(known.taught)
            if known.taught is not None:
                own = known.taught.join(own, found.features[row : row + 1])
            if known.earlier is not None and len(known.earlier) == own.shape[1]:
                own = torch.lerp(own, torch.from_numpy(known.earlier.copy()).float(), MEMORY)
            answers.append(self._prediction(own[0], kinds, sources[row], known.taught))
        return answers

    def _prediction(self, own: Tensor, kinds: Kinds, source: PictureSource, taught: Taught | None) -> Prediction:
        by_type, no_fruit = kinds.sums(own[None])
        best, types = by_type[0].topk(min(GUESSES, len(kinds.types)))
        inside = kinds.kind_of == types[:, None]  # (guesses, C): which classes are of the guessed type
        likeliest = torch.where(inside, own, -1.0).argmax(dim=1)
        top = tuple(
            Guess(kinds.labels[c], kinds.types[t], p) for p, t, c in zip(best.tolist(), types.tolist(), likeliest.tolist(), strict=True)
        )
        gaze = partial(self.gaze, shares=torch.where(inside[0], own, 0.0) / best[0], taught=taught)
        thresholds = self.config.thresholds if taught is None else taught.thresholds(self.config.thresholds, top[0].label)
        word = verdict(top[0].probability, no_fruit.item(), thresholds)
        return Prediction(top[0].label, top[0].fruit_type, top[0].probability, word, top, own.numpy().copy(), source, gaze)

    def _with_studio_views(self, probabilities: Tensor, pixels: Sequence[np.ndarray], before: Sequence[Beforehand]) -> Tensor:
        """(N, C): where the empty ground is known, the mean with what the network says of the fruit cut out on white."""
        views = {row: studio_view(pixels[row], each.empty) for row, each in enumerate(before) if each.empty is not None}
        views = {row: view for row, view in views.items() if view is not None}
        if not views:
            return probabilities
        logits = self.answering(self.config.transform.with_views("one").batch(list(views.values())).to(self._device)).logits
        probabilities, rows = probabilities.clone(), list(views)
        probabilities[rows] = (probabilities[rows] + calibrated(logits, self.config.temperature).cpu()) / 2
        return probabilities


class Kinds:
    """The names that may be answered, and how they are summed by fruit type."""

    def __init__(self, labels: Sequence[str], fruit_types: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.types = tuple(dict.fromkeys(name for name in fruit_types if name != NOT_FRUIT))
        kinds = (*self.types, NOT_FRUIT)
        self.kind_of = torch.tensor([kinds.index(name) for name in fruit_types])
        self._membership = torch.nn.functional.one_hot(self.kind_of, len(kinds)).float()

    def sums(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """(N, labels) → (N, types), and (N,) of no fruit."""
        sums = (probabilities @ self._membership).clamp(max=1.0)  # float32 may sum to a little more than 1
        return sums[:, :-1], sums[:, -1]


def _loaded(images: Sequence[PictureSource]) -> Iterator[tuple[Sequence[PictureSource], list[np.ndarray]]]:
    """Chunks that fit into one pass: the pictures as given, and their pixels."""
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        yield chunk, [load_pixels(image, SHORT_SIDE) for image in chunk]


@dataclass
class _Waiting:
    pixels: np.ndarray
    source: PictureSource
    before: Beforehand
    answer: Future[Prediction] = field(default_factory=Future)


class Batcher:
    """Lets many visitors share one forward pass: what waits at the same moment is answered together.

    A pass costs the same whether it is asked for by one thread or by sixteen, and two passes at once only fight over
    the cores. The thread behind it starts with the first picture and ends with :meth:`close`. With ``compiles`` the
    classifier is compiled (:meth:`Classifier.compile`) when it has answered first, while torch goes on answering.
    """

    def __init__(self, classifier: Classifier, *, max_batch: int = 16, max_wait_s: float = 0.003, compiles: bool = False) -> None:
        self.classifier = classifier
        self._compiles = compiles
        self._max_batch, self._max_wait_s = max_batch, max_wait_s
        self._waiting: deque[_Waiting] = deque()
        self._on_the_way, self._closed = 0, False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def submit(self, image: PictureSource, before: Beforehand = Beforehand()) -> Prediction:
        """As :meth:`Classifier.predict`; returns when the picture's batch is answered."""
        with self._changed:
            self._on_the_way += 1
        waiting = None
        try:
            # Decoded here, in the visitor's own thread: what cannot be read troubles nobody else.
            waiting = _Waiting(load_pixels(image, SHORT_SIDE), image, before)
        finally:
            with self._changed:
                self._on_the_way -= 1
                if waiting and not self._closed:
                    self._waiting.append(waiting)
                    self._start()
                self._changed.notify_all()
                alone = self._closed
        if alone:  # whoever asked had hold of a batcher that others gave up: no thread is started that nobody would end
            return self.classifier.answer([waiting.pixels], [waiting.source], [waiting.before])[0]
        return waiting.answer.result()

    def close(self) -> None:
        """Answer what waits and end the thread. A later picture is answered by itself."""
        with self._changed:
            self._closed = True
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread:
            thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="fruitvision-batcher", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[_Waiting]:
        """The next batch; empty when the batcher is closed and nothing waits.

        A lone picture does not wait: only while another is being decoded is it worth a moment.
        """
        me = threading.current_thread()
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._thread is not me)
                self._changed.wait_for(self._worth_no_more_waiting, timeout=self._max_wait_s)
                if self._waiting or self._thread is not me:  # a thread that was closed just now may have taken all
                    return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]

    def _worth_no_more_waiting(self) -> bool:
        return not self._on_the_way or len(self._waiting) >= self._max_batch or self._thread is None

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            answers = self.classifier.answer(*zip(*((w.pixels, w.source, w.before) for w in batch), strict=True))
        except Exception as error:
            if len(batch) == 1:  # raised again in the visitor's thread
                batch[0].answer.set_exception(error)
            else:
                for waiting in batch:
                    self._answer([waiting])
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.answer.set_result(answer)
            if self._compiles:
                self._compiles = False
                _compile_beside(self.classifier)


_compiling: list[threading.Thread] | None = []  # None: the process is ending
_starting = threading.Lock()


def _compile_beside(classifier: Classifier) -> None:
    """Compile it in a thread of its own, unless the process is ending."""
    with _starting, contextlib.suppress(RuntimeError):  # no thread to be had: torch goes on
        if _compiling is not None:
            thread = threading.Thread(target=classifier.compile, name="fruitvision-compile", daemon=True)
            thread.start()
            _compiling[:] = [*filter(threading.Thread.is_alive, _compiling), thread]


@atexit.register
def _end_compiling() -> None:
    global _compiling
    with _starting:
        threads, _compiling = _compiling or [], None
    end = time.monotonic() + EXIT_SECONDS
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
