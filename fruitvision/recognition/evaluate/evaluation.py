"""Evaluation on a labelled folder: accuracy, calibration, and how many pictures without fruit are accepted.

Folders with the name of one of the checkpoint's classes are scored; the pictures in ``not-fruit`` show no fruit and should be
rejected; all other folders are reported and left out.

:func:`evaluate_folder` returns the metrics; :func:`evaluate_in_detail` also keeps the scores of each picture, for a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.fruits import NOT_FRUIT, fruit_type
from fruitvision.data.read.image_store import ImageStore
from fruitvision.data.read.layouts.found import Listing
from fruitvision.data.read.layouts.names import normalized_name
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.rgb import SHORT_SIDE
from fruitvision.errors import DataError, UsageError
from fruitvision.recognition.calibration import is_sure
from fruitvision.recognition.classifier import Classifier
from fruitvision.recognition.evaluate.labelled import LabelledFolder, open_labelled, open_negatives
from fruitvision.training.evaluation import confusion_matrix, expected_calibration_error, fraction_true, recall_and_precision
from fruitvision.wording.text import abbreviate

By = Literal["class", "type"]
BATCH_SIZE = 64


@dataclass(frozen=True)
class Scores:
    """The predictions for N pictures, without the probabilities of all classes."""

    predicted: Tensor
    """(N,) the predicted class, or type if the evaluation is by type"""
    confidence: Tensor
    """(N,) its probability"""
    sure: Tensor
    """(N,) whether the verdict on the most probable type is "sure"."""
    top3: Tensor
    """(N,) whether the label is among the three most probable; empty for pictures without fruit"""
    right: Tensor
    """(N,) the probability of the label; empty for pictures without fruit"""
    classes: Tensor
    """(N,) the most probable class, also if the evaluation is by type"""
    types: Tensor
    """(N,) the most probable type, also if the evaluation is by class"""


@dataclass(frozen=True, eq=False)
class Negatives:
    """Pictures without fruit, and the predictions for them."""

    store: ImageStore
    rows: np.ndarray
    scores: Scores


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a folder, picture by picture. The pictures stay in their store."""

    classifier: Classifier
    by: By
    names: tuple[str, ...]
    """The checkpoint's classes or types, which ``labels`` and ``scores.predicted`` index."""
    labels: np.ndarray
    """(N,) positions in ``names``"""
    rows: np.ndarray
    """(N,) positions in ``pictures.store``"""
    scores: Scores
    pictures: LabelledFolder
    negatives: tuple[Negatives, ...]
    summary: dict[str, Any] = field(repr=False)
    """The result of :func:`evaluate_folder`."""

    @property
    def wrong(self) -> np.ndarray:
        """(N,) bool"""
        return self.scores.predicted.numpy() != self.labels

    def folder(self, i: int) -> str:
        """The class folder of the i-th scored picture; a variety even if the evaluation is by type."""
        return self.pictures.folders[self.rows[i]]

    def path(self, i: int) -> str:
        """The path of the i-th scored picture, relative to the folder."""
        return self.pictures.store.paths[self.rows[i]]


