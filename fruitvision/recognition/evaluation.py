"""A labelled folder scored: how often the network is right, whether it knows, and what it takes for fruit.

Three kinds of folder names are told apart: those the checkpoint knows, which are scored; ``not-fruit``, whose pictures
hold none and ought to be refused; and all others, which are reported and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.dataset import Split, held_out
from fruitvision.data.fruits import fruit_type
from fruitvision.data.store import ImageStore, open_dataset, open_folder, open_loose
from fruitvision.data.targets import NOT_FRUIT
from fruitvision.errors import DataError, UsageError
from fruitvision.recognition.calibration import verdict
from fruitvision.recognition.classifier import Classifier
from fruitvision.training.metrics import confusion, expected_calibration_error, recall_and_precision

By = Literal["class", "type"]
BATCH_SIZE = 64


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
        not_fruit: a folder of pictures that hold no fruit; "heldout" takes a fifth of it too.
        progress: called with the number of pictures scored so far and of all.

    Returns:
        What JSON can hold; shares are 0..1. ``images``, ``top1``, ``top3``; ``macro_recall``, the mean over the
        classes that occur; ``ece`` over 15 bins; ``answered``, the share whose verdict is "sure", and
        ``answered_top1`` among them (None where there are none); ``not_fruit_images`` and ``not_fruit_accepted``, the
        share of those whose verdict is "sure" (None without any); ``per_class`` with images, recall and precision;
        ``unknown_folders``; ``problems``, the number of files that the scan left out or warned of.

    Raises:
        DataError: no picture lies in a folder that the checkpoint knows, or as the scan raises.
        UsageError: ``by`` or ``split`` is none of those above.
    """
    known = _known_names(classifier, by)
    found = _open(Path(data), split, seed=int(classifier.config.training.get("seed", 0)))
    targets = np.array([known.get(_scored_as(name, by), -1) for name in found.names], np.int64)
    labels, nothing = targets[found.labels], found.labels == _index(found.names, NOT_FRUIT)
    unknown = sorted({found.names[i] for i in found.labels[(labels < 0) & ~nothing]})
    scored = (labels >= 0) & ~nothing
    if not scored.any():
        raise DataError(
            "no-known-class",
            f"No picture in {data} lies in a folder that the checkpoint knows (found: {_few(found.names)}).",
            "Name the folders as the checkpoint names its classes, or score by fruit type.",
            folder=str(data), found=_few(found.names), known=_few(tuple(known)),
        )  # fmt: skip
    negatives = [(found.store, found.rows[nothing])]
    if not_fruit is not None:
        negatives.append(_open_negatives(Path(not_fruit), heldout=split == "heldout"))
    tick = _counter(int(scored.sum()) + sum(len(rows) for _, rows in negatives), progress)
    fruit = _score(classifier, found.store, found.rows[scored], labels[scored], by, tick)
    accepted = torch.cat([_score(classifier, store, rows, None, by, tick).sure for store, rows in negatives])
    return {
        "checkpoint": str(classifier.path) if classifier.path else None, "data": str(data), "split": split or "all",
        "by": by, **_summary(fruit, torch.from_numpy(labels[scored]), tuple(known)),
        "not_fruit_images": len(accepted), "not_fruit_accepted": _mean(accepted),
        "unknown_folders": unknown, "problems": found.problems,
    }  # fmt: skip


# Which pictures, and what they are -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pictures:
    names: tuple[str, ...]
    labels: np.ndarray
    """(N,) positions in ``names``"""
    rows: np.ndarray
    """(N,) positions in ``store``"""
    store: ImageStore
    problems: int


def _open(root: Path, split: str | None, seed: int = 0) -> _Pictures:
    if split in (None, "all", "heldout"):
        names, chosen, store, problems = open_folder(root)
    else:
        dataset, store = open_dataset(root, seed=seed)
        names, chosen, problems = dataset.classes, _named_split(dataset.splits, split, root), dataset.problems
    kept = np.ones(len(chosen.paths), bool)
    if split == "heldout":
        kept = np.array([held_out(path) for path in chosen.paths], bool)
    return _Pictures(names, chosen.labels[kept], chosen.rows[kept], store, len(problems))


