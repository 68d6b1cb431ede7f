"""A benchmark of few-shot teaching: a few pictures of each class are taught, and the others are classified.

First all classes are taught under the names of their fruit types, which the network may already know, and under new names. Then only
five classes are taught, to measure the effect on the others, in the same folder and in another one. Last, one class at a time is
taught under a new name, to measure its recall on its other pictures and the false positives on unrelated pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.fruits import NOT_FRUIT, fruit_type
from fruitvision.data.read.dataset import held_out
from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.store import open_folder
from fruitvision.errors import UsageError
from fruitvision.recognition.classifier import Classifier, Inference
from fruitvision.recognition.taught.embeddings import embedding, fit
from fruitvision.recognition.taught_head import Embedding, TaughtHead
from fruitvision.training.evaluation import expected_calibration_error

BATCH_SIZE = 64
UNRELATED = 500
"""The maximum number of unrelated pictures."""
SUBSET = 5
"""The number of classes that are taught to measure the effect on the others."""

Progress = Callable[[int, int | None], None]


def teach_benchmark(
    classifier: Classifier,
    data: str | Path,
    *,
    shots: Sequence[int] = (1, 5, 10),
    seeds: int = 5,
    split: str | None = None,
    untaught: str | Path | None = None,
    unrelated: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Teach ``shots`` pictures of each class folder of ``data``, drawn ``seeds`` times, and score the others.

    Args:
        split: None: all pictures that are not taught are scored; "heldout": that fifth is scored (see :func:`held_out`), and
            the taught pictures are from the rest.
        untaught: a folder of class folders that the network knows, to measure what teaching costs these.
        unrelated: class folders of what no class of ``data`` shows: of all their pictures ``UNRELATED`` are drawn each time, none
            of the taught class's type.
        progress: called with the number of pictures embedded so far and in total.

    Returns:
        A dictionary for JSON; shares are 0..1. Under "known" and "new", for each number of shots: ``top1`` with its standard
        deviation ``sd`` over the seeds, and ``ece``. Under "others", and "untaught" where asked for, of pictures whose type
        is not among five taught ones: top-1 ``before``, ``after``, and ``change`` with its ``sd``; by type, and by class. Under
        "alone", where one class at a time is taught under a new name: ``found``, the share of its other pictures that get that
        name, ``taken``, the share of unrelated ones that do, and ``most_taken``, the largest of a class's; an unsure answer counts,
        "no fruit" does not.

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
    unrelated_folders = [_Pictures.open(classifier, Path(folder), progress, keep_all=True) for folder in unrelated]
    if unrelated_folders:
        result["unrelated_images"] = min(sum(len(own.labels) for own in unrelated_folders), UNRELATED)
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for seed in range(seeds):
        for way, count, pair in _draw(pictures, reserved, shots, other, unrelated_folders, np.random.default_rng(seed)):
            found.setdefault((way, count), []).append(pair)
    for (way, count), pairs in found.items():
        result.setdefault(way, {})[str(count)] = _figures(way, pairs)
    return result


def _draw(
    pictures: _Pictures,
    reserved: np.ndarray,
    shots: Sequence[int],
    other: _Pictures | None,
    unrelated_folders: Sequence[_Pictures],
    rng: np.random.Generator,
) -> Iterator[tuple[str, int, tuple[float, float]]]:
    """Teach once, with pictures drawn by ``rng``: (way, number of shots, the two shares that :func:`_figures` takes)."""
    drawn = [rng.permutation(np.flatnonzero((pictures.labels == c) & ~reserved)) for c in range(len(pictures.names))]
    subset = sorted(rng.permutation(len(pictures.names))[:SUBSET].tolist())
    for count in shots:
        for way, pair in _all_taught(pictures, np.concatenate([rows[:count] for rows in drawn]), reserved):
            yield way, count, pair
        for way, pair in _some_taught(pictures, other, drawn, subset, count):
            yield way, count, pair
        for c in range(len(pictures.names)) if unrelated_folders else ():
            if pair := _one_taught(pictures, unrelated_folders, c, drawn[c][:count], rng):
                yield "alone", count, pair


def _all_taught(pictures: _Pictures, taught: np.ndarray, reserved: np.ndarray) -> Iterator[tuple[str, tuple[float, float]]]:
    """Top-1 and ECE on the other pictures, under known names and under new ones."""
    scored = np.flatnonzero(reserved) if reserved.any() else np.setdiff1d(np.arange(len(pictures.labels)), taught)
    for way, rename in (("known", fruit_type), ("new", "new: {}".format)):
        names = [rename(name) for name in pictures.names]
        confidence, right = pictures.ask(scored, pictures.teach(taught, names), names)
        yield way, (right.double().mean().item(), expected_calibration_error(confidence, right))


def _some_taught(
    pictures: _Pictures, other: _Pictures | None, drawn: Sequence[np.ndarray], subset: Sequence[int], count: int
) -> Iterator[tuple[str, tuple[float, float]]]:
    """Top-1 before and after teaching, on pictures of other types: in the same folder, and in ``other``."""
    some = np.concatenate([drawn[c][:count] for c in subset])
    head = pictures.teach(some, [fruit_type(name) for name in pictures.names])
    types = {fruit_type(pictures.names[c]) for c in subset}
    for way, place, by_class in (("others", pictures, False), ("untaught", other, True)):
        if place is not None and (pair := place.before_and_after(head, types, by_class)):
            yield way, pair


def _one_taught(
    pictures: _Pictures, unrelated_folders: Sequence[_Pictures], c: int, taught: np.ndarray, rng: np.random.Generator
) -> tuple[float, float] | None:
    """For class ``c``, taught alone under a new name: the fraction of its other pictures, and of unrelated ones, that get that name."""
    head = pictures.teach(taught, [f"new: {name}" for name in pictures.names])
    own = np.setdiff1d(np.flatnonzero((pictures.labels == c) & pictures.scored), taught)
    others = _drawn(unrelated_folders, fruit_type(pictures.names[c]), rng)
    taken = np.concatenate([place.named_by(rows, head) for place, rows in zip(unrelated_folders, others, strict=True)])
    return (pictures.named_by(own, head).mean(), taken.mean()) if len(own) else None


def _figures(way: str, pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The reported metrics over all draws."""
    first, second = np.array(pairs).T
    if way == "alone":
        figures = {"found": first.mean(), "found_sd": first.std(), "taken": second.mean(), "most_taken": second.max()}
    elif way in ("known", "new"):
        figures = {"top1": first.mean(), "sd": first.std(), "ece": second.mean()}
    else:
        change = second - first
        figures = {"before": first.mean(), "after": second.mean(), "change": change.mean(), "sd": change.std()}
    return {name: float(value) for name, value in figures.items()}


