"""The embeddings of the taught pictures by one network, computed once and cached on disk, and the head fitted to them.

Teaching works with every network, so its embeddings are stored under the network's fingerprint. When another network is used,
the pictures are embedded again: a few immediately, many in the background while answers go on without the missing ones.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Sequence

import numpy as np
import torch

from fruitvision.errors import FruitVisionError, PictureError
from fruitvision.files import write_bytes
from fruitvision.recognition.classifier import Classifier
from fruitvision.recognition.taught.store import TaughtIndex, TaughtStore
from fruitvision.recognition.taught_head import Embedding, TaughtHead

VIEWS = 5
CENTER, DARKER, BRIGHTER = 0.8, 0.7, 1.35
AT_ONCE = 12
"""Up to this many pictures are embedded before the next prediction; more are embedded in the background."""
REFIT_SECONDS = 2.0
"""The time between two fits while pictures are embedded in the background."""
_FORMAT = "1"


class TaughtEmbeddings:
    """The pictures of a store, embedded by one classifier. Thread-safe."""

    def __init__(self, store: TaughtStore, classifier: Classifier) -> None:
        self.store, self.classifier = store, classifier
        self.fingerprint = fingerprint(classifier)
        self._known: dict[str, Embedding | None] = {}
        self._lock = threading.Lock()
        self._fitted: tuple[tuple[tuple[str, str], ...], TaughtHead | None] = ((), None)
        self._fitted_at = 0.0
        self._thread: threading.Thread | None = None

    def embed(self, picture: str) -> None:
        """Embed a picture now, ahead of the next prediction. A picture that cannot be read is ignored."""
        if picture not in self._known:
            self._known[picture] = self._compute(picture)

    def current(self) -> TaughtHead | None:
        """The head fitted to the current taught pictures; None if there are none.

        Raises DataError "taught-damaged" if the store cannot be read.
        """
        with self._lock:
            index = self.store.index()
            missing = self._load(index)
            if len(missing) <= AT_ONCE:
                for picture in missing:
                    self.embed(picture)
            elif self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._catch_up, args=(missing,), name="fruitvision-embeddings", daemon=True)
                self._thread.start()
            return self._fit(index)

    def pending(self) -> int:
        """The number of taught pictures that are not embedded yet."""
        with self._lock:
            return len(self._load(self.store.index()))

    def _load(self, index: TaughtIndex) -> list[str]:
        """Read cached embeddings; returns the pictures without one."""
        wanted = [one for own in index.names.values() for one in own]
        for gone in set(list(self._known)) - set(wanted):
            self._known.pop(gone, None)
        missing = []
        for picture in wanted:
            if picture not in self._known:
                kept = self._read(picture)
                if kept is None:
                    missing.append(picture)
                else:
                    self._known[picture] = kept
        return missing

    def _catch_up(self, pictures: Sequence[str]) -> None:
        for picture in pictures:
            self.embed(picture)

    def _fit(self, index: TaughtIndex) -> TaughtHead | None:
        examples = [(name, one, found) for name, own in index.names.items() for one in own if (found := self._known.get(one))]
        ready = tuple((name, one) for name, one, _ in examples)
        early = self._thread is not None and self._thread.is_alive() and time.monotonic() - self._fitted_at < REFIT_SECONDS
        if ready != self._fitted[0] and not early:
            self._fitted = ready, fit(self.classifier, [(name, found) for name, _, found in examples])
            self._fitted_at = time.monotonic()
        return self._fitted[1]

    def _compute(self, picture: str) -> Embedding | None:
        try:
            found = embedding(self.classifier, self.store.pixels(picture))
        except PictureError:
            return None
        buffer = io.BytesIO()
        np.save(buffer, torch.cat((found.features.flatten(), found.probabilities)).numpy().astype(np.float16))
        try:
            write_bytes(self.store.features_file(picture, self.fingerprint), buffer.getvalue())
        except FruitVisionError:
            pass  # computed again the next time
        return found

    def _read(self, picture: str) -> Embedding | None:
        classes, width = self.classifier.head.weight.shape
        try:
            values = np.load(self.store.features_file(picture, self.fingerprint), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if values.shape != (VIEWS * width + classes,) or values.dtype != np.float16 or not np.isfinite(values).all():
            return None
        numbers = torch.from_numpy(values.astype(np.float32))
        return Embedding(numbers[:-classes].view(VIEWS, width), numbers[-classes:])


def fit(classifier: Classifier, examples: Sequence[tuple[str, Embedding]]) -> TaughtHead | None:
    """Fit a head to (name, embedding) of each picture; None if there are none."""
    if not examples:
        return None
    weight = classifier.head.weight.detach()
    return TaughtHead(examples, weight, classifier.classes, classifier.config.fruit_types)


@torch.inference_mode()
def embedding(classifier: Classifier, pixels: np.ndarray) -> Embedding:
    """The embedding of a picture, (H, W, 3) uint8, and of its center crop, its mirror image, and darker and brighter copies."""
    found = classifier.infer([pixels])
    once = classifier.config.transform.with_views("one")
    _, more = classifier.forward(_views(pixels), once)
    return Embedding(torch.cat((found.features.float(), more.float().cpu())), found.probabilities[0].float())


def _views(pixels: np.ndarray) -> list[np.ndarray]:
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - CENTER) / 2), round(width * (1 - CENTER) / 2)
    center = pixels[top : max(height - top, top + 1), left : max(width - left, left + 1)]
    light = [np.clip(pixels.astype(np.float32) * gain, 0, 255).astype(np.uint8) for gain in (DARKER, BRIGHTER)]
    return [center, pixels[:, ::-1], *light]


def fingerprint(classifier: Classifier) -> str:
    """A hash of a network and its preprocessing: 64 hexadecimal digits."""
    config = classifier.config
    digest = hashlib.sha256(f"{_FORMAT}\0{config.weights_sha256}\0{config.transform.model_dump_json()}\0{config.temperature}".encode())
    if not config.weights_sha256:  # the network was never saved
        for name, value in sorted(classifier.network.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
