"""Confusion matrices by fruit type and by variety, and the pairs that are confused most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fruitvision.data.fruits import fruit_type

if TYPE_CHECKING:
    from fruitvision.recognition.evaluate.evaluation import Evaluation


@dataclass(frozen=True, eq=False)
class Confusions:
    """A confusion matrix: how often pictures of each row were predicted as each column."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: np.ndarray
    """(rows, columns) int64"""

    @classmethod
    def of(cls, truths: Sequence[str], answers: Sequence[str], rows: Sequence[str], columns: Sequence[str]) -> Confusions:
        """Count pairs of (label, prediction) of N pictures; those outside ``rows`` and ``columns`` are left out."""
        down, across = ({name: i for i, name in enumerate(names)} for names in (rows, columns))
        counts = np.zeros((len(rows), len(columns)), np.int64)
        for truth, answer in zip(truths, answers, strict=True):
            if truth in down and answer in across:
                counts[down[truth], across[answer]] += 1
        return cls(tuple(rows), tuple(columns), counts)


def by_kind(evaluation: Evaluation, *, mistaken_only: bool = False) -> Confusions:
    """By fruit type, even if the folder was evaluated by class; the prediction is the most probable type.

    A square matrix of all types that occur or were predicted; with ``mistaken_only``, of those with an error.
    """
    truths = [fruit_type(evaluation.folder(i)) for i in range(len(evaluation.labels))]
    answers = [evaluation.classifier.types[i] for i in evaluation.scores.types.tolist()]
    pairs = list(zip(truths, answers, strict=True))
    names = sorted({name for pair in pairs if not mistaken_only or pair[0] != pair[1] for name in pair})
    return Confusions.of(truths, answers, names, names)


def within_kind(evaluation: Evaluation, kind: str) -> Confusions:
    """The folders of one fruit type against the predicted classes: its own varieties first, then the others."""
    chosen = [i for i in range(len(evaluation.labels)) if fruit_type(evaluation.folder(i)) == kind]
    return _varieties(evaluation, chosen, own=kind)


def by_variety(evaluation: Evaluation) -> Confusions:
    """Every folder against every predicted class."""
    return _varieties(evaluation, range(len(evaluation.labels)))


def _varieties(evaluation: Evaluation, chosen: Sequence[int], own: str = "") -> Confusions:
    truths = [evaluation.folder(i) for i in chosen]
    answers = [evaluation.classifier.classes[evaluation.scores.classes[i]] for i in chosen]
    rows = sorted(set(truths))
    # Columns are in the order of the rows, so that correct predictions are on the diagonal.
    others = sorted(set(answers) - set(rows), key=lambda name: (fruit_type(name) != own, name))
    return Confusions.of(truths, answers, rows, [*rows, *others])


@dataclass(frozen=True)
class Pair:
    """Two names that were confused, the one with more errors first. Pictures are positions in the evaluation."""

    names: tuple[str, str]
    counts: tuple[int, int]
    """How often the first was predicted as the second, and the second as the first."""
    mistaken: tuple[int, ...]
    """The confused pictures, by decreasing confidence."""
    typical: tuple[int | None, int | None]
    """For each name, of the pictures that were recognized, the one with the highest probability; None if there is none."""


def most_confused(evaluation: Evaluation, limit: int) -> list[Pair]:
    """The pairs with the most errors in both directions together; ties in the order of their names."""
    predicted, confidence = evaluation.scores.predicted.numpy(), evaluation.scores.confidence.numpy()
    wrong = np.flatnonzero(evaluation.wrong)
    found: Counter[tuple[int, int]] = Counter()
    for i in wrong.tolist():
        label, other = int(evaluation.labels[i]), int(predicted[i])
        found[min(label, other), max(label, other)] += 1
    names = evaluation.names
    order = sorted(found, key=lambda pair: (-found[pair], names[pair[0]], names[pair[1]]))[:limit]
    pairs = []
    for first, second in order:
        between = [i for i in wrong.tolist() if {int(evaluation.labels[i]), int(predicted[i])} == {first, second}]
        forth = sum(int(evaluation.labels[i]) == first for i in between)
        if 2 * forth < len(between):
            first, second, forth = second, first, len(between) - forth
        between.sort(key=lambda i: -confidence[i])
        typical = _typical(evaluation, first), _typical(evaluation, second)
        pairs.append(Pair((names[first], names[second]), (forth, len(between) - forth), tuple(between), typical))
    return pairs


def _typical(evaluation: Evaluation, name: int) -> int | None:
    recognized = np.flatnonzero((evaluation.labels == name) & ~evaluation.wrong)
    return int(recognized[evaluation.scores.right.numpy()[recognized].argmax()]) if len(recognized) else None
