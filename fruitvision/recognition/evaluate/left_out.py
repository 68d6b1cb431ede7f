"""Out-of-fold predictions: predictions for photos of sources that a network was not trained on, and their metrics.

Calibration needs them: on photos of training sources a network is more accurate than on any others. The cross-validation that
produces them is :mod:`fruitvision.comparison.left_out`.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.fruits import NOT_FRUIT
from fruitvision.errors import DataError
from fruitvision.models.checkpoint import Thresholds
from fruitvision.recognition.calibration import (
    confidence_threshold,
    fit_temperature,
    fit_thresholds,
    fitted_threshold,
    is_sure,
    probabilities_of,
)
from fruitvision.recognition.classifier import LabelSpace
from fruitvision.training.evaluation import expected_calibration_error, fraction_true

MIN_PICTURES = 40
"""A source with fewer pictures does not count in means over sources."""
MAX_PICTURES = 100
"""The maximum number of pictures per source for calibration, so that a large source does not dominate."""
VERY_SURE_ACCURACY = 0.99
STUDY_NAME = "study.json"


@dataclass(frozen=True)
class Answers:
    """Networks' outputs for N pictures of sources that they were not trained on."""

    classes: tuple[str, ...]
    fruit_types: tuple[str, ...]
    logits: Tensor
    """(N, V, C) float32, of V views"""
    sources: tuple[str, ...]
    """(N,)"""
    kinds: tuple[str, ...]
    """(N,) the true fruit type, which may have no class, or "not-fruit"."""

    @property
    def labels(self) -> Tensor:
        """(N,) indices of the kinds in ``types``; -1 for types without a class, and for no fruit."""
        types = self.types
        return torch.tensor([types.index(kind) if kind in types else -1 for kind in self.kinds])

    @property
    def types(self) -> tuple[str, ...]:
        """The T fruit types of the classes."""
        return LabelSpace(self.classes, self.fruit_types).types

    @property
    def fruit(self) -> Tensor:
        """(N,) bool: whether the picture shows fruit."""
        return torch.tensor([kind != NOT_FRUIT for kind in self.kinds])

    def probabilities(self, temperature: float) -> tuple[Tensor, Tensor]:
        """(N, T) by fruit type, and (N,) for no fruit."""
        by_class = probabilities_of(self.logits.flatten(0, 1), temperature, self.logits.shape[1])
        return LabelSpace(self.classes, self.fruit_types).by_type(by_class)

    def select(self, chosen: Tensor) -> Answers:
        """The pictures at the positions ``chosen``, (M,)."""
        rows = chosen.tolist()
        sources, kinds = (tuple(names[i] for i in rows) for names in (self.sources, self.kinds))
        return Answers(self.classes, self.fruit_types, self.logits[chosen], sources, kinds)

    def capped(self, most: int = MAX_PICTURES) -> Answers:
        """At most ``most`` pictures of each source, taken evenly from its kinds."""
        of_kind: Counter[tuple[str, str]] = Counter()
        ranks = []
        for pair in zip(self.sources, self.kinds, strict=True):
            of_kind[pair] += 1
            ranks.append(of_kind[pair])
        of_source: Counter[str] = Counter()
        kept = []
        for i in sorted(range(len(ranks)), key=lambda i: (ranks[i], i)):
            of_source[self.sources[i]] += 1
            if of_source[self.sources[i]] <= most:
                kept.append(i)
        return self.select(torch.tensor(sorted(kept), dtype=torch.long))


# On disk --------------------------------------------------------------------------------------------------------------


def to_bytes(answers: Answers) -> bytes:
    """The content of a file for :func:`read_answers`; logits are stored as float16."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        logits=answers.logits.numpy().astype(np.float16),
        classes=np.array(answers.classes),
        fruit_types=np.array(answers.fruit_types),
        sources=np.array(answers.sources, str),
        kinds=np.array(answers.kinds, str),
    )
    return buffer.getvalue()


def read_answers(path: Path) -> Answers:
    """The answers for one group of sources. Raises DataError "study-damaged" if the file cannot be read."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
            classes, fruit_types, sources, kinds = (
                tuple(str(name) for name in held[key]) for key in ("classes", "fruit_types", "sources", "kinds")
            )
            return Answers(classes, fruit_types, torch.from_numpy(held["logits"].astype(np.float32)), sources, kinds)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError("study-damaged", path=str(path)) from error


