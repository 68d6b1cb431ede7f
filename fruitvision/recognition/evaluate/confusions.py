"""Which fruit is taken for which: counts by kind, by variety within a kind, and the pairs that are hardest to tell apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fruitvision.data.fruits import fruit_type
from fruitvision.recognition.evaluate.evaluation import Examination


@dataclass(frozen=True, eq=False)
class Confusions:
    """How often pictures of each row were answered with each column."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: np.ndarray
    """(rows, columns) int64"""

    @classmethod
    def of(cls, truths: Sequence[str], answers: Sequence[str], rows: Sequence[str], columns: Sequence[str]) -> Confusions:
        """Count pairs of (truth, answer) among N pictures; what is in neither ``rows`` nor ``columns`` is left out."""
        down, across = ({name: i for i, name in enumerate(names)} for names in (rows, columns))
        counts = np.zeros((len(rows), len(columns)), np.int64)
        for truth, answer in zip(truths, answers, strict=True):
            if truth in down and answer in across:
                counts[down[truth], across[answer]] += 1
        return cls(tuple(rows), tuple(columns), counts)


def by_kind(examination: Examination, *, mistaken_only: bool = False) -> Confusions:
    """Kind of fruit against kind, whatever the folder was scored by; the answer is the likeliest kind.

    A square of all kinds that occur or were answered; with ``mistaken_only``, of those with a mistake among them.
    """
    truths = [fruit_type(examination.folder(i)) for i in range(len(examination.labels))]
    answers = [examination.classifier.types[i] for i in examination.scores.types.tolist()]
    pairs = list(zip(truths, answers, strict=True))
    names = sorted({name for pair in pairs if not mistaken_only or pair[0] != pair[1] for name in pair})
    return Confusions.of(truths, answers, names, names)


def within_kind(examination: Examination, kind: str) -> Confusions:
    """The folders of one kind against the classes that were answered: its own varieties first, then the others."""
    chosen = [i for i in range(len(examination.labels)) if fruit_type(examination.folder(i)) == kind]
    return _varieties(examination, chosen, own=kind)


def by_variety(examination: Examination) -> Confusions:
    """Every folder against every class that was answered."""
    return _varieties(examination, range(len(examination.labels)))


def _varieties(examination: Examination, chosen: Sequence[int], own: str = "") -> Confusions:
    truths = [examination.folder(i) for i in chosen]
    answers = [examination.classifier.classes[examination.scores.classes[i]] for i in chosen]
    rows = sorted(set(truths))
    # Columns stand in the order of the rows, so that what is right lies on the diagonal.
    others = sorted(set(answers) - set(rows), key=lambda name: (fruit_type(name) != own, name))
    return Confusions.of(truths, answers, rows, [*rows, *others])


@dataclass(frozen=True)
class Pair:
    """Two names that were taken for one another, the one that was more often mistaken first. Pictures are positions."""

    names: tuple[str, str]
    counts: tuple[int, int]
    """How often the first was taken for the second, and the second for the first."""
    mistaken: tuple[int, ...]
    """Those pictures, the most confident mistakes first."""
    typical: tuple[int | None, int | None]
    """Of each name the picture that was recognised best; None where there is none."""


def most_confused(examination: Examination, limit: int) -> list[Pair]:
    """The pairs with the most mistakes between them, in either direction; equal ones in the order of their names."""
    predicted, confidence = examination.scores.predicted.numpy(), examination.scores.confidence.numpy()
    wrong = np.flatnonzero(examination.wrong)
    found: Counter[tuple[int, int]] = Counter()
    for i in wrong.tolist():
        found[tuple(sorted((int(examination.labels[i]), int(predicted[i]))))] += 1
    names = examination.names
    order = sorted(found, key=lambda pair: (-found[pair], names[pair[0]], names[pair[1]]))[:limit]
    pairs = []
    for first, second in order:
        between = [i for i in wrong.tolist() if {int(examination.labels[i]), int(predicted[i])} == {first, second}]
        forth = sum(int(examination.labels[i]) == first for i in between)
        if 2 * forth < len(between):
            first, second, forth = second, first, len(between) - forth
        between.sort(key=lambda i: -confidence[i])
        typical = _typical(examination, first), _typical(examination, second)
        pairs.append(Pair((names[first], names[second]), (forth, len(between) - forth), tuple(between), typical))
    return pairs


def _typical(examination: Examination, name: int) -> int | None:
    of_it = np.flatnonzero(examination.labels == name)
    return int(of_it[examination.scores.right.numpy()[of_it].argmax()]) if len(of_it) else None
