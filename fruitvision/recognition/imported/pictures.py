"""Check an imported network on some pictures of every class: its accuracy, and the order of its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fruitvision.data.load.targets import Targets
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.picture import load_pixels
from fruitvision.errors import DataError, PictureError
from fruitvision.models.checkpoint import Thresholds
from fruitvision.recognition.calibration import MIN_PHOTOS, calibrate
from fruitvision.recognition.classifier import Classifier
from fruitvision.wording.text import abbreviate

MAX_PICTURES, MIN_PER_CLASS, MAX_PER_CLASS = 400, 3, 40
"""The number of pictures in total, and its bounds per class."""
BATCH_SIZE = 16
PREFERRED = ("test", "val", "train")
"""The splits in order of preference: the network is least likely trained on the first."""
MIN_ACCURACY = 0.5
"""A lower accuracy means that something is wrong."""
CLEARLY_BETTER = 0.3
"""The minimum gain in accuracy of another order of the classes, to report that the order is wrong."""


@dataclass(frozen=True)
class PictureCheck:
    """The result of :func:`check_on_pictures`."""

    pictures: int
    right: int
    unreadable: int
    unknown: tuple[str, ...]
    """Folders without a class of that name."""
    without: tuple[str, ...]
    """Classes of the network without a picture."""
    swapped: tuple[tuple[str, str], ...]
    """(folder, the class predicted for its pictures), if the classes seem to be in another order; else empty."""
    seen: bool
    """Whether the network may have been trained on these pictures: they are not from a test or validation split."""
    logits: Tensor
    """(N, C)"""
    labels: Tensor
    """(N,)"""

    @property
    def accuracy(self) -> float:
        """The accuracy."""
        return self.right / max(self.pictures, 1)

    @property
    def order_fits(self) -> bool:
        """Whether the predictions are consistent with the order of the classes."""
        return not self.swapped


def check_on_pictures(classifier: Classifier, data: Path, progress: Callable[[int, int], None] | None = None) -> PictureCheck:
    """Classify a few pictures of every class of a folder, of its test split if it has one.

    Raises DataError: as :func:`list_pictures`, and "no-known-class" if no folder has the name of a class.
    """
    listing = list_pictures(data, need_training=False)
    by_folder: dict[str, dict[str, list[Path]]] = {}
    for file in listing.files:
        by_folder.setdefault(file.folder, {}).setdefault(file.split, []).append(listing.root / file.path)
    known = {_plain(name): label for label, name in enumerate(classifier.classes)}
    labelled = {folder: known[_plain(folder)] for folder in by_folder if _plain(folder) in known}
    if not labelled:
        raise DataError("no-known-class", folder=str(data), found=abbreviate(tuple(by_folder)), known=abbreviate(classifier.classes))
    count = min(max(MAX_PICTURES // len(labelled), MIN_PER_CLASS), MAX_PER_CLASS)
    chosen, splits = [], set()
    for folder, label in labelled.items():
        split = next(name for name in PREFERRED if name in by_folder[folder])
        files = by_folder[folder][split]
        splits.add(split)
        chosen += [(path, label) for path in files[:: max(len(files) // count, 1)][:count]]
    logits, labels = _logits(classifier, chosen, progress)
    answers = logits.argmax(dim=1)
    return PictureCheck(
        pictures=len(labels),
        right=int((answers == labels).sum()),
        unreadable=len(chosen) - len(labels),
        unknown=tuple(sorted(set(by_folder) - set(labelled))),
        without=tuple(name for label, name in enumerate(classifier.classes) if label not in labelled.values()),
        swapped=_swapped(answers.tolist(), labels.tolist(), classifier.classes),
        seen="train" in splits,
        logits=logits,
        labels=labels,
    )


def calibrated(check: PictureCheck, classes: Sequence[str]) -> tuple[float, Thresholds] | None:
    """Temperature and thresholds from the checked pictures; None if there are too few, or the accuracy is too low."""
    if check.pictures < MIN_PHOTOS or check.accuracy < MIN_ACCURACY or check.swapped:
        return None
    return calibrate(check.logits[:, None], check.labels, Targets.of(classes))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


@torch.inference_mode()
def _logits(classifier: Classifier, chosen: list[tuple[Path, int]], progress: Callable[[int, int], None] | None) -> tuple[Tensor, Tensor]:
    logits, labels = [torch.zeros(0, len(classifier.classes))], []
    for start in range(0, len(chosen), BATCH_SIZE):
        pixels = []
        for path, label in chosen[start : start + BATCH_SIZE]:
            try:
                pixels.append(load_pixels(path, classifier.short_side))
            except PictureError:
                continue
            labels.append(label)
        if pixels:
            logits.append(classifier.forward(pixels, classifier.config.transform)[0].float())
        if progress:
            progress(min(start + BATCH_SIZE, len(chosen)), len(chosen))
    return torch.cat(logits), torch.tensor(labels, dtype=torch.long)


def _swapped(answers: list[int], labels: list[int], classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(class, predicted class) pairs if the predictions are a permutation of the classes with clearly higher accuracy than the names."""
    counts: dict[int, Counter[int]] = {}
    for label, answer in zip(labels, answers, strict=True):
        counts.setdefault(label, Counter())[answer] += 1
    usual = {label: own.most_common(1)[0] for label, own in counts.items()}
    one_to_one = len({answer for answer, _ in usual.values()}) >= 0.8 * len(usual)
    share = sum(count for _, count in usual.values()) / max(len(labels), 1)
    right = sum(own[label] for label, own in counts.items()) / max(len(labels), 1)
    if not one_to_one or share < MIN_ACCURACY or share < right + CLEARLY_BETTER:
        return ()
    return tuple((classes[label], classes[answer]) for label, (answer, _) in sorted(usual.items()) if answer != label)
