"""How well teaching works: a few pictures of each class are taught, and the others asked about.

Once under the names of fruit types that the network may know already, once under names that nobody knows. Then five
classes alone are taught, to see what that costs the others: those beside them in the same folder, and those of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.fruits import fruit_type
from fruitvision.data.load.targets import NOT_FRUIT
from fruitvision.data.read.dataset import held_out
from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.store import open_folder
from fruitvision.errors import UsageError
from fruitvision.recognition.classifier import Classifier, Inference
from fruitvision.recognition.taught.lessons import fit, impression
from fruitvision.recognition.taught_classes import Impression, Taught
from fruitvision.training.metrics import expected_calibration_error

BATCH_SIZE = 64
FEW = 5
"""Classes that are taught alone."""

Progress = Callable[[int, int | None], None]


def teach_benchmark(
    classifier: Classifier,
    data: str | Path,
    *,
    shots: Sequence[int] = (1, 5, 10),
    seeds: int = 5,
    split: str | None = None,
    untaught: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Teach ``shots`` pictures of each class folder of ``data``, drawn ``seeds`` times, and score the others.

    Args:
        split: None: whatever is not taught is scored; "heldout": that fifth is scored (see :func:`held_out`), and what is
            taught comes from the rest.
        untaught: a folder of class folders that the network knows, to see what teaching others costs them.
        progress: called with the number of pictures looked at so far.

    Returns:
        What JSON can hold; shares are 0..1. Under "known" and "new", for each number of shots: ``top1`` with its standard
        deviation ``sd`` over the draws, and ``ece``. Under "others", and "untaught" where asked for, of pictures whose type
        is not among five taught ones: top-1 ``before``, ``after``, and ``change`` with its ``sd``; by type, and by class.

    Raises:
        DataError: as :func:`open_folder`. UsageError: a split of another name, or a class with too few pictures.
    """
    if split not in (None, "all", "heldout"):
        raise UsageError("unknown-split", name=split, names="all, heldout", folder=str(data))
    asked = _Pictures.open(classifier, Path(data), progress, held_out if split == "heldout" else None)
    apart = asked.scored if split == "heldout" else np.zeros(len(asked.labels), bool)
    _refuse_too_few(asked, ~apart, max(shots))
    other = _Pictures.open(classifier, Path(untaught), progress) if untaught is not None else None
    result: dict[str, Any] = {
        "checkpoint": str(classifier.path) if classifier.path else None,
        "data": str(data),
        "split": split or "all",
        "classes": len(asked.names),
        "images": len(asked.labels),
        "seeds": seeds,
        "untaught_images": len(other.labels) if other else 0,
    }
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(np.flatnonzero((asked.labels == c) & ~apart)) for c in range(len(asked.names))]
        few = sorted(rng.permutation(len(asked.names))[:FEW].tolist())
        for count in shots:
            taught = np.concatenate([rows[:count] for rows in drawn])
            scored = np.flatnonzero(apart) if apart.any() else np.setdiff1d(np.arange(len(asked.labels)), taught)
            for way, called in (("known", _known_name), ("new", _new_name)):
                names = [called(name) for name in asked.names]
                lesson = asked.teach(taught, names)
                confidence, right = asked.ask(scored, lesson, names)
                found.setdefault((way, count), []).append((right.double().mean().item(), expected_calibration_error(confidence, right)))
            some = np.concatenate([drawn[c][:count] for c in few])
            lesson, types = asked.teach(some, [_known_name(name) for name in asked.names]), {_known_name(asked.names[c]) for c in few}
            for way, place, by_class in (("others", asked, False), ("untaught", other, True)):
                if place is not None and (pair := place.before_and_after(lesson, types, by_class)):
                    found.setdefault((way, count), []).append(pair)
    for (way, count), pairs in found.items():
        first, second = np.array(pairs).T
        if way in ("known", "new"):
            figures = {"top1": first.mean(), "sd": first.std(), "ece": second.mean()}
        else:
            change = second - first
            figures = {"before": first.mean(), "after": second.mean(), "change": change.mean(), "sd": change.std()}
        result.setdefault(way, {})[str(count)] = {name: float(value) for name, value in figures.items()}
    return result


def _known_name(folder: str) -> str:
    return fruit_type(folder)


def _new_name(folder: str) -> str:
    return f"new: {folder}"