@dataclass
class _Pictures:
    """A folder's pictures, and the network's outputs for them, each computed once."""

    classifier: Classifier
    names: tuple[str, ...]
    labels: np.ndarray
    paths: tuple[str, ...]
    rows: np.ndarray
    store: ImageStore
    scored: np.ndarray
    """(N,) bool: the pictures that may be scored."""
    outputs: Inference
    """The network's outputs for these pictures, in order."""
    embeddings: dict[int, Embedding]

    @classmethod
    def open(
        cls,
        classifier: Classifier,
        root: Path,
        progress: Progress | None,
        scored: Callable[[str], bool] | None = None,
        *,
        keep_all: bool = False,
    ) -> _Pictures:
        """``keep_all``: pictures of no fruit too."""
        names, split, store, _ = open_folder(root)
        if NOT_FRUIT in names and not keep_all:
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
        """Top-1 on pictures of other types than these, before and after teaching; None if the network knows none of them."""
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

    def named_by(self, chosen: np.ndarray, taught: TaughtHead) -> np.ndarray:
        """(N,) bool: whether the prediction is a taught name, "sure" or not."""
        label_space, joint = self.classifier.label_space(taught), self._joint(chosen, taught)
        by_type, no_fruit = label_space.by_type(joint)
        best = by_type.argmax(dim=1)
        likeliest = torch.where(label_space.type_of == best[:, None], joint, -1.0).argmax(dim=1)
        refused = no_fruit >= self.classifier.config.thresholds.not_fruit
        return ((likeliest >= len(self.classifier.classes)) & ~refused).numpy()

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


def _drawn(places: Sequence[_Pictures], taught: str, rng: np.random.Generator) -> list[np.ndarray]:
    """For each folder the rows of ``UNRELATED`` randomly drawn pictures, none of them of the type ``taught``."""
    free = [np.flatnonzero([fruit_type(own.names[label]) != taught for label in own.labels]) for own in places]
    pairs = np.array([(n, row) for n, rows in enumerate(free) for row in rows]).reshape(-1, 2)
    pairs = pairs[rng.permutation(len(pairs))[:UNRELATED]]
    return [pairs[pairs[:, 0] == n, 1] for n in range(len(places))]


def _check_counts(pictures: _Pictures, free: np.ndarray, shots: int) -> None:
    counts = np.bincount(pictures.labels[free], minlength=len(pictures.names))
    if counts.min() < shots:
        name = pictures.names[int(counts.argmin())]
        raise UsageError("too-few-to-teach", name=name, found=int(counts.min()), wanted=shots)
