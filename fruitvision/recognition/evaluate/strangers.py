"""What networks said of photographs of sources that they had not learned from, and what it comes to.

It is the only honest guide to how sure an answer may be: pictures of a source that trained flatter the network. The study
that asks for such answers is :mod:`fruitvision.comparison.left_out`.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.load.targets import NOT_FRUIT
from fruitvision.errors import DataError
from fruitvision.models.checkpoint import Thresholds
from fruitvision.recognition.calibration import calibrated, fit_temperature, fit_thresholds, right_from, verdict
from fruitvision.recognition.classifier import Kinds
from fruitvision.training.metrics import expected_calibration_error

FEWEST_PICTURES = 40
"""Of a source that counts in the mean over sources."""
MOST_PICTURES = 100
"""Of a source that take part in calibration, so that a large one does not speak for all."""
VERY_SURE_RIGHT = 0.99
STUDY_NAME = "study.json"


@dataclass(frozen=True)
class Answers:
    """What networks said of N pictures of sources that they had not learned from."""

    classes: tuple[str, ...]
    fruit_types: tuple[str, ...]
    logits: Tensor
    """(N, V, C) float32, of V looks"""
    sources: tuple[str, ...]
    """(N,)"""
    kinds: tuple[str, ...]
    """(N,) the fruit type, or "not-fruit"; a type that the network has no class for is still named here"""

    @property
    def wanted(self) -> Tensor:
        """(N,) the position of the kind in :meth:`types`; -1 of one that the network does not know, and of no fruit."""
        types = self.types
        return torch.tensor([types.index(kind) if kind in types else -1 for kind in self.kinds])

    @property
    def types(self) -> tuple[str, ...]:
        """The T fruit types that may be answered."""
        return Kinds(self.classes, self.fruit_types).types

    @property
    def fruit(self) -> Tensor:
        """(N,) bool: whether the picture holds fruit of any kind."""
        return torch.tensor([kind != NOT_FRUIT for kind in self.kinds])

    def probabilities(self, temperature: float) -> tuple[Tensor, Tensor]:
        """(N, T) by fruit type, and (N,) of no fruit."""
        by_class = calibrated(self.logits.flatten(0, 1), temperature, self.logits.shape[1])
        return Kinds(self.classes, self.fruit_types).sums(by_class)

    def select(self, chosen: Tensor) -> Answers:
        """Those at the positions ``chosen``, (M,)."""
        rows = chosen.tolist()
        sources, kinds = (tuple(names[i] for i in rows) for names in (self.sources, self.kinds))
        return Answers(self.classes, self.fruit_types, self.logits[chosen], sources, kinds)

    def evenly(self, most: int = MOST_PICTURES) -> Answers:
        """At most ``most`` pictures of each source, spread over its kinds."""
        seen: dict[str, int] = {}
        turn: dict[tuple[str, str], int] = {}
        ranks = []
        for source, kind in zip(self.sources, self.kinds, strict=True):
            turn[source, kind] = turn.get((source, kind), 0) + 1
            ranks.append(turn[source, kind])
        kept = []
        for i in sorted(range(len(ranks)), key=lambda i: (ranks[i], i)):
            seen[self.sources[i]] = seen.get(self.sources[i], 0) + 1
            if seen[self.sources[i]] <= most:
                kept.append(i)
        return self.select(torch.tensor(sorted(kept), dtype=torch.long))


# The answers on disk --------------------------------------------------------------------------------------------------


def packed(answers: Answers) -> bytes:
    """The answers as the bytes of a file that :func:`read_answers` reads; logits as float16."""
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
    """The answers to one group. Raises DataError where the file cannot be read."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
            names = {key: tuple(str(name) for name in held[key]) for key in ("classes", "fruit_types", "sources", "kinds")}
            return Answers(logits=torch.from_numpy(held["logits"].astype(np.float32)), **names)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError("study-damaged", path=str(path)) from error


