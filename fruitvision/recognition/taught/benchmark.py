"""A benchmark of few-shot teaching: a few pictures of each class are taught, and the others are classified.

Once under the names of fruit types, which the network may already know, and once under new names. Then only five classes are
taught, to measure what that costs the others: those in the same folder, and those of another folder.
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
from fruitvision.recognition.taught.embeddings import embedding, fit
from fruitvision.recognition.taught_head import Embedding, TaughtHead
from fruitvision.training.evaluation import expected_calibration_error

BATCH_SIZE = 64
SUBSET = 5
"""How many classes are taught to measure the cost for the others."""

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
        split: None: all pictures that are not taught are scored; "heldout": that fifth is scored (see :func:`held_out`), and
            the taught pictures are from the rest.
        untaught: a folder of class folders that the network knows, to measure what teaching costs these.
        progress: called with the number of pictures embedded so far and in total.

    Returns:
        A dictionary for JSON; shares are 0..1. Under "known" and "new", for each number of shots: ``top1`` with its standard
        deviation ``sd`` over the seeds, and ``ece``. Under "others", and "untaught" where asked for, of pictures whose type
        is not among five taught ones: top-1 ``before``, ``after``, and ``change`` with its ``sd``; by type, and by class.

    Raises:
        DataError: as :func:`open_folder`. UsageError: a split of another name, or a class with too few pictures.
    """
    if split not in (None, "all", "heldout"):
        raise UsageError("unknown-split", name=split, names="all, heldout", folder=str(data))
    pictures = _Pictures.open(classifier, Path(data), progress, held_out if split == "heldout" else None)
    reserved = pictures.scored if split == "heldout" else np.zeros(len(pictures.labels), bool)
    _check_counts(pictures, ~reserved, max(shots))
    other = _Pictures.open(classifier, Path(untaught), progress) if untaught is not None else None
    result: dict[str, Any] = {
        "checkpoint": str(classifier.path) if classifier.path else None,
        "data": str(data),
        "split": split or "all",
        "classes": len(pictures.names),
        "images": len(pictures.labels),
        "seeds": seeds,
        "untaught_images": len(other.labels) if other else 0,
    }
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(np.flatnonzero((pictures.labels == c) & ~reserved)) for c in range(len(pictures.names))]
        subset = sorted(rng.permutation(len(pictures.names))[:SUBSET].tolist())
        for count in shots:
            taught = np.concatenate([rows[:count] for rows in drawn])
            scored = np.flatnonzero(reserved) if reserved.any() else np.setdiff1d(np.arange(len(pictures.labels)), taught)
            for way, rename in (("known", fruit_type), ("new", "new: {}".format)):
                names = [rename(name) for name in pictures.names]
                head = pictures.teach(taught, names)
                confidence, right = pictures.ask(scored, head, names)
                found.setdefault((way, count), []).append((right.double().mean().item(), expected_calibration_error(confidence, right)))
            some = np.concatenate([drawn[c][:count] for c in subset])
            head = pictures.teach(some, [fruit_type(name) for name in pictures.names])
            types = {fruit_type(pictures.names[c]) for c in subset}
            for way, place, by_class in (("others", pictures, False), ("untaught", other, True)):
                if place is not None and (pair := place.before_and_after(head, types, by_class)):
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


@dataclass
class _Pictures:
    """A folder's pictures, and the network's outputs for them before teaching; each is computed once."""

    classifier: Classifier
    names: tuple[str, ...]
    labels: np.ndarray
    paths: tuple[str, ...]
    rows: np.ndarray
    store: ImageStore
    scored: np.ndarray
    """(N,) bool: those that may be scored."""
    outputs: Inference
    """The network's outputs for these, in their order."""
    embeddings: dict[int, Embedding]

    @classmethod
    def open(cls, classifier: Classifier, root: Path, progress: Progress | None, scored: Callable[[str], bool] | None = None) -> _Pictures:
        names, split, store, _ = open_folder(root)
        if NOT_FRUIT in names:
            split = split.select(split.labels != names.index(NOT_FRUIT))
            kept = [n for n, name in enumerate(names) if name != NOT_FRUIT]
            names, split = tuple(names[n] for n in kept), replace(split, labels=np.searchsorted(kept, split.labels))
        chosen = np.array([scored is None or scored(path) for path in split.paths], bool)
        rows, parts = split.rows[chosen], []
        for start in range(0, len(rows), BATCH_SIZE):
            parts.append(classifier.infer([store[row] for row in rows[start : start + BATCH_SIZE]]))
            if progress:
                progress(min(start + BATCH_SIZE, len(rows)), len(rows))
        outputs = Inference(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
        return cls(classifier, names, split.labels, split.paths, split.rows, store, chosen, outputs, {})

    def teach(self, chosen: np.ndarray, names: Sequence[str]) -> TaughtHead:
        """Teach some of the pictures, each under its class's name in ``names``."""
        for i in chosen.tolist():
            if i not in self.embeddings:
                self.embeddings[i] = embedding(self.classifier, self.store[int(self.rows[i])])
        head = fit(self.classifier, [(names[int(self.labels[i])], self.embeddings[i]) for i in chosen.tolist()])
        assert head is not None
        return head

    def ask(self, chosen: np.ndarray, taught: TaughtHead, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(N,) confidence, and whether the predicted type is the class's name in ``names``."""
        confidence, answers = self._by_type(chosen, taught)
        return confidence, torch.tensor([answer == names[label] for answer, label in zip(answers, self.labels[chosen], strict=True)])

    def before_and_after(self, taught: TaughtHead, types: set[str], by_class: bool) -> tuple[float, float] | None:
        """Top-1 for pictures of other types than these, before and after teaching; None where the network knows none of them."""
        known = self.classifier.classes if by_class else self.classifier.types
        wanted = [name if by_class else fruit_type(name) for name in self.names]
        asked = [n for n, name in enumerate(self.names) if fruit_type(name) not in types and wanted[n] in known]
        chosen = np.flatnonzero(np.isin(self.labels, asked) & self.scored)
        if not len(chosen):
            return None
        found = []
        for head in (None, taught):
            answers = self._by_class(chosen, head) if by_class else self._by_type(chosen, head)[1]
            found.append(float(np.mean([a == wanted[n] for a, n in zip(answers, self.labels[chosen], strict=True)])))
        return found[0], found[1]

    def _joint(self, chosen: np.ndarray, taught: TaughtHead | None) -> Tensor:
        rows = (np.cumsum(self.scored) - 1)[chosen]
        probabilities = self.outputs.probabilities[rows]
        return probabilities if taught is None else taught.join(probabilities, self.outputs.features[rows])

    def _by_class(self, chosen: np.ndarray, taught: TaughtHead | None) -> list[str]:
        labels = self.classifier.label_space(taught).labels
        return [labels[n] for n in self._joint(chosen, taught).argmax(dim=1).tolist()]

    def _by_type(self, chosen: np.ndarray, taught: TaughtHead | None) -> tuple[Tensor, list[str]]:
        label_space = self.classifier.label_space(taught)
        confidence, best = label_space.by_type(self._joint(chosen, taught))[0].max(dim=1)
        return confidence, [label_space.types[n] for n in best.tolist()]


def _check_counts(pictures: _Pictures, free: np.ndarray, shots: int) -> None:
    counts = np.bincount(pictures.labels[free], minlength=len(pictures.names))
    if counts.min() < shots:
        name = pictures.names[int(counts.argmin())]
        raise UsageError("too-few-to-teach", name=name, found=int(counts.min()), wanted=shots)