def _open_negatives(root: Path, heldout: bool) -> tuple[ImageStore, np.ndarray]:
    """The store of every picture in a folder or anywhere below it, and the rows to be scored."""
    store = open_loose(root)
    kept = [row for row, path in enumerate(store.paths) if held_out(path) or not heldout]
    return store, np.array(kept, np.int64)


def _named_split(splits: dict[str, Split], name: str, root: Path) -> Split:
    if name not in splits:
        names = ", ".join([*splits, "heldout", "all"])
        raise UsageError(
            "unknown-split", f"{root} has no split called '{name}'.", f"Choose one of: {names}.",
            name=name, names=names, folder=str(root),
        )  # fmt: skip
    return splits[name]


def _known_names(classifier: Classifier, by: str) -> dict[str, int]:
    if by not in ("class", "type"):
        raise UsageError(
            "unknown-by", f"A folder cannot be scored by '{by}'.", "Score it by 'class' or by 'type'.", name=by
        )
    return {name: i for i, name in enumerate(classifier.classes if by == "class" else classifier.types)}


def _scored_as(folder: str, by: str) -> str:
    return folder if by == "class" else fruit_type(folder)


def _index(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -1


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# What the network says of them -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scores:
    """Of N pictures, a few bytes each: neither pictures nor probabilities are held."""

    predicted: Tensor
    confidence: Tensor
    sure: Tensor
    top3: Tensor
    """Whether the right answer is among the three likeliest; empty where there is no right answer."""


def _score(
    classifier: Classifier, store: ImageStore, rows: np.ndarray, labels: np.ndarray | None, by: str,
    tick: Callable[[int], None],
) -> _Scores:  # fmt: skip
    parts = [_Scores(torch.zeros(0, dtype=torch.long), torch.zeros(0), *(torch.zeros(0, dtype=torch.bool),) * 2)]
    for start, batch in _batches(rows):
        by_class = classifier.infer([store[row] for row in batch]).probabilities
        by_type, no_fruit = classifier.by_type(by_class)
        answers = by_class if by == "class" else by_type
        confidence, predicted = answers.max(dim=1)
        surest = by_type.max(dim=1).values.tolist()  # a verdict is always on the fruit type
        words = [verdict(p, none, classifier.config.thresholds) for p, none in zip(surest, no_fruit.tolist(), strict=True)]
        top3 = torch.zeros(0, dtype=torch.bool)
        if labels is not None:
            right = torch.from_numpy(labels[start : start + len(batch)])
            top3 = (answers.topk(min(3, answers.shape[1]), dim=1).indices == right[:, None]).any(dim=1)
        parts.append(_Scores(predicted, confidence, torch.tensor([word == "sure" for word in words]), top3))
        tick(len(batch))
    return _Scores(*(torch.cat([getattr(part, name) for part in parts]) for name in _Scores.__dataclass_fields__))


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


def _summary(scores: _Scores, labels: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    right = scores.predicted == labels
    counts = confusion(scores.predicted, labels, len(names))
    images = counts.sum(dim=1).tolist()
    recall, precision = (values.tolist() for values in recall_and_precision(counts))
    per_class = {
        name: {"images": n, "recall": recall[i], "precision": None if precision[i] != precision[i] else precision[i]}
        for i, (name, n) in enumerate(zip(names, images, strict=True))
        if n
    }
    return {
        "images": len(labels), "top1": _mean(right), "top3": _mean(scores.top3),
        "macro_recall": sum(c["recall"] for c in per_class.values()) / len(per_class),
        "ece": expected_calibration_error(scores.confidence, right),
        "answered": _mean(scores.sure), "answered_top1": _mean(right[scores.sure]), "per_class": per_class,
    }  # fmt: skip


def _mean(flags: Tensor) -> float | None:
    return flags.double().mean().item() if len(flags) else None