@dataclass
class _Pictures:
    """A folder's pictures, and what the network says of them untaught. Each is looked at once."""

    classifier: Classifier
    names: tuple[str, ...]
    labels: np.ndarray
    paths: tuple[str, ...]
    rows: np.ndarray
    store: ImageStore
    scored: np.ndarray
    """(N,) bool: those that may be asked about."""
    seen: Inference
    """What the network says of these, in their order."""
    impressions: dict[int, Impression]

    @classmethod
    def open(cls, classifier: Classifier, root: Path, progress: Progress | None, scored: Callable[[str], bool] | None = None) -> _Pictures:
        names, split, store, _ = open_folder(root)
        if NOT_FRUIT in names:  # nothing is taught or asked of these
            split = split.select(split.labels != names.index(NOT_FRUIT))
            kept = [n for n, name in enumerate(names) if name != NOT_FRUIT]
            names, split = tuple(names[n] for n in kept), replace(split, labels=np.searchsorted(kept, split.labels))
        asked = np.array([scored is None or scored(path) for path in split.paths], bool)
        rows, parts = split.rows[asked], []
        for start in range(0, len(rows), BATCH_SIZE):
            parts.append(classifier.infer([store[row] for row in rows[start : start + BATCH_SIZE]]))
            if progress:
                progress(min(start + BATCH_SIZE, len(rows)), len(rows))
        seen = Inference(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
        return cls(classifier, names, split.labels, split.paths, split.rows, store, asked, seen, {})

    def teach(self, chosen: np.ndarray, names: Sequence[str]) -> Taught:
        """Teach some of the pictures, each under its class's name in ``names``."""
        for i in chosen.tolist():
            if i not in self.impressions:
                self.impressions[i] = impression(self.classifier, self.store[self.rows[i]])
        lessons = [(names[self.labels[i]], self.impressions[i]) for i in chosen.tolist()]
        return fit(self.classifier, lessons)

    def ask(self, chosen: np.ndarray, taught: Taught, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(N,) confidence, and whether the type that is answered is the class's name in ``names``."""
        confidence, answers = self._by_type(chosen, taught)
        return confidence, torch.tensor([answer == names[label] for answer, label in zip(answers, self.labels[chosen], strict=True)])

    def before_and_after(self, taught: Taught, types: set[str], by_class: bool) -> tuple[float, float] | None:
        """Top-1 of the pictures of other types than these, untaught and taught; None where the network knows none of them."""
        known = self.classifier.classes if by_class else self.classifier.types
        wanted = [name if by_class else fruit_type(name) for name in self.names]
        asked = [n for n, name in enumerate(self.names) if fruit_type(name) not in types and wanted[n] in known]
        chosen = np.flatnonzero(np.isin(self.labels, asked) & self.scored)
        if not len(chosen):
            return None
        found = []
        for lesson in (None, taught):
            answers = self._by_class(chosen, lesson) if by_class else self._by_type(chosen, lesson)[1]
            found.append(float(np.mean([a == wanted[n] for a, n in zip(answers, self.labels[chosen], strict=True)])))
        return found[0], found[1]

    def _joint(self, chosen: np.ndarray, taught: Taught | None) -> Tensor:
        places = (np.cumsum(self.scored) - 1)[chosen]
        probabilities = self.seen.probabilities[places]
        return probabilities if taught is None else taught.join(probabilities, self.seen.features[places])

    def _by_class(self, chosen: np.ndarray, taught: Taught | None) -> list[str]:
        labels = self.classifier.kinds(taught).labels
        return [labels[n] for n in self._joint(chosen, taught).argmax(dim=1).tolist()]

    def _by_type(self, chosen: np.ndarray, taught: Taught | None) -> tuple[Tensor, list[str]]:
        kinds = self.classifier.kinds(taught)
        confidence, best = kinds.sums(self._joint(chosen, taught))[0].max(dim=1)
        return confidence, [kinds.types[n] for n in best.tolist()]


def _refuse_too_few(pictures: _Pictures, free: np.ndarray, shots: int) -> None:
    counts = np.bincount(pictures.labels[free], minlength=len(pictures.names))
    if counts.min() < shots:
        name = pictures.names[int(counts.argmin())]
        raise UsageError("too-few-to-teach", name=name, found=int(counts.min()), wanted=shots)