def evaluate_folder(
    classifier: Classifier,
    data: str | Path,
    *,
    split: str | None = None,
    by: By = "class",
    not_fruit: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score every picture of a folder of class folders against the classifier's own classes or fruit types.

    Args:
        data: Fruits-360 in any of its layouts, or one folder of class or fruit-type folders.
        split: None or "all" for every picture; "train", "val" or "test" of a dataset with splits; "heldout" for the
            fifth of a photo folder that is never trained on (see :func:`held_out`).
        by: "class" scores varieties, "type" fruit types, whose probability is the sum over their varieties.
        not_fruit: a folder of pictures without fruit; "heldout" uses a fifth of it too.
        progress: called with the number of pictures scored so far and in total.

    Returns:
        A dictionary for JSON; shares are 0..1. ``images``, ``top1``, ``top3``; ``macro_recall``, the mean over the
        classes that occur; ``ece`` over 15 bins; ``answered``, the share whose verdict is "sure", and
        ``answered_top1`` among them (None where there are none); ``not_fruit_images`` and ``not_fruit_accepted``, the
        share of those whose verdict is "sure" (None without any); ``per_class`` with images, recall and precision;
        ``unknown_folders``; ``problems``, the number of files that the scan omitted or warned of.

    Raises:
        DataError: no picture lies in a folder that the checkpoint knows, or as the scan raises.
        UsageError: ``by`` or ``split`` is none of those above.
    """
    return evaluate_in_detail(classifier, data, split=split, by=by, not_fruit=not_fruit, progress=progress).summary


def evaluate_in_detail(
    classifier: Classifier,
    data: str | Path,
    *,
    split: str | None = None,
    by: By = "class",
    not_fruit: str | Path | None = None,
    depth: int | None = None,
    boxes: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """As :func:`evaluate_folder`, with the scores of each picture.

    ``depth`` and ``boxes``: how the folder is understood, see :func:`fruitvision.data.read.listing.list_pictures`. Pictures are
    reduced as :meth:`Classifier.predict` does it, but for imported networks with bicubic resizing, whose larger copies of all
    pictures would fill the disk.
    """
    known = _known_names(classifier, by)
    side = min(classifier.short_side, max(SHORT_SIDE, classifier.config.transform.resize))
    places = {normalized_name(name): place for name, place in known.items()}

    def read(depth: int | None) -> tuple[int, Listing]:
        listing = list_pictures(data, need_training=split not in (None, "all", "heldout"), depth=depth, boxes=boxes)
        return sum(normalized_name(_scored_as(file.folder, by)) in places for file in listing.files), listing

    scorable, listing = read(depth)
    if not depth and scorable < len(listing.files) and any(note.code == "deepest-folders" for note in listing.notes):
        listing = max((scorable, listing), read(1), key=lambda one: one[0])[1]  # Apple/monday/*.jpg, where Apple is known
    found = open_labelled(listing, split, seed=int(classifier.config.training.get("seed", 0)), short_side=side)
    targets = np.array([places.get(normalized_name(_scored_as(name, by)), -1) for name in found.names], np.int64)
    labels, nothing = targets[found.labels], found.labels == _index(found.names, NOT_FRUIT)
    unknown = sorted({found.names[i] for i in found.labels[(labels < 0) & ~nothing]})
    scored = (labels >= 0) & ~nothing
    if not scored.any():
        raise DataError("no-known-class", folder=str(data), found=abbreviate(found.names), known=abbreviate(tuple(known)))
    negatives = [(found.store, found.rows[nothing])]
    if not_fruit is not None:
        negatives.append(open_negatives(Path(not_fruit), heldout=split == "heldout", short_side=side))
    tick = _counter(int(scored.sum()) + sum(len(rows) for _, rows in negatives), progress)
    fruit = _score(classifier, found.store, found.rows[scored], labels[scored], by, tick)
    refused = tuple(Negatives(store, rows, _score(classifier, store, rows, None, by, tick)) for store, rows in negatives)
    accepted = torch.cat([one.scores.sure for one in refused])
    summary = {
        "checkpoint": str(classifier.path) if classifier.path else None,
        "data": str(data),
        "split": split or "all",
        "by": by,
        **_summary(fruit, torch.from_numpy(labels[scored]), tuple(known)),
        "not_fruit_images": len(accepted),
        "not_fruit_accepted": fraction_true(accepted),
        "unknown_folders": unknown,
        "problems": found.problems,
    }
    return Evaluation(classifier, by, tuple(known), labels[scored], found.rows[scored], fruit, found, refused, summary)


def _known_names(classifier: Classifier, by: str) -> dict[str, int]:
    if by not in ("class", "type"):
        raise UsageError("unknown-by", name=by)
    return {name: i for i, name in enumerate(classifier.classes if by == "class" else classifier.types)}


def _scored_as(folder: str, by: str) -> str:
    return folder if by == "class" else fruit_type(folder)


def _index(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -1


# Scores --------------------------------------------------------------------------------------------------------------


def _score(
    classifier: Classifier,
    store: ImageStore,
    rows: np.ndarray,
    labels: np.ndarray | None,
    by: str,
    tick: Callable[[int], None],
) -> Scores:
    whole, share, flag = torch.zeros(0, dtype=torch.long), torch.zeros(0), torch.zeros(0, dtype=torch.bool)
    parts = [Scores(whole, share, flag, flag, share, whole, whole)]
    for start, batch in _batches(rows):
        by_class = classifier.infer([store[row] for row in batch]).probabilities
        by_type, no_fruit = classifier.by_type(by_class)
        answers = by_class if by == "class" else by_type
        confidence, predicted = answers.max(dim=1)
        surest, types = by_type.max(dim=1)  # a verdict is always about the fruit type
        sure = is_sure(surest, no_fruit, classifier.config.thresholds)
        top3, own = flag, share
        if labels is not None:
            right = torch.from_numpy(labels[start : start + len(batch)])[:, None]
            top3 = (answers.topk(min(3, answers.shape[1]), dim=1).indices == right).any(dim=1)
            own = answers.gather(1, right)[:, 0]
        parts.append(Scores(predicted, confidence, sure, top3, own, by_class.argmax(dim=1), types))
        tick(len(batch))
    return Scores(*(torch.cat([getattr(part, name) for part in parts]) for name in Scores.__dataclass_fields__))


def _batches(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(rows), BATCH_SIZE):
        yield start, rows[start : start + BATCH_SIZE]


def _counter(total: int, progress: Callable[[int, int], None] | None) -> Callable[[int], None]:
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    return tick


def _summary(scores: Scores, labels: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    right = scores.predicted == labels
    counts = confusion_matrix(scores.predicted, labels, len(names))
    images = counts.sum(dim=1).tolist()
    recall, precision = (values.tolist() for values in recall_and_precision(counts))
    per_class = {
        name: {"images": n, "recall": recall[i], "precision": None if precision[i] != precision[i] else precision[i]}
        for i, (name, n) in enumerate(zip(names, images, strict=True))
        if n
    }
    return {
        "images": len(labels),
        "top1": fraction_true(right),
        "top3": fraction_true(scores.top3),
        "macro_recall": sum(c["recall"] for c in per_class.values()) / len(per_class),
        "ece": expected_calibration_error(scores.confidence, right),
        "answered": fraction_true(scores.sure),
        "answered_top1": fraction_true(right[scores.sure]),
        "per_class": per_class,
    }