def read_study(folder: Path) -> Answers:
    """All answers of a finished study. Raises DataError where there is none, or where it is not finished."""
    try:
        groups = json.loads((folder / STUDY_NAME).read_text(encoding="utf-8"))["groups"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError("no-study", folder=str(folder)) from error
    places = [folder / f"answers-{number}.npz" for number in range(len(groups))]
    if missing := [place for place in places if not place.is_file()]:
        raise DataError("study-unfinished", folder=str(folder), done=len(places) - len(missing), all=len(places))
    return joined([read_answers(place) for place in places])


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers of several networks over the same classes. Raises DataError where they are not the same."""
    if len({part.classes for part in parts}) != 1:
        raise DataError("study-classes")
    return Answers(
        parts[0].classes,
        parts[0].fruit_types,
        torch.cat([part.logits for part in parts]),
        tuple(name for part in parts for name in part.sources),
        tuple(kind for part in parts for kind in part.kinds),
    )


# What they come to ----------------------------------------------------------------------------------------------------


def calibrate_by(answers: Answers) -> tuple[float, Thresholds]:
    """Temperature and thresholds from answers about sources left out, none of which counts for more than ``MOST_PICTURES``.

    Fruit of kinds that the network has no name for takes part as what it gets wrong however it answers, and pictures
    without fruit as what ought to be refused.
    """
    even = answers.evenly()
    known = even.select(torch.nonzero((even.wanted >= 0) | ~even.fruit)[:, 0])
    types = (*known.types, NOT_FRUIT)
    membership = torch.tensor([[own == name for own in known.fruit_types] for name in types])
    labels = torch.tensor([types.index(kind) for kind in known.kinds])
    temperature = fit_temperature(known.logits, labels, membership)
    by_type, nothing = even.probabilities(temperature)
    confidence, answer = by_type.max(dim=1)
    return temperature, fit_thresholds(confidence, nothing, answer == even.wanted, even.fruit)


def summarize_sources(answers: Answers, temperature: float, thresholds: Thresholds) -> dict[str, Any]:
    """What JSON can hold: figures of every source, and of every kind how often it is named and what it is taken for.

    The means over sources are of those with ``FEWEST_PICTURES`` known pictures or more; over all where none has so many.
    Shares are 0..1, None where there is nothing to count.
    """
    by_type, nothing = answers.probabilities(temperature)
    confidence, answer = by_type.max(dim=1)
    wanted, fruit, types = answers.wanted, answers.fruit, answers.types
    known, right = wanted >= 0, answer == wanted
    top3 = (by_type.topk(min(3, len(types)), dim=1).indices == wanted[:, None]).any(dim=1)
    pairs = zip(confidence.tolist(), nothing.tolist(), strict=True)
    sure = torch.tensor([verdict(p, none, thresholds) == "sure" for p, none in pairs])
    names = np.array(answers.sources)
    per_source = {}
    for name in sorted(set(answers.sources)):
        own = torch.from_numpy(names == name)
        of_known, without = own & known, own & ~fruit
        per_source[name] = {
            "images": int(of_known.sum()),
            "top1": _share(right[of_known]),
            "top3": _share(top3[of_known]),
            "sure": _share(sure[of_known]),
            "sure_right": _share(right[of_known & sure]),
            "not_fruit_images": int(without.sum()),
            "not_fruit_sure": _share(sure[without]),
        }
    shown = [own for own in per_source.values() if own["images"]]
    counted = [own for own in shown if own["images"] >= FEWEST_PICTURES] or shown
    empty = [own for own in per_source.values() if own["not_fruit_images"]]
    said = known & sure
    even = answers.evenly()
    even_types, even_nothing = even.probabilities(temperature)
    even_confidence, even_answer = even_types.max(dim=1)
    even_known = even.wanted >= 0
    return {
        "sources": len(counted),
        "images": int(known.sum()),
        "top1": _mean(own["top1"] for own in counted),
        "top3": _mean(own["top3"] for own in counted),
        "ece": _calibration_error(even_confidence[even_known], (even_answer == even.wanted)[even_known]),
        "sure": _mean(own["sure"] for own in counted),
        "sure_right": _share(right[said]),
        "very_sure_from": very_sure_from(
            even_confidence, even_answer == even.wanted, even.fruit & (even_nothing < thresholds.not_fruit), thresholds
        ),
        "sure_right_by_source": _mean(own["sure_right"] for own in counted if own["sure_right"] is not None),
        "unknown_kinds_sure": _share(sure[fruit & ~known]),
        "not_fruit_sure": _mean(own["not_fruit_sure"] for own in empty),
        "not_fruit_images": int((~fruit).sum()),
        "temperature": temperature,
        "thresholds": thresholds.model_dump(),
        "per_source": per_source,
        "per_kind": _per_kind(answers, answer, known, right),
    }


def very_sure_from(confidence: Tensor, right: Tensor, answered: Tensor, thresholds: Thresholds) -> float:
    """The confidence from which on ``VERY_SURE_RIGHT`` of the answers were right, and never less than "sure" asks for."""
    return round(max(right_from(confidence[answered], right[answered], VERY_SURE_RIGHT), thresholds.unsure), 4)


def _per_kind(answers: Answers, answer: Tensor, known: Tensor, right: Tensor) -> dict[str, dict[str, Any]]:
    """Each kind's pictures, the share named rightly, and what the others were taken for, most often first."""
    found = {}
    for kind in sorted({kind for kind, one in zip(answers.kinds, known.tolist(), strict=True) if one}):
        own = torch.tensor([one == kind for one in answers.kinds]) & known
        taken: dict[str, int] = {}
        for position in answer[own & ~right].tolist():
            taken[answers.types[position]] = taken.get(answers.types[position], 0) + 1
        most = sorted(taken.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        found[kind] = {"images": int(own.sum()), "recall": _share(right[own]), "taken_for": dict(most)}
    return found


def _calibration_error(confidence: Tensor, right: Tensor) -> float | None:
    return expected_calibration_error(confidence, right) if len(right) else None


def _share(flags: Tensor) -> float | None:
    return flags.double().mean().item() if len(flags) else None


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
