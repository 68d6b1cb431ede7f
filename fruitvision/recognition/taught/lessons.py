"""The taught pictures as one network sees them: looked at once, kept beside them, fitted anew when they change.

Teaching works with every network, so what one saw is kept under its fingerprint. When another one answers, the pictures
are looked at again: a few at once, many in the background while the answers go on without those still to come.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fruitvision.errors import FruitVisionError, PictureError
from fruitvision.files import write_bytes
from fruitvision.recognition.classifier import Classifier
from fruitvision.recognition.taught.store import TaughtIndex, TaughtStore
from fruitvision.recognition.taught_classes import Impression, Taught

VIEWS = 5
NEARER, DARKER, BRIGHTER = 0.8, 0.7, 1.35
AT_ONCE = 12
"""So many pictures are looked at before the next answer; more than that in the background."""
PATIENCE = 2.0
"""Seconds between two fits while pictures are looked at in the background."""
_FORMAT = "1"


class Lessons:
    """What a store teaches one classifier. Many threads may use it."""

    def __init__(self, store: TaughtStore, classifier: Classifier) -> None:
        self.store, self.classifier = store, classifier
        self.fingerprint = fingerprint(classifier)
        self._known: dict[str, Impression | None] = {}
        self._lock = threading.Lock()
        self._fitted: tuple[tuple[tuple[str, str], ...], Taught | None] = ((), None)
        self._fitted_at = 0.0
        self._thread: threading.Thread | None = None

    def see(self, picture: str) -> None:
        """Look at a picture now, so that the next answer need not. One that cannot be read teaches nothing."""
        if picture not in self._known:
            self._known[picture] = self._look(picture)

    def current(self) -> Taught | None:
        """What is taught at this moment, fitted; None where that is nothing.

        Raises DataError "taught-damaged" where the store cannot be read.
        """
        with self._lock:
            index = self.store.index()
            missing = self._recall(index)
            if len(missing) <= AT_ONCE:
                for picture in missing:
                    self.see(picture)
            elif self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._catch_up, args=(missing,), name="fruitvision-lessons", daemon=True)
                self._thread.start()
            return self._fit(index)

    def waiting(self) -> int:
        """How many taught pictures this network has not seen yet."""
        return len([one for own in self.store.index().names.values() for one in own if one not in self._known])

    def _recall(self, index: TaughtIndex) -> list[str]:
        """Read what was seen before; the pictures of which nothing is kept."""
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
            self.see(picture)

    def _fit(self, index: TaughtIndex) -> Taught | None:
        ready = tuple((name, one) for name, own in index.names.items() for one in own if self._known.get(one) is not None)
        early = self._thread is not None and self._thread.is_alive() and time.monotonic() - self._fitted_at < PATIENCE
        if ready != self._fitted[0] and not early:
            self._fitted = ready, fit(self.classifier, [(name, self._known[one]) for name, one in ready])
            self._fitted_at = time.monotonic()
        return self._fitted[1]

    def _look(self, picture: str) -> Impression | None:
        try:
            seen = impression(self.classifier, self.store.pixels(picture))
        except PictureError:
            return None
        buffer = io.BytesIO()
        np.save(buffer, torch.cat((seen.features.flatten(), seen.probabilities)).numpy().astype(np.float16))
        try:
            write_bytes(self.store.features_file(picture, self.fingerprint), buffer.getvalue())
        except FruitVisionError:
            pass  # it is only looked at again the next time
        return seen

    def _read(self, picture: str) -> Impression | None:
        classes, width = self.classifier.network.head.weight.shape
        try:
            values = np.load(self.store.features_file(picture, self.fingerprint), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if values.shape != (VIEWS * width + classes,) or values.dtype != np.float16 or not np.isfinite(values).all():
            return None
        numbers = torch.from_numpy(values.astype(np.float32))
        return Impression(numbers[:-classes].view(VIEWS, width), numbers[-classes:])


def fit(classifier: Classifier, lessons: Sequence[tuple[str, Impression]]) -> Taught | None:
    """A (name, impression) for each picture → what answers; None without any."""
    if not lessons:
        return None
    head = classifier.network.head.weight.detach()
    return Taught(lessons, head, classifier.classes, classifier.config.fruit_types)


@torch.inference_mode()
def impression(classifier: Classifier, pixels: np.ndarray) -> Impression:
    """What the network sees in a picture, (H, W, 3) uint8: as it answers by, then nearer, mirrored, darker and brighter."""
    found = classifier.infer([pixels])
    once = classifier.config.transform.with_views("one")
    inputs = torch.cat([once.batch([view]) for view in _views(pixels)])
    device = next(classifier.network.parameters()).device
    more: Tensor = classifier.answering(inputs.to(device)).features.float().cpu()
    return Impression(torch.cat((found.features.float(), more)), found.probabilities[0].float())


def _views(pixels: np.ndarray) -> list[np.ndarray]:
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - NEARER) / 2), round(width * (1 - NEARER) / 2)
    nearer = pixels[top : max(height - top, top + 1), left : max(width - left, left + 1)]
    light = [np.clip(pixels.astype(np.float32) * gain, 0, 255).astype(np.uint8) for gain in (DARKER, BRIGHTER)]
    return [nearer, pixels[:, ::-1], *light]


def fingerprint(classifier: Classifier) -> str:
    """Of a network and of how it looks at pictures: 64 hexadecimal digits."""
    config = classifier.config
    digest = hashlib.sha256(f"{_FORMAT}\0{config.weights_sha256}\0{config.transform.model_dump_json()}\0{config.temperature}".encode())
    if not config.weights_sha256:  # a network that was never saved
        for name, value in sorted(classifier.network.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
