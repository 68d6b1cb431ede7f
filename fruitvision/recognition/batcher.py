"""Dynamic batching: pictures that wait at the same time share one forward pass."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np

from fruitvision.data.read.formats.picture_file import Note
from fruitvision.data.read.picture import PictureSource, load_with_note, to_array
from fruitvision.recognition.classifier import Classifier, FrameContext, Prediction

EXIT_SECONDS = 10.0
"""How long exit waits for networks that are being compiled, since exiting meanwhile aborts the process."""


@dataclass
class _Request:
    pixels: np.ndarray
    source: PictureSource
    context: FrameContext
    note: Note
    answer: Future[Prediction] = field(default_factory=Future)


class Batcher:
    """Classifies the pictures of many threads in common forward passes, in its own thread, which starts with the first picture.

    Simultaneous passes would only compete for the cores. :meth:`close` ends the thread. With ``openvino`` the classifier switches to
    OpenVINO (:meth:`Classifier.use_openvino`) in the background after its first answer, while torch continues to answer.
    """

    def __init__(self, classifier: Classifier, *, max_batch: int = 16, max_wait_s: float = 0.003, openvino: bool = False) -> None:
        self.classifier = classifier
        self._openvino = openvino
        self._max_batch, self._max_wait_s = max_batch, max_wait_s
        self._queue: deque[_Request] = deque()
        self._decoding, self._closed = 0, False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def submit(self, image: PictureSource, context: FrameContext | None = None) -> Prediction:
        """As :meth:`Classifier.predict`; blocks until the picture's batch is done."""
        with self._changed:
            self._decoding += 1
        request = None
        try:
            # Decoded in the caller's thread, so that an unreadable picture does not affect others.
            picture = load_with_note(image, self.classifier.short_side)
            request = _Request(to_array(picture.image), image, context or FrameContext(), picture.note)
        finally:
            with self._changed:
                self._decoding -= 1
                if request and not self._closed:
                    self._queue.append(request)
                    self._start()
                self._changed.notify_all()
                closed = self._closed
        assert request is not None
        if closed:  # a new thread would never be ended
            answer = self.classifier.predict_pixels([request.pixels], [request.source], [request.context])[0]
            return replace(answer, note=request.note)
        return request.answer.result()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """Answer the queued pictures and end the thread. Later pictures are answered without batching."""
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

    def _next(self) -> list[_Request]:
        """The next batch; empty if the batcher is closed and the queue is empty.

        A single picture is only delayed if another one is being decoded.
        """
        me = threading.current_thread()
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._thread is not me)
                self._changed.wait_for(self._is_complete, timeout=self._max_wait_s)
                if self._queue or self._thread is not me:  # another thread may have taken all requests while closing
                    return [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]

    def _is_complete(self) -> bool:
        return not self._decoding or len(self._queue) >= self._max_batch or self._thread is None

    def _answer(self, batch: list[_Request]) -> None:
        try:
            pixels, sources, contexts = zip(*((one.pixels, one.source, one.context) for one in batch), strict=True)
            answers = self.classifier.predict_pixels(pixels, sources, contexts)
        except Exception as error:
            if len(batch) == 1:  # raised again in the caller's thread
                batch[0].answer.set_exception(error)
            else:
                for request in batch:
                    self._answer([request])
        else:
            for request, answer in zip(batch, answers, strict=True):
                request.answer.set_result(replace(answer, note=request.note) if request.note else answer)
            if self._openvino:
                self._openvino = False
                _compile_in_background(self)


_compiling: list[threading.Thread] | None = []  # None while the process exits
_starting, _one_at_a_time = threading.Lock(), threading.Lock()


def _compile_in_background(batcher: Batcher) -> None:
    with _starting, contextlib.suppress(RuntimeError):  # no thread can be started: torch continues to answer
        if _compiling is not None:
            thread = threading.Thread(target=_compile, args=(batcher,), name="fruitvision-compile", daemon=True)
            thread.start()
            _compiling[:] = [*filter(threading.Thread.is_alive, _compiling), thread]


def _compile(batcher: Batcher) -> None:
    with _one_at_a_time:
        if not batcher.closed and _compiling is not None:
            batcher.classifier.use_openvino()


@atexit.register
def _wait_for_compiling() -> None:
    global _compiling
    with _starting:
        threads, _compiling = _compiling or [], None
    end = time.monotonic() + EXIT_SECONDS
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