def read_study(folder: Path) -> Answers:
    """All answers of a study. Raises DataError "no-study", "study-unfinished", "study-damaged" or "study-classes"."""
    try:
        groups = json.loads((folder / STUDY_NAME).read_text(encoding="utf-8"))["groups"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError("no-study", folder=str(folder)) from error
    places = [folder / f"answers-{number}.npz" for number in range(len(groups))]
    if missing := [place for place in places if not place.is_file()]:
        raise DataError("study-unfinished", folder=str(folder), done=len(places) - len(missing), all=len(places))
    return concatenate([read_answers(place) for place in places])


def concatenate(parts: Sequence[Answers]) -> Answers:
    """The answers of several networks with the same classes. Raises DataError "study-classes" if these differ."""
    if len({part.classes for part in parts}) != 1:
        raise DataError("study-classes")
    return Answers(
        parts[0].classes,
        parts[0].fruit_types,
        torch.cat([part.logits for part in parts]),
        tuple(name for part in parts for name in part.sources),
        tuple(kind for part in parts for kind in part.kinds),
    )


# Calibration and metrics ----------------------------------------------------------------------------------------------


def calibrate_on_sources(answers: Answers) -> tuple[float, Thresholds]:
    """Temperature and thresholds from at most ``MAX_PICTURES`` of each left-out source.

    Fruit of a type without a class counts as an error, and pictures without fruit should be rejected.
    """
    capped = answers.capped()
    known = capped.select(torch.nonzero((capped.labels >= 0) | ~capped.fruit)[:, 0])
    types = (*known.types, NOT_FRUIT)
    membership = torch.tensor([[own == name for own in known.fruit_types] for name in types])
    labels = torch.tensor([types.index(kind) for kind in known.kinds])
    temperature = fit_temperature(known.logits, labels, membership)
    by_type, no_fruit = capped.probabilities(temperature)
    confidence, predicted = by_type.max(dim=1)
    return temperature, fit_thresholds(confidence, no_fruit, predicted == capped.labels, capped.fruit)


def summarize_sources(answers: Answers, temperature: float, thresholds: Thresholds) -> dict[str, Any]:
    """A dictionary for JSON: metrics overall and per source, and the recall and confusions of each kind.

    Means over sources include those with at least ``MIN_PICTURES`` of known types, or all sources if none has as many. Fractions are
    in 0..1; None if there is nothing to count.
    """
    by_type, no_fruit = answers.probabilities(temperature)
    confidence, predicted = by_type.max(dim=1)
    labels, fruit, types = answers.labels, answers.fruit, answers.types
    known, right = labels >= 0, predicted == labels
    top3 = (by_type.topk(min(3, len(types)), dim=1).indices == labels[:, None]).any(dim=1)
    sure = is_sure(confidence, no_fruit, thresholds)
    capped = answers.capped()
    capped_types, capped_no_fruit = capped.probabilities(temperature)
    capped_confidence, capped_predicted = capped_types.max(dim=1)
    capped_known, capped_right = capped.labels >= 0, capped_predicted == capped.labels
    answered = capped.fruit & (capped_no_fruit < thresholds.not_fruit)
    very_sure_least = very_sure_from(capped_confidence, capped_right, answered, thresholds)
    very_sure = known & sure & (confidence >= very_sure_least if very_sure_least is not None else torch.zeros_like(sure))
    names = np.array(answers.sources)
    per_source = {}
    for name in sorted(set(answers.sources)):
        own = torch.from_numpy(names == name)
        own_known, without = own & known, own & ~fruit
        per_source[name] = {
            "images": int(own_known.sum()),
            "top1": fraction_true(right[own_known]),
            "top3": fraction_true(top3[own_known]),
            "sure": fraction_true(sure[own_known]),
            "sure_right": fraction_true(right[own_known & sure]),
            "very_sure": fraction_true(very_sure[own_known]),
            "not_fruit_images": int(without.sum()),
            "not_fruit_sure": fraction_true(sure[without]),
        }
    with_known = [own for own in per_source.values() if own["images"]]
    counted = [own for own in with_known if own["images"] >= MIN_PICTURES] or with_known
    without_fruit = [own for own in per_source.values() if own["not_fruit_images"]]
    return {
        "sources": len(counted),
        "images": int(known.sum()),
        "top1": _mean(own["top1"] for own in counted),
        "top3": _mean(own["top3"] for own in counted),
        "ece": expected_calibration_error(capped_confidence[capped_known], capped_right[capped_known]) if capped_known.any() else None,
        "sure": _mean(own["sure"] for own in counted),
        "sure_right": fraction_true(right[known & sure]),
        "very_sure_from": very_sure_least,
        "very_sure": _mean(own["very_sure"] for own in counted),
        "very_sure_right": fraction_true(right[very_sure]),
        "sure_right_by_source": _mean(own["sure_right"] for own in counted if own["sure_right"] is not None),
        "unknown_kinds_sure": fraction_true(sure[fruit & ~known]),
        "not_fruit_sure": _mean(own["not_fruit_sure"] for own in without_fruit),
        "not_fruit_images": int((~fruit).sum()),
        "temperature": temperature,
        "thresholds": thresholds.model_dump(),
        "per_source": per_source,
        "per_kind": _per_kind(answers, predicted, known, right),
    }


def very_sure_from(confidence: Tensor, right: Tensor, answered: Tensor, thresholds: Thresholds) -> float | None:
    """The confidence at or above which ``VERY_SURE_ACCURACY`` of the answers are correct; at least the threshold for "sure".

    None if there is none, or if no answer is "sure".
    """
    least = confidence_threshold(confidence[answered], right[answered], VERY_SURE_ACCURACY)
    return fitted_threshold(least, thresholds.unsure) if least is not None and thresholds.unsure < 1 else None


def _per_kind(answers: Answers, predicted: Tensor, known: Tensor, right: Tensor) -> dict[str, dict[str, Any]]:
    """For each kind the number of pictures, the recall, and the three types that it is confused with most."""
    found = {}
    for kind in sorted({kind for kind, one in zip(answers.kinds, known.tolist(), strict=True) if one}):
        own = torch.tensor([one == kind for one in answers.kinds]) & known
        taken = Counter(answers.types[position] for position in predicted[own & ~right].tolist())
        most = sorted(taken.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        found[kind] = {"images": int(own.sum()), "recall": fraction_true(right[own]), "taken_for": dict(most)}
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
